"""The status of a ModelCanary: one rollout and what was seen of the world, as people and tools read it. Pure.

Called by `store.py` at every write. Everything in it is bounded: what does not fit is shed in an order that costs
people least, and never the plan, the weights, the phase or the cursor of the history.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from canary import format as fmt
from canary.judge import share_served
from canary.rollout import Event, Rollout
from canary.serial import event_line, rfc3339
from canary.snapshot import Snapshot
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ARMS, Weights
from controlplane.operator.conditions import conditions, story
from controlplane.operator.state import state_of

Status = dict[str, Any]
SHOWN_EVENTS = 20
"""Events in the status, the newest last; all of them are kept beside it (see `event_log.py`)."""
MOST_BYTES = 48_000
"""Room for everything but the plan's own text. A judge's state is about 12 kB of it."""
LONGEST_TEXT = 1024
"""Characters of one sentence."""
MOST_GATES = 40


@dataclass(frozen=True, slots=True)
class StatusInputs:
    """What the status says besides the rollout's own state."""

    generation: int = 0
    """Generation of the spec that was looked at last."""
    fence: int = 0
    """The writer's term of office: a smaller one may not write any more."""
    faults: tuple[str, ...] = ()
    """What is wrong with the present spec; empty where it was accepted."""
    stages: int = 0
    """How many stages the plan has."""
    seen: Snapshot | None = None
    """The last look at the world; None before the first."""
    slots: Sequence[Mapping[str, Any]] = ()
    """Which place of the route is which variant."""
    tidied: bool = True
    """Whether a finished rollout has left nothing to be put away."""
    queued: str = ""
    """Why it does not begin yet, though nothing is wrong with it."""
    drifts: tuple[str, ...] = ()
    """What somebody else changed of what the rollout stands on, a sentence each."""


@dataclass(frozen=True, slots=True)
class StatusUpdate:
    """One status to be written."""

    rollout: Rollout
    plan: str
    """The plan that is carried out, as `canary.spec.stored` writes it."""
    version: int
    facts: StatusInputs = field(default_factory=StatusInputs)
    dismissed: tuple[str, ...] = ()
    """Requests meant for an earlier attempt."""


def status_of(entry: StatusUpdate, before: Mapping[str, Any], now: float) -> Status:
    """The whole status. `before`: the one that it replaces, for the times of its conditions; `now`: seconds."""
    rollout, facts = entry.rollout, entry.facts
    reason, sentence = story(rollout)
    told = {
        "observedGeneration": facts.generation,
        "version": entry.version,
        "fence": facts.fence,
        "phase": rollout.phase.value,
        "stage": rollout.stage,
        "stages": facts.stages or None,
        "stageText": f"{min(rollout.stage + 1, facts.stages)}/{facts.stages}" if facts.stages else None,
        "weight": str(rollout.weights),
        "weightSeen": _weight_seen(facts.seen),
        "weightServed": _weight_served(rollout),
        "verdict": _verdict(rollout.verdicts),
        "reason": reason,
        "message": clipped(sentence),
        "revision": rollout.revision,
        "attempt": rollout.attempt,
        "began": time_of(rollout.began),
        "since": time_of(rollout.since),
        "harmBegan": time_of(rollout.harm_began),
        "decided": time_of(rollout.decided),
        "zero": time_of(rollout.zero),
        "result": rollout.result,
        "conditions": conditions(rollout, facts, before.get("conditions") or (), now),
        "gates": [gate_of(verdict) for verdict in rollout.verdicts[:MOST_GATES]],
        "history": [_shown(event) for event in rollout.history[-SHOWN_EVENTS:]],
        "served": {arm: round(count) for arm, count in rollout.served.items()} or None,
        "slots": [dict(slot) for slot in facts.slots] or None,
        "plan": entry.plan,
        "state": _state(rollout, entry.dismissed),
    }
    return _fitted({key: value for key, value in told.items() if value is not None})


