"""What a person may ask a rollout for now: each verb with its effect, or why not.

Used by `state.py`. Whether a request would mean anything is the machine's own answer (`canary.requests`), asked here
without carrying it out, so that a button can never promise what the loop refuses.
"""

from typing import Literal

from pydantic import BaseModel, Field

from canary.look import Look
from canary.observation import OperatorRequest
from canary.requests import answer
from canary.rollout import Phase, Rollout
from canary.spec.models import CanarySpec
from canary.weights import ALL_CANARY, Weights
from controlplane.api.look import Looked

Asking = Literal["promote", "pause", "resume", "abort", "approve", "retry"]
"""What people may ask for over the API; `retry` only where somebody else than `serinus run` carries rollouts out."""


class Action(BaseModel):
    """One thing to ask for."""

    verb: Asking
    full: bool = False
    label: str
    allowed: bool
    effect: str = Field(description="What happens when it is asked for now; empty when it is not allowed.")
    reason: str = Field(description="Why it is not allowed; empty when it is.")
    harmful: bool = Field(description="Whether it ends the rollout or skips what was to be judged.")


_ACTIONS: tuple[tuple[Asking, bool, str], ...] = (
    ("pause", False, "Pause"),
    ("resume", False, "Resume"),
    ("approve", False, "Approve"),
    ("promote", False, "Skip stage"),
    ("promote", True, "Promote to 100 %"),
    ("abort", False, "Abort"),
)
_RETRY: tuple[Asking, bool, str] = ("retry", False, "Try again")


def actions(spec: CanarySpec, looked: Looked, now: float) -> list[Action]:
    """Every action, allowed or with the reason why not."""
    offered = [*_ACTIONS, _RETRY] if looked.retries else _ACTIONS
    return [
        action_of(spec, looked, OperatorRequest("asked", verb, "somebody", now, full), label)
        for verb, full, label in offered
    ]


def effect_of(spec: CanarySpec, looked: Looked, asked: OperatorRequest) -> str:
    """What a request would do, a sentence; empty where it will be refused, so that there is nothing to fear."""
    return action_of(spec, looked, asked).effect


def action_of(spec: CanarySpec, looked: Looked, asked: OperatorRequest, label: str = "") -> Action:
    """What a request would do, or why it would be refused."""
    reason = _why_not(spec, looked, asked)
    effect = "" if reason else _effect(spec, looked, asked)
    if effect and not looked.running:
        effect = f"{effect} {looked.nobody}"
    return Action(
        verb=asked.verb,
        full=asked.full,
        label=label,
        allowed=not reason,
        effect=effect,
        reason=reason,
        harmful=asked.verb in {"abort", "promote"},
    )


def _why_not(spec: CanarySpec, looked: Looked, asked: OperatorRequest) -> str:
    rollout, verb = looked.rollout, asked.verb
    if verb == "retry":
        return why_not_again(rollout)
    if rollout.finished:
        return f"The rollout has ended ({(rollout.result or 'ended').replace('_', ' ')})."
    if rollout.phase is Phase.ROLLING_BACK:
        return "Everything is on its way back to stable already."
    response = answer(Look(spec, rollout, looked.seen, asked.at), asked)
    if response.accepted:
        return ""
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


def _effect(spec: CanarySpec, looked: Looked, asked: OperatorRequest) -> str:
    rollout, canary = looked.rollout, spec.canary.name
    following = min(rollout.stage + 1, len(spec.stages) - 1)
    upcoming = Weights.of_share(spec.stages[following].traffic)
    match asked.verb:
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
