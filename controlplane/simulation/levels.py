"""What healthy means for a plan: errors, latency and KPIs that stand comfortably inside the plan's own limits.

Made once per simulation from the gates, so that a healthy canary can pass every plan that is written; a plan whose
limit is tighter than anything gets a better service, never a failing one. Draws nothing at random.
"""

from dataclasses import dataclass

from canary.spec.models import CanarySpec, Gate
from controlplane.simulation import shape
from controlplane.simulation.noise import TrafficNoise

COMFORT = 0.6
"""A healthy time stands at this share of the tightest limit on it; a busy hour makes it a third longer at times."""
FEW_ERRORS = 0.3
"""Healthy errors stand at this share of the tightest limit on them: outages of what both arms share multiply them."""
USUAL_ERRORS = 0.005
USUAL_KPI = 0.2
USUAL_MEDIANS = {"latency": 0.060, "e2e": 0.060, "ttft": 0.040, "itl": 0.010, "queue_time": 0.005}
USUAL_ENGINE = {
    "tokens_per_answer": 120.0,
    "tokens_per_second": 40.0,
    "preemptions": 0.01,
    "cost_per_1k_requests": 0.5,
    "cost_per_1m_tokens": 4.0,
    "kv_cache_usage": 0.4,
    "gpu_memory": 0.5,
    "finish_reason/stop": 0.9,
    "finish_reason/length": 0.08,
    "finish_reason/abort": 0.01,
    "finish_reason/error": 0.005,
    "finish_reason/repetition": 0.005,
}
"""What a model server says of itself, in the units of the metrics; `engine.py` turns it into running totals."""


@dataclass(frozen=True, slots=True)
class Levels:
    """The healthy service, as both variants start out."""

    errors: float
    """Share of requests that fail."""
    times: dict[str, float]
    """Median in seconds of the quick answers, by histogram (`latency` always, others where the plan asks)."""
    bounds: dict[str, tuple[float, ...]]
    """Bucket bounds by histogram, every limit among them."""
    kpis: dict[str, float]
    """By KPI: share of requests that count for it; above 1 it is an amount for each request."""
    better_low: frozenset[str]
    """KPIs that get worse by rising."""
    engine: dict[str, float]
    """By metric: what the model server says of itself; only metrics that the plan asks for."""
    queries: tuple[Gate, ...]
    """Gates that ask their own query; the world answers them."""
    counters: tuple[Gate, ...] = ()
    """Gates that name counters of their own; the world counts their KPI for them."""


def healthy(spec: CanarySpec, noise: TrafficNoise) -> Levels:
    """The levels for this plan."""
    gates = tuple(gate for stage in spec.stages for gate in stage.gates)
    names = {"latency"} | {gate.metric for gate in gates if gate.metric in USUAL_MEDIANS}
    times = {name: _median(name, gates, noise) for name in sorted(names)}
    kpis = {name: list(on) for name, on in _by_kpi(gates).items()}
    return Levels(
        errors=min([USUAL_ERRORS, *(FEW_ERRORS * g.limit for g in gates if g.metric == "error_rate" and _caps(g))]),
        times=times,
        bounds={name: shape.bounds_around(times[name], _limits(name, gates)) for name in times},
        kpis={name: _kpi(on) for name, on in kpis.items()},
        better_low=frozenset(name for name, on in kpis.items() if any(gate.better == "lower" for gate in on)),
        engine={name: _within(on, usual) for name, usual in USUAL_ENGINE.items() if (on := _on(name, gates))},
        queries=tuple(gate for gate in gates if gate.query),
        counters=tuple(gate for gate in gates if gate.events),
    )


def kpi_name(gate: Gate) -> str | None:
    """The KPI that a gate judges, or None."""
    return gate.metric.removeprefix("kpi/") if gate.metric.startswith("kpi/") else None


def _caps(gate: Gate) -> bool:
    return gate.comparison == "max" and gate.limit > 0


def _median(name: str, gates: tuple[Gate, ...], noise: TrafficNoise) -> float:
    """The usual median, or what keeps the tightest limit at a distance."""
    allowed = [USUAL_MEDIANS[name]]
    for gate in gates:
        if gate.metric == name and _caps(gate):
            factor = shape.quantile(gate.quantile, noise.pause) if gate.quantile else shape.mean(noise.pause)
            allowed.append(COMFORT * gate.limit / factor)
    return min(allowed) if len(allowed) == 1 else min(allowed[1:])


def _limits(name: str, gates: tuple[Gate, ...]) -> set[float]:
    return {gate.limit for gate in gates if gate.metric == name and _caps(gate) and gate.quantile}


def _by_kpi(gates: tuple[Gate, ...]) -> dict[str, list[Gate]]:
    names: dict[str, list[Gate]] = {}
    for gate in gates:
        if name := kpi_name(gate):
            names.setdefault(name, []).append(gate)
    return names


def _on(name: str, gates: tuple[Gate, ...]) -> list[Gate]:
    return [gate for gate in gates if gate.metric == name]


def _kpi(gates: list[Gate]) -> float:
    """Half of the lowest cap; half of the way from the highest floor to everybody, or above an amount's floor."""
    caps = [gate.limit for gate in gates if _caps(gate)]
    floors = [gate.limit for gate in gates if gate.comparison == "min"]
    if caps:
        return min(caps) / 2
    if floors:
        return (1 + max(floors)) / 2 if max(floors) <= 1 else max(floors) * 1.5
    return USUAL_KPI


def _within(gates: list[Gate], usual: float) -> float:
    """The usual level, moved inside the plan's limits."""
    caps = [COMFORT * gate.limit for gate in gates if _caps(gate)]
    floors = [gate.limit / COMFORT for gate in gates if gate.comparison == "min"]
    return max([min([usual, *caps]), *floors])