def has_news(gates: Sequence[Mapping[str, Any]], verdicts: Sequence[GateVerdict]) -> bool:
    """Whether a gate that is shown without any canary request has some by now."""
    blank = {each.get("gate") for each in gates if not (each.get("samples") or {}).get("canary")}
    return any(clipped(each.gate, 256) in blank and round(each.samples.get("canary", 0)) > 0 for each in verdicts)


def clipped(text: str, longest: int = LONGEST_TEXT) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def time_of(seconds: float | None) -> str | None:
    """A moment as RFC 3339; None where there is none, or none that a calendar has."""
    try:
        return None if seconds is None else rfc3339(seconds)
    except (OverflowError, ValueError):
        return None


def _state(rollout: Rollout, dismissed: tuple[str, ...]) -> dict[str, Any]:
    state = state_of(rollout, dismissed)
    state["history"] = state["history"][-SHOWN_EVENTS:]
    return state


def _weight_seen(seen: Snapshot | None) -> str | None:
    weights: Weights | None = seen.route.weights if seen else None
    return None if weights is None else str(weights)


def _weight_served(rollout: Rollout) -> str | None:
    share = share_served(rollout.judge, stage=rollout.stage)
    return None if share is None else fmt.share(share)


def _verdict(verdicts: Sequence[GateVerdict]) -> str | None:
    """The stage's answer in a word: what rolls back, else what is missing, else that all is well."""
    if not verdicts:
        return None
    answers = {verdict.verdict for verdict in verdicts}
    return next(answer.value for answer in (GateAnswer.FAIL, GateAnswer.WAIT, GateAnswer.PASS) if answer in answers)


def gate_of(verdict: GateVerdict) -> dict[str, Any]:
    """One gate with its evidence; numbers that are none are left out."""
    told = {
        "gate": clipped(verdict.gate, 256),
        "verdict": verdict.verdict.value,
        "why": clipped(verdict.why, 512),
        "canary": _number(verdict.canary),
        "stable": _number(verdict.stable),
        "limit": _number(verdict.limit),
        "spoke": verdict.spoke,
        "onBreach": verdict.on_breach,
        "samples": {arm: round(verdict.samples[arm]) for arm in ARMS if _number(verdict.samples.get(arm)) is not None},
    }
    return {key: value for key, value in told.items() if value is not None}


def _number(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 1e300 else None


def _shown(event: Event) -> dict[str, Any]:
    """An event as the status lists it: everything but its evidence."""
    try:
        line = event_line(event)
    except (OverflowError, ValueError):  # a moment that no calendar has
        return {"id": event.id, "event": event.event, "message": clipped(event.message, 512)}
    told = {key: line[key] for key in ("id", "at", "event", "stage", "weight")}
    return told | {"phase": event.phase.value, "reason": event.reason.value, "message": clipped(event.message, 512)}


def _fitted(status: Status) -> Status:
    """The status with as little left out as makes it fit."""
    for shed in SHEDDING:
        if _size(status) <= MOST_BYTES:
            break
        shed(status)
    return status


def _size(status: Status) -> int:
    """Bytes of everything but the plan, as the server counts them."""
    rest = {key: value for key, value in status.items() if key != "plan"}
    return len(json.dumps(rest, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _shed_old_events(status: Status) -> None:
    status["state"]["history"] = status["state"]["history"][-5:]
    status["history"] = status["history"][-10:]


def _shed_evidence_of_events(status: Status) -> None:
    for event in status["state"]["history"]:
        event["evidence"] = {}


def _shed_the_judges_memory(status: Status) -> None:
    """The judge begins its evidence anew after a restart, unless Prometheus has it. Safe: it only waits longer."""
    status["state"]["judge"] = {}


def _shed_details(status: Status) -> None:
    status["gates"] = status["gates"][:10]
    status["history"] = status["history"][-3:]
    status["state"]["verdicts"] = []
    status["state"]["history"] = status["state"]["history"][-1:]


SHEDDING: Sequence[Callable[[Status], None]] = (
    _shed_old_events,
    _shed_evidence_of_events,
    _shed_the_judges_memory,
    _shed_details,
)
"""What goes first when there is too much."""
