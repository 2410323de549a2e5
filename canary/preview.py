"""What a request would do now, or why it would be refused: a sentence before anybody presses a button.

Used by the dashboard's buttons and by the commands that ask first or try only (`--dry-run`). The machine's own answer
(`canary.requests`) is asked for without carrying it out, so that no face can promise what the loop refuses. Whether
somebody carries the rollout out at all is not known here.
"""

from dataclasses import dataclass

from canary.pass_context import PassContext
from canary.requests import answer
from canary.rollout import Phase, Rollout
from canary.snapshot import OperatorRequest, Snapshot
from canary.spec.models import CanarySpec
from canary.weights import ALL_CANARY, Weights


@dataclass(frozen=True, slots=True)
class Preview:
    """What becomes of a request if it is made now. One of both is empty."""

    effect: str
    """What it does, a sentence."""
    reason: str
    """Why it is refused, a sentence."""


def preview(spec: CanarySpec, rollout: Rollout, seen: Snapshot, asked: OperatorRequest) -> Preview:
    """What a request would do. `asked.at`: the moment at which it is asked, in seconds since the epoch."""
    reason = _why_not(spec, rollout, seen, asked)
    return Preview("" if reason else _effect(spec, rollout, asked), reason)


def _why_not(spec: CanarySpec, rollout: Rollout, seen: Snapshot, asked: OperatorRequest) -> str:
    verb = asked.verb
    if verb == "retry":
        return why_not_again(rollout)
    if rollout.finished:
        return f"The rollout has ended ({(rollout.result or 'ended').replace('_', ' ')})."
    response = answer(PassContext(spec, rollout, seen, asked.at), asked)
    if response.accepted:
        return ""
    if rollout.phase is Phase.ROLLING_BACK:
        return "Everything is on its way back to stable already."
    match verb:
        case "resume":
            return "It is not paused."
        case "approve":
            return "It does not wait for anybody's word."
        case "pause":
            return "It is paused already." if rollout.phase is Phase.PAUSED else "The canary has no traffic yet."
        case _ if rollout.stage == len(spec.stages) - 1:
            return "It is in its last stage."
        case _ if asked.to is not None:
            return response.message
        case _:
            return f"There is nothing to skip while it is {rollout.phase}."


def why_not_again(rollout: Rollout) -> str:
    """Why a rollout cannot be begun once more; empty where it can."""
    if not rollout.finished:
        return f"It is under way ({rollout.phase}): there is nothing to begin once more."
    return "It was promoted: there is nothing to try again." if rollout.result == "promoted" else ""


def _effect(spec: CanarySpec, rollout: Rollout, asked: OperatorRequest) -> str:
    canary = spec.canary.name
    following = min(rollout.stage + 1, len(spec.stages) - 1)
    upcoming = Weights.of_share(spec.stages[following].traffic)
    match asked.verb:
        case "abort" if rollout.phase is Phase.ROLLING_BACK:
            return f"{canary} is stopped now, whatever it still answers. It cannot be undone."
        case "abort":
            return f"All traffic goes back to {spec.stable.name} at once, and the rollout ends. It cannot be undone."
        case "pause":
            return f"{canary} keeps {rollout.weights} until somebody resumes. It still rolls back by itself."
        case "retry":
            return f"The same plan begins once more, from its first stage; what {canary} was put back for is forgiven."
        case "resume":
            return "The rollout goes on where it was paused."
        case "approve":
            return f"{canary} gets {upcoming} of the traffic."
        case _ if asked.to is not None:
            wanted = Weights.of_share(asked.to)
            return f"All stages before {wanted} are skipped unjudged: {canary} gets {wanted} of the traffic."
        case _ if asked.full:
            return f"All stages that are left are skipped unjudged: {canary} gets {ALL_CANARY} of the traffic."
        case _:
            return (
                f"The rest of stage {rollout.stage + 1} is skipped unjudged: {canary} gets {upcoming} of the traffic."
            )
