"""One look at a rollout: the plan, the state, the world and the time, with the questions that decisions ask of them.

Made by `machine.advance` for one pass; read by `guards.py`, `requests.py` and `steps.py`. Changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.rollout import Phase, Reason, Rollout
from canary.snapshot import Snapshot
from canary.spec.models import CanarySpec, Stage
from canary.verdict import Judgement
from canary.weights import ALL_STABLE, Weights

EXPOSED = frozenset(
    {
        Phase.SHIFTING,
        Phase.ANALYZING,
        Phase.AWAITING_APPROVAL,
        Phase.PAUSED,
        Phase.PROMOTING,
        Phase.WATCHING,
        Phase.BLIND,
    }
)
"""Phases in which the canary may have traffic."""
JUDGED = frozenset({Phase.ANALYZING, Phase.WATCHING})
"""Phases whose end depends on the judge's PASS."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A phase change that something asks for: where to, why, and what else becomes different."""

    to: Phase
    reason: Reason
    message: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    updates: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `Rollout` that take a new value with it."""


@dataclass(frozen=True, slots=True)
class PassContext:
    """Everything that one pass knows."""

    spec: CanarySpec
    rollout: Rollout
    seen: Snapshot
    now: float
    judgement: Judgement = field(default_factory=Judgement)

    @property
    def stage(self) -> Stage:
        """The stage that is being entered or judged."""
        return self.spec.stages[self.rollout.stage]

    @property
    def stage_weights(self) -> Weights:
        """What that stage gives the canary."""
        return Weights.of_share(self.stage.traffic)

    @property
    def last_stage(self) -> bool:
        """Whether no stage follows."""
        return self.rollout.stage == len(self.spec.stages) - 1

    @property
    def hold_ends(self) -> float:
        """When the stage may end at the earliest."""
        return self.rollout.stage_since + self.stage.hold

    @property
    def both_usable(self) -> bool:
        """Whether traffic may rise at all: the canary can serve, and so can the way back."""
        return self.seen.stable.usable and self.seen.canary.usable

    @property
    def in_force(self) -> bool:
        """Whether the weights asked for are the ones that the route is seen to have."""
        return self.seen.route.weights == self.rollout.weights

    def weights_of(self, stage: int) -> Weights:
        """What a stage gives the canary; nothing before the first."""
        return Weights.of_share(self.spec.stages[stage].traffic) if stage >= 0 else ALL_STABLE

    def back(
        self, reason: Reason, message: str, evidence: Mapping[str, Any] | None = None, **updates: Any
    ) -> Transition:
        """The change that puts everything back on stable."""
        return Transition(Phase.ROLLING_BACK, reason, message, evidence or {}, {"decided": self.now, **updates})
