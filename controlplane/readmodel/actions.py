"""What a person may ask a rollout for now, as the page's buttons: each verb with its effect, or why not.

Used by `state.py`. What a request would do is said by `canary.preview`.
"""

from typing import Literal

from pydantic import BaseModel, Field

from canary.preview import preview
from canary.snapshot import HARMFUL, OperatorRequest
from canary.spec.models import CanarySpec
from controlplane.readmodel.rollout_view import RolloutView

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


def actions(spec: CanarySpec, looked: RolloutView, now: float) -> list[Action]:
    """Every action, allowed or with the reason why not."""
    offered = [*_ACTIONS, _RETRY] if looked.retries else _ACTIONS
    return [
        action_of(spec, looked, OperatorRequest("asked", verb, "somebody", now, full), label)
        for verb, full, label in offered
    ]


def action_of(spec: CanarySpec, looked: RolloutView, asked: OperatorRequest, label: str = "") -> Action:
    """What a request would do, or why it would be refused; with what becomes of it while nobody is there to answer."""
    found = preview(spec, looked.rollout, looked.seen, asked)
    return Action(
        verb=asked.verb,
        full=asked.full,
        label=label,
        allowed=not found.reason,
        effect=looked.with_nobody(found.effect),
        reason=found.reason,
        harmful=asked.verb in HARMFUL,
    )
