"""Evaluation and shadow in the virtual world: results that a healthy canary wins and a worse one loses.

Behind the port `Rehearsal`. Results are drawn once, from a generator of their own.
"""

import math

from numpy.random import Generator

from canary.snapshot import EvaluationStatus, ShadowDay, ShadowStatus
from canary.spec.models import CanarySpec, Criterion
from controlplane.simulation.clock import VirtualClock
from controlplane.simulation.levels import Levels
from controlplane.simulation.regression import Regression

EVALUATION_SECONDS = 600.0
DAY = 86400.0
PAIRS_A_DAY = 4000
TIES = 0.4
NET_WIN = 0.08
"""Net win rate of a healthy canary: it was made because it is better."""


class VirtualRehearsal:
    """Runs the harness and compares pairs."""

    def __init__(self, spec: CanarySpec, levels: Levels, flaw: Regression, clock: VirtualClock, rng: Generator) -> None:
        self._spec, self._levels, self._flaw, self._clock, self._rng = spec, levels, flaw, clock, rng
        self._evaluated_at: float | None = None
        self._mirrored_at: float | None = None
        self._share = 0.0
        self._days: list[ShadowDay] = []

    async def evaluate(self) -> None:
        """Begin, unless it has begun."""
        if self._evaluated_at is None:
            self._evaluated_at = self._clock.t + EVALUATION_SECONDS

    async def mirror(self, share: float) -> None:
        """Begin to compare, unless that has begun."""
        if self._mirrored_at is None:
            self._mirrored_at = self._clock.t
        self._share = share

    async def seen(self) -> tuple[EvaluationStatus | None, ShadowStatus | None]:
        """Results so far."""
        return self._evaluation(), self._shadow()

    def _evaluation(self) -> EvaluationStatus | None:
        if self._evaluated_at is None or self._spec.evaluation is None:
            return None
        if self._clock.t < self._evaluated_at:
            return EvaluationStatus(self._clock.now())
        stable: dict[str, float] = {}
        for criterion in self._spec.evaluation.metrics:
            stable.setdefault(criterion.metric, _healthy(criterion, self._spec.evaluation.metrics))
        low = {criterion.metric for criterion in self._spec.evaluation.metrics if criterion.comparison == "max"}
        worse = self._flaw.kpi
        canary = {metric: value / worse if metric in low else value * worse for metric, value in stable.items()}
        return EvaluationStatus(self._clock.now(), done=True, canary=canary, stable=stable)

    def _shadow(self) -> ShadowStatus | None:
        if self._mirrored_at is None:
            return None
        while len(self._days) < math.floor((self._clock.t - self._mirrored_at) / DAY):
            self._days.append(self._day(len(self._days) + 1))
        return ShadowStatus(self._clock.now(), tuple(self._days))

    def _day(self, number: int) -> ShadowDay:
        """A day's pairs: answers that fail, or are as much worse as the flaw says, lose."""
        plan = self._spec.shadow
        net = max(NET_WIN, plan.promote.win_rate + 0.05 if plan else 0.0)
        worse = min((self._flaw.errors - 1) * self._levels.errors + 2 * (1 - self._flaw.kpi), 0.5)
        pairs = self._rng.binomial(PAIRS_A_DAY, self._share)
        wins = (1 - TIES) / 2 + (net - worse) / 2
        drawn = self._rng.multinomial(pairs, [wins, TIES, 1 - TIES - wins])
        return ShadowDay(number, *(int(count) for count in drawn))


def _healthy(criterion: Criterion, criteria: tuple[Criterion, ...]) -> float:
    """A value inside every limit on the criterion's metric."""
    limits = {(c.comparison, c.limit) for c in criteria if c.metric == criterion.metric and c.limit is not None}
    caps = [limit for comparison, limit in limits if comparison == "max" and limit is not None]
    floors = [limit for comparison, limit in limits if comparison == "min" and limit is not None]
    if caps:
        return min(caps) / 2
    if floors:
        return (1 + max(floors)) / 2 if max(floors) <= 1 else max(floors) * 1.5
    return 0.8
