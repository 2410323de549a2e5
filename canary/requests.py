"""What people ask for: promote, pause, resume, abort, approve. Each request is answered once, with a sentence.

Called by the machine before the guards. A request that makes no sense now is answered too, and changes nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from canary.pass_context import EXPOSED, PassContext, Transition
from canary.rollout import Event, Phase, Reason, Rollout
from canary.snapshot import OperatorRequest
from canary.spec.models import CanarySpec
from canary.steps import after_evaluation, enter_stage, evaluated, given_back
from canary.weights import ALL_CANARY, Weights

REMEMBERED = 50
"""How many answered requests a rollout remembers; a store keeps a request at most until it is answered."""


@dataclass(frozen=True, slots=True)
class RequestAnswer:
    """What becomes of a request."""

    accepted: bool
    """Whether it does what was asked for; a refused one changes nothing."""
    message: str
    """The answer, as a sentence."""
    change: Transition | None = None
    """The phase change that it brings; an accepted request may need none."""


def _accepted(change: Transition | None, message: str) -> RequestAnswer:
    return RequestAnswer(True, message, change)


def _refused(message: str) -> RequestAnswer:
    return RequestAnswer(False, f"{message}: nothing was changed.")


def next_request(look: PassContext) -> OperatorRequest | None:
    """The oldest request without an answer."""
    open_requests = [request for request in look.seen.requests if request.id not in look.rollout.answered]
    return min(open_requests, key=lambda request: request.at, default=None)


def answered(rollout: Rollout, request: OperatorRequest) -> tuple[str, ...]:
    """The remembered answers with this one added."""
    return (*rollout.answered, request.id)[-REMEMBERED:]


def groups_asked(spec: CanarySpec, groups: Iterable[str]) -> tuple[str, ...]:
    """Those of a person's groups whose word a plan asks for."""
    asked = {stage.approve for stage in spec.stages}
    return tuple(group for group in groups if group in asked)


def wish(request: OperatorRequest) -> str:
    """What is asked for, behind `asked to`: `pause`, `promote`, `promote to 75 %`."""
    if request.to is not None:
        return f"{request.verb} to {Weights.of_share(request.to)}"
    return f"{request.verb} to {ALL_CANARY}" if request.full else request.verb


def answer(look: PassContext, request: OperatorRequest) -> RequestAnswer:
    """What becomes of a request now."""
    phase, by = look.rollout.phase, request.who
    match request.verb:
        case "abort" if not look.rollout.finished and phase is not Phase.ROLLING_BACK:
            message = f"{by} aborted: everything goes back to stable."
            return _accepted(look.back(Reason.ABORTED, message, {"by": request.by}, result="aborted"), message)
        case "abort" if phase is Phase.ROLLING_BACK and _drains_canary(look.rollout):
            message = f"{by} aborted again: {look.spec.canary.name} is stopped, whatever it still answers."
            return _accepted(given_back(look), message)
        case "pause" if phase in EXPOSED - {Phase.PAUSED}:
            message = f"{by} paused the rollout at {look.rollout.weights}. It rolls back by itself all the same."
            to = look.rollout.resume_to if phase is Phase.BLIND else phase
            updates = {"resume_to": to}
            change = Transition(Phase.PAUSED, Reason.PAUSED_BY_OPERATOR, message, {"by": request.by}, updates)
            return _accepted(change, message)
        case "resume" | "promote" if phase is Phase.EVALUATING and evaluated(look)[0] and look.both_usable:
            message = f"{by} let it go on. {evaluated(look)[1]}"
            return _accepted(after_evaluation(look, Reason.EVALUATION_OVERRULED, message), message)
        case "resume" if phase is Phase.PAUSED:
            message = f"{by} resumed the rollout."
            to = look.rollout.resume_to or Phase.ANALYZING
            change = Transition(to, Reason.RESUMED, message, {"by": request.by}, {"resume_to": None})
            return _accepted(change, message)
        case "approve" if phase is Phase.AWAITING_APPROVAL and look.both_usable:
            if group := _group_needed(look, request, look.rollout.stage + 1):
                return _not_of(group, request)
            message = f"{by} approved."
            return _accepted(enter_stage(look, look.rollout.stage + 1, Reason.APPROVED, message), message)
        case "retry" if phase is Phase.PENDING and look.rollout.attempt > 1:
            return _accepted(None, f"{by} let it be tried again: attempt {look.rollout.attempt}.")
        case "promote":
            return _promote(look, request)
        case _:
            return _refused(f"{by} asked to {request.verb}, which is not possible {_while(look)}")


