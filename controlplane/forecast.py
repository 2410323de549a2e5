"""What a plan would take: stages, time and requests to each verdict, GPUs and money, and what cannot be decided.

Called by `serinus plan`. It computes no statistics of its own: the plan is played in the virtual world with a healthy
canary, and with ones that fail more often, so the answer is what the real judge would do at this traffic. It is a
forecast for one seed and one kind of noise, not a promise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from canary import baseline
from canary.judge import compile_gates, noise_floor
from canary.judge.config import counted
from canary.rollout import Phase
from canary.snapshot import Counters
from canary.spec.models import CanarySpec, Gate, ModelCanary, Variant
from controlplane.profiles.canary_check import fit
from controlplane.simulation.faults import length_of
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from profiles.accelerator import GIB
from profiles.catalogue import Catalogue, builtin
from profiles.errors import Unknown

HARMS = {"errors-x20": "errors ×20", "errors-x2": "errors ×2"}
"""Scenarios whose discovery is forecast, and what they are in words."""
PATIENCE = 2.0
"""Times the plan's length that a stage may take before it is said not to be decided."""


@dataclass(frozen=True, slots=True)
class GateForecast:
    """One gate of one stage."""

    gate: str
    margin: float | None
    """For gates that compare with stable: by how much the canary may be worse, as a fraction."""
    noise_floor: float | None
    """By how much stable differs from itself within the stage's hold, as a fraction; None where it is not known."""
    passes_after: float | None
    """Seconds after the stage's weights came into force; None if it did not pass."""
    samples: float | None
    """Canary samples behind that verdict,"""
    counted: str = "requests"
    """and what they are, in the plural."""

    @property
    def below_noise(self) -> bool:
        """Whether the margin is smaller than what stable's own noise does in that time."""
        return self.margin is not None and self.noise_floor is not None and self.margin < self.noise_floor


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
    """Date of the catalogue's price; empty for a price that the plan states."""
    fits: bool | None
    """Whether one replica fits its GPUs; None where the model, the GPU or the quantization is not known."""
    needed_gib: float | None
    """What weights, activations and one short request take of each GPU."""
    reserved_gib: float | None
    """What the engine takes of each GPU."""


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
    put_back_by: str = ""
    """Why a canary as good as stable was rolled back; empty where it was not."""
    learnt_from: float | None = None
    """Seconds of stable's real past that the noise floors are from; None where they are simulated."""

    @property
    def decidable(self) -> bool:
        """Whether a healthy canary gets through."""
        return self.result == "promoted"


def forecast(
    plan: ModelCanary,
    *,
    rps: float,
    noise: str = "real",
    rated: float = 1.0,
    seed: int = 0,
    known: Catalogue | None = None,
    past: Sequence[Counters] = (),
) -> Forecast:
    """Play the plan at so many requests a second and read off what it takes; GPUs are looked up in `known`.

    `past` is what stable has done lately, oldest first: noise floors are then its own. How long verdicts take is played
    with the noise that is named, and with KPIs known of the share `rated` of the requests.
    """
    horizon = PATIENCE * length_of(plan.spec) + plan.spec.progress_deadline
    if plan.spec.shadow:
        horizon += plan.spec.shadow.for_

    def played(scenario: str) -> Story:
        return simulate(plan, SCENARIOS[scenario], seed=seed, rps=rps, noise=noise, rated=rated, horizon=horizon)

    healthy = played("healthy")
    found = {words: _found_after(played(name)) for name, words in HARMS.items()}
    variants = (plan.spec.stable, plan.spec.canary)
    catalogue = known or builtin()
    gpus = [each for variant in variants if (each := _gpus(plan.spec, variant, catalogue)) is not None]
    floors = {
        (floor.stage, floor.gate): floor.noise for floor in baseline.detection_limits(compile_gates(plan.spec), past)
    }
    learnt_from = past[-1].at - past[0].at if len(past) >= baseline.ENOUGH else None
    stages = _stages(plan, healthy, floors if learnt_from is not None else None)
    return Forecast(stages, healthy.seconds, healthy.result, found, gpus, _put_back_by(healthy), learnt_from)


Floors = Mapping[tuple[int, str], float]
"""Noise floor by stage and gate."""


def _stages(plan: ModelCanary, story: Story, real: Floors | None) -> Sequence[StageForecast]:
    events = story.events
    begun = {
        event.stage: event.t
        for event in reversed(events)
        if event.event == "phase" and event.phase in {Phase.ANALYZING, Phase.WATCHING}
    }
    over = max((event.t for event in events if event.event == "end"), default=None)
    forecasts = []
    for index, stage in enumerate(plan.spec.stages):
        start, end = begun.get(index), begun.get(index + 1, over)
        gates = [_gate(plan, gate, index, start, story, real) for gate in stage.gates]
        lasts = end - start if start is not None and end is not None else None
        forecasts.append(StageForecast(stage.traffic, stage.hold, lasts, gates))
    return forecasts


def _gate(
    plan: ModelCanary, gate: Gate, stage: int, start: float | None, story: Story, real: Floors | None
) -> GateForecast:
    margin = gate.limit if gate.relative and gate.margin == "relative" else None
    floor = None
    if margin is not None and real is not None:
        floor = real.get((stage, gate.text))
    elif margin is not None and story.rollout is not None:
        floor = noise_floor(compile_gates(plan.spec), story.rollout.judge, gate.text, over=plan.spec.stages[stage].hold)
    for event in story.events:
        evidence = event.evidence
        passed = event.event == "verdict" and event.stage == stage and evidence.get("verdict") == "pass"
        if start is not None and passed and evidence.get("gate") == gate.text:
            samples = evidence.get("samples", {}).get("canary")
            return GateForecast(gate.text, margin, floor, event.t - start, samples, counted(gate))
    return GateForecast(gate.text, margin, floor, None, None, counted(gate))


def _put_back_by(story: Story) -> str:
    return next((each.message for each in story.events if each.phase is Phase.ROLLING_BACK), "")


def _found_after(story: Story) -> float | None:
    rollout = story.rollout
    if rollout is None or rollout.result != "rolled_back" or rollout.decided is None:
        return None
    first = next((event.at for event in story.events if event.event == "weights" and event.weight > 0), None)
    return rollout.decided - first if first is not None else None


def _gpus(spec: CanarySpec, variant: Variant, known: Catalogue) -> GpuForecast | None:
    profile = variant.profile
    if profile is None:
        return None
    count = profile.count * variant.replicas
    hourly, date = profile.price, ""
    if hourly is None:
        try:
            price = known.gpu(profile.gpu).price
        except Unknown:
            price = None
        hourly, date = (price.typical, price.as_of) if price else (None, "")
    room = fit(spec, variant, known)
    return GpuForecast(
        variant=variant.name,
        gpus=count,
        gpu=profile.gpu,
        dollars_an_hour=None if hourly is None else hourly * count,
        price_date=date,
        fits=room.fits if room else None,
        needed_gib=room.needed / GIB if room else None,
        reserved_gib=room.reserved / GIB if room else None,
    )
