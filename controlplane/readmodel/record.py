"""One rollout as its store has it, with what follows from that: the plan, both variants, whether it is over.

The common part of what `serinus` reads from a state folder and `kubectl canary` from a ModelCanary. What was seen of
its world is joined by each of them. Light to import: a plan is read when somebody asks for it.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canary.rollout import Rollout
    from canary.spec.models import CanarySpec, ModelCanary
    from controlplane.ports import Stored


@dataclass(frozen=True, slots=True)
class RolloutRecord:
    """A rollout that was begun."""

    stored: "Stored"

    @property
    def rollout(self) -> "Rollout":
        """Where it is."""
        return self.stored.rollout

    @property
    def plan(self) -> "ModelCanary":
        """The plan that is carried out, which an edited file or spec need not be."""
        return _plan_of(self.stored.spec_text)

    @property
    def spec(self) -> "CanarySpec":
        """What the plan says."""
        return self.plan.spec

    @property
    def variants(self) -> dict[str, dict[str, Any]]:
        """By arm, as the plan says it."""
        spec = self.plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)["spec"]
        return {arm: spec.get(arm) or {} for arm in ("stable", "canary")}

    @property
    def over(self) -> bool:
        """Whether it has ended, and no newer plan takes its place."""
        return self.rollout.finished and self.rollout.result != "superseded"

    def until(self, now: float) -> float:
        """The moment that is shown: now, or the last one of a rollout that is over."""
        return self.rollout.history[-1].at if self.rollout.finished and self.rollout.history else now


@lru_cache(maxsize=16)
def _plan_of(text: str) -> "ModelCanary":
    """A plan is read once, however often it is asked for."""
    from canary.spec.stored import from_text

    return from_text(text)