def _drains_canary(rollout: Rollout) -> bool:
    """Whether the canary's traffic is gone: a drain of stable, from before the rollback, says nothing of that."""
    return rollout.drain is not None and rollout.drain.arm == "canary"


def _promote(look: PassContext, request: OperatorRequest) -> RequestAnswer:
    """Skip the rest of this stage; with `to` all up to the one of that share, with `full` all. Both arms must serve."""
    can_skip = {Phase.ANALYZING, Phase.AWAITING_APPROVAL, Phase.BLIND}
    paused_in = look.rollout.resume_to if look.rollout.phase is Phase.PAUSED else look.rollout.phase
    if paused_in not in can_skip or look.last_stage or not look.both_usable:
        return _refused(f"{request.who} asked to {wish(request)}, which is not possible {_while(look)}")
    if request.to is not None:
        return _promote_to(look, request, Weights.of_share(request.to))
    if request.full:
        return _skip_to(look, request, len(look.spec.stages) - 1)
    if group := _group_needed(look, request, look.rollout.stage + 1):
        return _not_of(group, request)
    message = f"{request.who} skipped the rest of stage {look.rollout.stage + 1}."
    return _accepted(enter_stage(look, look.rollout.stage + 1, Reason.STAGE_SKIPPED, message), message)


def _group_needed(look: PassContext, request: OperatorRequest, until: int) -> str:
    """The group whose word is needed before stage `until` begins and that the person is not in; empty where none is.

    Only where it is known who asks. Skipping a stage skips its approval too, so it takes the same word.
    """
    if request.verified is not True:
        return ""
    needed = [stage.approve for stage in look.spec.stages[look.rollout.stage : until] if stage.approve]
    return next((group for group in needed if group not in request.groups), "")


def _not_of(group: str, request: OperatorRequest) -> RequestAnswer:
    return _refused(f"{request.who} asked to {wish(request)}, which only members of {group} may")


def _promote_to(look: PassContext, request: OperatorRequest, wanted: Weights) -> RequestAnswer:
    """Skip to the later stage with these weights; others are refused, because no gate and no hold is planned there."""
    later = {look.weights_of(stage): stage for stage in range(look.rollout.stage + 1, len(look.spec.stages))}
    if wanted not in later:
        shares = ", ".join(str(weights) for weights in later)
        return _refused(f"{request.who} asked to promote to {wanted}, which no later stage has ({shares})")
    return _skip_to(look, request, later[wanted])


def _skip_to(look: PassContext, request: OperatorRequest, stage: int) -> RequestAnswer:
    if group := _group_needed(look, request, stage):
        return _not_of(group, request)
    message = f"{request.who} skipped to stage {stage + 1} ({look.weights_of(stage)})."
    return _accepted(enter_stage(look, stage, Reason.STAGE_SKIPPED, message), message)


def _while(look: PassContext) -> str:
    """What stands in the way, as the end of a sentence."""
    if look.rollout.phase in EXPOSED and not look.both_usable:
        arm = "the canary" if look.seen.stable.usable else "stable"
        return f"while {arm} cannot serve"
    return f"while {look.rollout.phase}"


def was_accepted(event: Event, history: Iterable[Event]) -> bool:
    """Whether this answer to a request, an entry of that history, says that it was accepted.

    Builds before the field `accepted` are known by what followed: a change of phase comes right after such an answer.
    """
    accepted = event.evidence.get("accepted")
    if isinstance(accepted, bool):
        return accepted
    return any(each.seq == event.seq + 1 and each.event == "phase" for each in history)
