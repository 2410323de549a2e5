"""Small worlds to judge: plans with gates, and replicas whose running totals grow at random but seeded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from canary.judge import Increments, JudgeState, ReplicaIncrements
from canary.judge.state import JudgeMemory
from canary.snapshot import Counters, PodCounters
from canary.spec.models import CanarySpec, Gate, JudgeSettings, ModelRef, Stage, Variant
from canary.weights import ARMS, Arm

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
ERRORS_AT_MOST = Gate(text="error_rate <= 5%", metric="error_rate", comparison="max", limit=0.05, better="lower")
ERRORS_LIKE_STABLE = Gate(
    text="error_rate not worse than stable by 10%",
    metric="error_rate",
    comparison="notWorseThan",
    limit=0.1,
    better="lower",
)
FAST = Gate(
    text="latency p95 <= 250ms", metric="latency", statistic="p95", comparison="max", limit=0.25, better="lower"
)
FAST_LIKE_STABLE = Gate(
    text="latency p95 not worse than stable by 50%",
    metric="latency",
    statistic="p95",
    comparison="notWorseThan",
    limit=0.5,
    better="lower",
)
CONVERSION = Gate(
    text="conversion drop <= 1%", metric="kpi/conversion", comparison="drift", limit=0.01, better="higher"
)

IN_POINTS = Gate(
    text="error_rate not worse than stable by 1pp",
    metric="error_rate",
    comparison="notWorseThan",
    limit=0.01,
    margin="points",
    better="lower",
)

EVERY_KIND = (ERRORS_AT_MOST, ERRORS_LIKE_STABLE, FAST, FAST_LIKE_STABLE, CONVERSION)
"""A gate of each kind but the margin in points."""


def plan(*gates: Gate, shares: Sequence[float] = (0.05, 0.25, 1.0), hold: float = 5.0, **judge: object) -> CanarySpec:
    """A plan with these gates in every stage below 100 %."""
    return CanarySpec(
        model=ModelRef(name="served"),
        stable=Variant(name="old"),
        canary=Variant(name="new"),
        stages=tuple(Stage(traffic=share, hold=hold, gates=gates if share < 1 else ()) for share in shares),
        judge=JudgeSettings.model_validate(judge),
    )


def remembered(state: JudgeState) -> JudgeMemory:
    """What a judge that has begun remembers."""
    assert state.memory is not None
    return state.memory


def plainly(state: JudgeState) -> dict[str, Any]:
    """The same as a store keeps it."""
    return dict(TypeAdapter(JudgeMemory).dump_python(remembered(state)))


@dataclass
class Health:
    """How one arm does."""

    errors: float = 0.001
    latency: float = 0.05
    """Median in seconds; the log-sd is 0.35, so p95 is 1.8 times that."""
    conversion: float = 0.2


@dataclass
class World:
    """Replicas of both arms with running totals."""

    seed: int = 1
    pods: Mapping[Arm, int] = field(default_factory=lambda: {"stable": 2, "canary": 1})
    health: dict[Arm, Health] = field(default_factory=lambda: {"stable": Health(), "canary": Health()})
    rated: float = 1.0
    """Share of requests of which it is known whether they ended in a conversion."""

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)
        self.totals = {arm: {f"{arm}-{i}": np.zeros(5 + len(BOUNDS)) for i in range(self.pods[arm])} for arm in ARMS}

    def serve(self, requests: float, share: float) -> None:
        """So many requests on average, split like this."""
        for arm in ARMS:
            part = share if arm == "canary" else 1 - share
            health = self.health[arm]
            for totals in self.totals[arm].values():
                n = self.rng.poisson(requests * part / self.pods[arm])
                times = self.rng.lognormal(math.log(health.latency), 0.35, n)
                below = np.searchsorted(np.sort(times), BOUNDS, side="right")
                rated = n if self.rated == 1.0 else self.rng.binomial(n, self.rated)
                totals += [
                    n,
                    self.rng.binomial(n, health.errors),
                    self.rng.binomial(rated, health.conversion),
                    rated,
                    *below,
                    n,
                ]

    def counters(self, at: float) -> Counters:
        """What a scrape finds."""
        return Counters(at, {arm: {name: _pod(totals) for name, totals in self.totals[arm].items()} for arm in ARMS})


def _pod(totals: np.ndarray) -> PodCounters:
    """One replica's page."""
    requests, errors, conversions, of, *histogram = totals.tolist()
    return PodCounters(
        requests=requests,
        errors=errors,
        histograms={"latency": dict(zip([*BOUNDS, math.inf], histogram, strict=True))},
        kpis={"conversion": (conversions, of)},
        started_at=-1000.0,
    )


def block(
    t: float,
    canary: tuple[float, float] | None,
    *stable: tuple[float, float],
    stage: int = 0,
    weight: float = 0.25,
) -> Increments:
    """A block of requests and errors: one canary replica (None: no data) and any number of stable ones."""
    arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
    if canary is not None:
        arms["canary"] = {"c-0": ReplicaIncrements(*canary)}
    if stable:
        arms["stable"] = {f"s-{i}": ReplicaIncrements(*each) for i, each in enumerate(stable)}
    return Increments(t, stage, weight, arms)
