"""The conditions of a ModelCanary: what scripts and dashboards wait for, each with its reason and sentence. Pure.

Called by `status.py`. `Ready` is what `kubectl wait` is for: True once the canary is promoted, False once it was put
back, Unknown on the way.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from canary.rollout import Phase, Reason, Rollout
from canary.serial import rfc3339

if TYPE_CHECKING:
    from controlplane.operator.status import StatusInputs

Truth = Literal["True", "False", "Unknown"]
LONGEST = 1024
TIDYING = "TidyingUp"
"""Reason of `Progressing` while a finished rollout still has something to put away."""
DRIFTED = "Drifted"
QUEUED = "Queued"
GOING_BACK = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})


def conditions(
    rollout: Rollout, facts: "StatusInputs", before: Sequence[Mapping[str, Any]], now: float
) -> list[dict[str, Any]]:
    """All conditions of a rollout; each keeps the time of its last change from `before`."""
    told = [accepted(facts.faults), _ready(rollout), _progressing(rollout, facts), _degraded(rollout, facts)]
    told += [_blind(rollout), drifted(facts.drifts)]
    return with_times(told, before, facts.generation, now)


def accepted(faults: Sequence[str]) -> dict[str, Any]:
    """Whether the present spec can be carried out."""
    if faults:
        return _condition("Accepted", "False", "InvalidSpec", " ".join(faults))
    return _condition("Accepted", "True", "Valid", "The spec can be carried out.")


def queued(sentence: str) -> dict[str, Any]:
    """Whether it waits for others of its namespace before it begins; there only while nothing of it is under way."""
    if sentence:
        return _condition(QUEUED, "True", "NamespaceLimit", sentence)
    return _condition(QUEUED, "False", "InTurn", "It waits for no other rollout.")


def drifted(sentences: Sequence[str]) -> dict[str, Any]:
    """Whether somebody else changed something that the rollout stands on: its route, its variants, its Gateway."""
    if sentences:
        return _condition(DRIFTED, "True", "ChangedByOthers", " ".join(sentences))
    return _condition(DRIFTED, "False", "AsPlanned", "Nobody else has changed anything.")


def story(rollout: Rollout) -> tuple[str, str]:
    """Reason and sentence for people: of a rollout that was put back, why it was, and then how far it is."""
    if rollout.phase is Phase.ROLLED_BACK or (rollout.phase in GOING_BACK and rollout.reason is Reason.DRAINING):
        back = [each for each in rollout.history if each.event == "phase" and each.phase is Phase.ROLLING_BACK]
        if back:
            return back[-1].reason.value, f"{back[-1].message} {rollout.message}"
    return rollout.reason.value, rollout.message


def finished() -> dict[str, Any]:
    """That nothing is under way any more, not even putting away."""
    return _condition("Progressing", "False", "Finished", "Everything is put away.")


def with_times(
    told: Sequence[dict[str, Any]], before: Sequence[Mapping[str, Any]], generation: int, now: float
) -> list[dict[str, Any]]:
    """The conditions with the time of their last change of truth, in seconds, and the generation they speak of."""
    known = {each.get("type"): each for each in before}
    stamped = []
    for each in told:
        old = known.get(each["type"])
        same = old is not None and old.get("status") == each["status"] and "lastTransitionTime" in old
        since = old["lastTransitionTime"] if old is not None and same else rfc3339(now)
        stamped.append({**each, "lastTransitionTime": since, "observedGeneration": generation})
    return stamped


def is_true(status: Mapping[str, Any], kind: str) -> bool:
    """Whether a status says so."""
    return any(each.get("type") == kind and each.get("status") == "True" for each in status.get("conditions") or ())


def _ready(rollout: Rollout) -> dict[str, Any]:
    truth: Truth = "Unknown"
    if rollout.finished:
        truth = "True" if rollout.phase is Phase.SUCCEEDED else "False"
    return _condition("Ready", truth, rollout.phase.value, story(rollout)[1])


def _progressing(rollout: Rollout, facts: "StatusInputs") -> dict[str, Any]:
    if rollout.finished and not facts.tidied:
        return _condition("Progressing", "True", TIDYING, "Decided; what is not needed any more is being put away.")
    if rollout.finished:
        return _condition("Progressing", "False", rollout.phase.value, rollout.message)
    waits = rollout.phase in {Phase.PAUSED, Phase.AWAITING_APPROVAL}
    return _condition("Progressing", "Unknown" if waits else "True", rollout.reason.value, rollout.message)


def _degraded(rollout: Rollout, facts: "StatusInputs") -> dict[str, Any]:
    stable = facts.seen.stable if facts.seen else None
    if rollout.phase in GOING_BACK:
        return _condition("Degraded", "True", *story(rollout))
    if stable is not None and not rollout.finished and stable.at and not stable.usable:
        why = stable.problem or "no ready replica"
        return _condition("Degraded", "True", "StableNotReady", f"Stable cannot serve: {why}.")
    return _condition("Degraded", "False", "AsPlanned", "Nothing is wrong.")


def _blind(rollout: Rollout) -> dict[str, Any]:
    if rollout.phase is Phase.BLIND:
        return _condition("Blind", "True", rollout.reason.value, rollout.message)
    return _condition("Blind", "False", "MetricsHeard", "The metric source answers, or is not needed now.")


def _condition(kind: str, truth: Truth, reason: str, message: str) -> dict[str, Any]:
    text = message or reason
    return {
        "type": kind,
        "status": truth,
        "reason": reason,
        "message": text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…",
    }
