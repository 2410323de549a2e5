"""What a plan would take: stages, time and requests to each verdict, GPUs and money, and what cannot be decided.

Called by `serinus plan`. It computes no statistics of its own: the plan is played in the virtual world with a healthy
canary, and with ones that fail more often, so the answer is what the real judge would do at this traffic. It is a
forecast for one seed and one kind of noise, not a promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from canary.rollout import Event, Phase
from canary.spec.models import ModelCanary, Variant
from controlplane.simulation.faults import length_of
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from profiles import builtin
from profiles.errors import ProfileError

HARMS = {"errors-x20": "errors ×20", "errors-x2": "errors ×2"}
"""Scenarios whose discovery is forecast, and what they are in words."""
PATIENCE = 2.0
"""Times the plan's length that a stage may take before it is said not to be decided."""


@dataclass(frozen=True, slots=True)
class GateForecast:
    """One gate of one stage."""

    gate: str
    passes_after: float | None
    """Seconds after the stage's weights came into force; None if it did not pass."""
    samples: float | None
    """Canary requests (or events) behind that verdict."""


@dataclass(frozen=True, slots=True)
class StageForecast:
    """One stage."""

    traffic: float
    hold: float
    lasts: float | None
    """Seconds until the next stage; None if it did not end."""
    gates: Sequence[GateForecast]

    @property
    def undecided(self) -> Sequence[str]:
        """Gates that did not pass."""
        return [gate.gate for gate in self.gates if gate.passes_after is None]


@dataclass(frozen=True, slots=True)
class GpuForecast:
    """What one variant occupies."""

    variant: str
    gpus: int
    gpu: str
    dollars_an_hour: float | None
    """For all its GPUs; None where nobody knows the price."""
    price_date: str


@dataclass(frozen=True, slots=True)
class Forecast:
    """The whole plan."""

    stages: Sequence[StageForecast]
    seconds: float
    result: str
    """`promoted`, or what became of the healthy canary instead."""
    found_after: Mapping[str, float | None]
    """Harm in words to the seconds from the canary's first traffic to its rollback; None if it was not found."""
    gpus: Sequence[GpuForecast]

    @property
    def decidable(self) -> bool:
        """Whether a healthy canary gets through."""
        return self.result == "promoted"


def forecast(plan: ModelCanary, *, rps: float, noise: str = "real", seed: int = 0) -> Forecast:
    """Play the plan at so many requests a second and read off what it takes."""
    horizon = PATIENCE * length_of(plan.spec) + plan.spec.progress_deadline
    if plan.spec.shadow:
        horizon += plan.spec.shadow.for_
    healthy = simulate(plan, SCENARIOS["healthy"], seed=seed, rps=rps, noise=noise, horizon=horizon)
    found = {
        words: _found_after(simulate(plan, SCENARIOS[name], seed=seed, rps=rps, noise=noise, horizon=horizon))
        for name, words in HARMS.items()
    }
    variants = (plan.spec.stable, plan.spec.canary)
    gpus = [each for variant in variants if (each := _gpus(variant)) is not None]
    return Forecast(_stages(plan, healthy.events), healthy.seconds, healthy.result, found, gpus)


def _stages(plan: ModelCanary, events: Sequence[Event]) -> Sequence[StageForecast]:
    begun = {
        event.stage: event.t
        for event in reversed(events)
        if event.event == "phase" and event.phase in {Phase.ANALYZING, Phase.WATCHING}
    }
    over = max((event.t for event in events if event.event == "end"), default=None)
    forecasts = []
    for index, stage in enumerate(plan.spec.stages):
        start, end = begun.get(index), begun.get(index + 1, over)
        gates = [_gate(gate.text, index, start, events) for gate in stage.gates]
        lasts = end - start if start is not None and end is not None else None
        forecasts.append(StageForecast(stage.traffic, stage.hold, lasts, gates))
    return forecasts


def _gate(text: str, stage: int, start: float | None, events: Sequence[Event]) -> GateForecast:
    for event in events:
        evidence = event.evidence
        passed = event.event == "verdict" and event.stage == stage and evidence.get("verdict") == "pass"
        if start is not None and passed and evidence.get("gate") == text:
            return GateForecast(text, event.t - start, evidence.get("samples", {}).get("canary"))
    return GateForecast(text, None, None)


def _found_after(story: Story) -> float | None:
    rollout = story.rollout
    if rollout is None or rollout.result != "rolled_back" or rollout.decided is None:
        return None
    first = next((event.at for event in story.events if event.event == "weights" and event.weight > 0), None)
    return rollout.decided - first if first is not None else None


def _gpus(variant: Variant) -> GpuForecast | None:
    profile = variant.profile
    if profile is None:
        return None
    count = profile.count * variant.replicas
    try:
        price = builtin().gpu(profile.gpu).price
    except ProfileError:
        price = None
    an_hour = price.typical * count if price else None
    return GpuForecast(variant.name, count, profile.gpu, an_hour, price.as_of if price else "")
