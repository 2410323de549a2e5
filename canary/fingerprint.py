"""Whether the canary is the model that was meant: what the variants' fingerprints mean for a rollout.

Asked by the machine before any traffic (`steps.preparing`), and by the guards for as long as the rollout lasts, since a
slow server may tell late. The fingerprints are taken and compared outside and come in as part of the snapshot. What is
not known neither passes nor fails: it is said, and the rollout goes on.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from canary.pass_context import PassContext, Transition
from canary.rollout import Phase, Reason
from canary.snapshot import FingerprintDifference, Snapshot
from canary.spec.fingerprint import declared
from canary.spec.models import CanarySpec

PATIENCE = 10.0
"""Seconds that servers which are ready may take to tell what they are; after that the rollout goes on without."""
LONGEST_VALUE = 40
NAME = "model_name"
"""The field that is about who is served at all."""


def is_awaited(look: PassContext) -> bool:
    """Whether the servers are still being asked, and have time left for an answer."""
    seen = look.seen.fingerprint
    if seen is None or seen.done or look.rollout.compared or look.spec.fingerprint.policy == "ignore":
        return False
    return look.now - seen.since < PATIENCE


def undeclared(spec: CanarySpec, seen: Snapshot) -> Sequence[FingerprintDifference]:
    """Differences that the plan does not say; none where it does not ask."""
    if seen.fingerprint is None or spec.fingerprint.policy == "ignore":
        return ()
    meant = declared(spec)
    return [each for each in seen.fingerprint.differences if each.field not in meant]


def blocking(spec: CanarySpec, seen: Snapshot) -> Sequence[FingerprintDifference]:
    """Those of them for which the canary may have no traffic: a canary that has not the name cannot serve anybody."""
    strict = spec.fingerprint.policy == "block"
    return [each for each in undeclared(spec, seen) if each.field == NAME or (strict and not each.harmless)]


def the_canary_is_another_model(look: PassContext) -> Transition | None:
    """A guard: what was changed without a word in the plan gets no traffic, and loses what it has."""
    found = blocking(look.spec, look.seen)
    if not found or look.rollout.phase is Phase.PENDING:
        return None
    stable, canary = look.spec.stable.name, look.spec.canary.name
    names = ", ".join(each.field for each in found)
    message = f"{canary} is not {stable} with the changes of the plan: {_told(found)}. "
    if all(each.field == NAME for each in found):
        message = f"{canary} does not answer to {found[0].stable}, and {stable} does: {_told(found)}. "
    message += f"If that is meant, say so with fingerprint: {{allow: [{names}]}}. "
    if look.rollout.peak.canary:
        message += f"{canary} told it late; everything goes back to {stable}."
        return look.back(Reason.FINGERPRINT_FOUND_LATE, message, _evidence(found), result="rolled_back")
    message += f"No request reached it; {stable} serves as before."
    return look.back(Reason.FINGERPRINT_BLOCKED, message, _evidence(found), result="failed")


def warning(look: PassContext) -> tuple[str, dict[str, Any]] | None:
    """What is to be told and does not block: a sentence and its evidence; None where there is nothing."""
    found = undeclared(look.spec, look.seen)
    if not found or blocking(look.spec, look.seen):
        return None
    names = ", ".join(each.field for each in found)
    sentence = (
        f"{look.spec.canary.name} differs from {look.spec.stable.name} in what the plan does not say: {_told(found)}. "
        f"The rollout goes on; fingerprint: {{allow: [{names}]}} says that it is meant, policy: block would end it."
    )
    return sentence, _evidence(found)


def in_a_clause(look: PassContext) -> str:
    """What is known of it when both variants are ready, to follow that sentence; empty where nobody looked."""
    seen = look.seen.fingerprint
    if seen is None or look.spec.fingerprint.policy == "ignore":
        return ""
    if not seen.done:
        why = f" ({seen.problem})" if seen.problem else ""
        return f" Whether they are the same model is not known{why}: they did not tell in time."
    if not seen.known:
        asked_for = look.spec.fingerprint.policy == "block"
        return f" Whether they are the same model is not known: {_unknown(seen.problem)}." if asked_for else ""
    if seen.differences:
        return ""
    unknown = f"; {_words(seen.unknown)} could not be compared" if seen.unknown else ""
    return f" Their fingerprints agree ({_words(seen.known)}){unknown}."


def _unknown(problem: str) -> str:
    return problem or "neither their endpoints nor files tell"


def _told(found: Sequence[FingerprintDifference]) -> str:
    return "; ".join(
        f"{_words([each.field])} differs ({_short(each.stable)} → {_short(each.canary)}), so {each.why}"
        for each in found
    )


def _words(fields: Sequence[str]) -> str:
    return ", ".join(field.replace("_", " ") for field in fields)


def _short(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"


def _evidence(found: Sequence[FingerprintDifference]) -> dict[str, Any]:
    return {"differences": [asdict(each) for each in found]}
