"""What a rollout waits for that may take long: room for a variant, a gateway that takes a route, open requests.

Asked by the machine at the end of every pass, after the guards and the phase's own step have found nothing to change.
Says it in the rollout's reason and message, and once in its history, so that nobody waits for the deadline to read
why nothing happens. Moves no phase and no traffic: giving up is the guards' business.
"""

import re

from canary import drain, messages
from canary.pass_context import PassContext
from canary.rollout import Phase, Reason
from canary.serial import rfc3339
from canary.steps import evaluated, stage_may_end
from canary.verdict import GateAnswer

PREPARED_S = 5.0
"""Seconds from a rollout's beginning until it is worth a word: a new route is usually taken within one."""
SHIFTED_S = 10.0
"""The same for a change of weights: KServe's own controllers take up to 7 to carry one out (measured)."""
AWAITED = frozenset(
    {
        Reason.WAITING_FOR_STABLE,
        Reason.WAITING_FOR_CANARY,
        Reason.WAITING_FOR_ROUTE,
        Reason.DRAINING,
        Reason.EVALUATION_WAITING,
        Reason.EVALUATION_UNDECIDED,
    }
)


def blocking_condition(look: PassContext) -> tuple[Reason, str] | None:
    """Reason and sentence; None where nothing is awaited, or only what takes its time."""
    match look.rollout.phase:
        case Phase.PREPARING if _lasts(look, PREPARED_S):
            return _before_traffic(look)
        case Phase.EVALUATING:
            return _evaluation(look)
        case Phase.SHIFTING | Phase.PROMOTING if _lasts(look, SHIFTED_S):
            return _on_the_way(look)
        case Phase.ROLLING_BACK if drain.lasts(look, "canary"):
            return Reason.DRAINING, f"{_traffic_back(look)} {drain.waits(look)}"
        case Phase.WATCHING if drain.lasts(look, "stable") and isinstance(stage_may_end(look), str):
            return Reason.DRAINING, f"{look.spec.canary.name} has passed. {drain.waits(look)}"
        case _:
            return None


def is_news(before: str, sentence: str) -> bool:
    """Whether a sentence says more than the one before it with other numbers: seconds go by, and that is no news."""
    return re.sub(r"\d+", "", before) != re.sub(r"\d+", "", sentence)


def _before_traffic(look: PassContext) -> tuple[Reason, str] | None:
    spec, seen = look.spec, look.seen
    arms = (
        (Reason.WAITING_FOR_STABLE, spec.stable.name, seen.stable),
        (Reason.WAITING_FOR_CANARY, spec.canary.name, seen.canary),
    )
    for reason, name, variant in arms:
        if variant.stuck and not variant.complete:
            return reason, f"{messages.stuck(name, variant.problem)} {_until(look)}"
    if seen.route.weights is None and seen.route.problem:
        return Reason.WAITING_FOR_ROUTE, f"{messages.route_awaited(seen.route.problem)} {_until(look)}"
    return None


def _evaluation(look: PassContext) -> tuple[Reason, str] | None:
    """A server that gives no answer, which is asked again; or a result that a person has to decide upon."""
    answer, why = evaluated(look)
    if answer is not None:
        decides = "No request reaches the canary until a person resumes or aborts the rollout."
        return (Reason.EVALUATION_UNDECIDED, f"{why} {decides}") if answer is not GateAnswer.PASS else None
    problem = look.seen.evaluation.problem if look.seen.evaluation is not None else ""
    if not problem:
        return None
    return Reason.EVALUATION_WAITING, f"The evaluation waits: {problem} Serinus asks again; users see stable's answers."


def _on_the_way(look: PassContext) -> tuple[Reason, str] | None:
    if look.in_force or not look.seen.route.problem:
        return None
    return Reason.WAITING_FOR_ROUTE, messages.shift_awaited(look.rollout.weights, look.seen.route.problem)


def _traffic_back(look: PassContext) -> str:
    zero, decided = look.rollout.zero, look.rollout.decided
    took = zero - decided if zero is not None and decided is not None else 0.0
    return messages.back_on(look.spec.stable.name, took)


def _until(look: PassContext) -> str:
    """What stays as it is, and when the waiting ends."""
    spec, began = look.spec, look.rollout.since
    return messages.given_up(
        spec.stable.name, spec.canary.name, spec.progress_deadline, rfc3339(round(began + spec.progress_deadline))
    )


def _lasts(look: PassContext, seconds: float) -> bool:
    return look.now - look.rollout.since >= seconds
