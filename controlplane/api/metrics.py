"""Our own Prometheus metrics, read from the stores when they are asked for: how many rollouts, where, and how it went.

Used by `/metrics`. Counters count what the stores hold, so they fall when somebody deletes a state folder; Prometheus
takes that for the reset that it is. What an ended attempt has to tell is read once and kept.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from canary.rollout import Event, Phase, Reason, Rollout
from canary.verdict import Answer
from controlplane.api.places import Place

BACK = (
    Reason.GATE_FAILED,
    Reason.CANARY_LOST,
    Reason.CANARY_NOT_READY,
    Reason.BLIND_TOO_LONG,
    Reason.FINGERPRINT_BLOCKED,
    Reason.ROUTE_LOWERED,
    Reason.EVALUATION_FAILED,
    Reason.SHADOW_LOST,
    Reason.ABORTED,
    Reason.REPLACED,
)
"""Why rollouts go back."""
K = TypeVar("K")
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)


@dataclass(slots=True)
class Told:
    """What one attempt adds to the counters."""

    transitions: Counter[tuple[str, str]] = field(default_factory=Counter)
    verdicts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rollbacks: Counter[str] = field(default_factory=Counter)
    times: dict[str, float] = field(default_factory=dict)


class Tally:
    """Reads all rollouts and answers the exposition."""

    def __init__(self) -> None:
        self._ended: dict[tuple[str, int, float], Told] = {}

    async def exposition(self, places: Sequence[Place], unreadable: int) -> bytes:
        """The page in Prometheus' text format."""
        rollouts, told = [], []
        for place in places:
            stored = await place.store.load(place.name)
            if stored is None:
                continue
            rollouts.append((place.id, stored.rollout))
            for attempt in range(1, stored.rollout.attempt + 1):
                key = (place.id, attempt, stored.rollout.began)
                known = self._ended.get(key)
                if known is None:
                    known = tell(await place.store.history(place.name, attempt))
                    if attempt < stored.rollout.attempt or stored.rollout.finished:
                        self._ended[key] = known
                told.append(known)
        registry = CollectorRegistry()
        registry.register(_Collected(list(families(rollouts, told, unreadable))))
        return generate_latest(registry)


class _Collected:
    """A registry wants somebody to ask."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """What was read."""
        yield from self._metrics


def tell(events: Sequence[Event]) -> Told:
    """One attempt's history as counts and times."""
    told, back = Told(), ""
    for event in events:
        if event.event == "phase":
            told.transitions[event.phase.value, event.reason.value] += 1
            if event.phase is Phase.ROLLING_BACK:
                back = event.reason.value
        elif event.event == "verdict":
            told.verdicts[str(event.evidence.get("gate", "")), str(event.evidence.get("verdict", ""))] += 1
        elif event.event == "end":
            if back:
                told.rollbacks[back] += 1
            began, decided, zero = (event.evidence.get(key) for key in ("harm_began", "decided", "zero"))
            if decided is not None and zero is not None:
                told.times["decided_to_zero"] = max(zero - decided, 0.0)
            if began is not None and decided is not None:
                told.times["detection"] = max(decided - began, 0.0)
            if began is not None and zero is not None:
                told.times["breach_to_zero"] = max(zero - began, 0.0)
    return told


def families(rollouts: Sequence[tuple[str, Rollout]], told: Sequence[Told], unreadable: int) -> Iterator[Metric]:
    """Every metric, with bounded labels: names of rollouts, phases, reasons and gates."""
    build = GaugeMetricFamily("canary_build_info", "The version that runs; always 1.", labels=["version"])
    build.add_metric([version("serinus")], 1)
    yield build
    yield GaugeMetricFamily("canary_stores_unreadable", "State folders that cannot be read.", value=unreadable)

    phases = Counter(rollout.phase for _, rollout in rollouts)
    by_phase = GaugeMetricFamily("canary_rollouts", "Rollouts by phase.", labels=["state"])
    for phase in Phase:
        by_phase.add_metric([phase.value], phases[phase])
    yield by_phase
    yield from _now_families(rollouts)
    yield from _counters(told)
    yield _histogram(
        "canary_detection_seconds",
        "From the estimated begin of harm to the verdict.",
        [t.times.get("detection") for t in told],
    )
    yield _histogram(
        "canary_rollback_seconds",
        "From the verdict to the canary seen without traffic.",
        [t.times.get("decided_to_zero") for t in told],
    )
    yield _histogram(
        "canary_breach_to_zero_seconds",
        "From the estimated begin of harm to the canary seen without traffic.",
        [t.times.get("breach_to_zero") for t in told],
    )


def _now_families(rollouts: Sequence[tuple[str, Rollout]]) -> Iterator[Metric]:
    weight = GaugeMetricFamily("canary_weight_ratio", "Share of traffic asked for.", labels=["name", "track"])
    value = GaugeMetricFamily(
        "canary_analysis_value", "A gate's value in its base unit.", labels=["name", "metric", "track"]
    )
    verdict = GaugeMetricFamily(
        "canary_analysis_verdict", "1 for the gate's present answer, else 0.", labels=["name", "metric", "verdict"]
    )
    for name, rollout in rollouts:
        weight.add_metric([name, "canary"], rollout.weights.share)
        weight.add_metric([name, "stable"], 1 - rollout.weights.share)
        for gate in rollout.verdicts:
            for track, number in (("stable", gate.stable), ("canary", gate.canary)):
                if number is not None:
                    value.add_metric([name, gate.gate, track], number)
            for answer in Answer:
                verdict.add_metric([name, gate.gate, answer.value], float(gate.verdict is answer))
    yield from (weight, value, verdict)


def _counters(told: Sequence[Told]) -> Iterator[Metric]:
    transitions = CounterMetricFamily("canary_transitions", "Changes of phase.", labels=["to", "reason"])
    verdicts = CounterMetricFamily(
        "canary_analysis_verdicts", "How often a gate changed its answer to this one.", labels=["metric", "verdict"]
    )
    rollbacks = CounterMetricFamily("canary_rollbacks", "Rollouts that were put back.", labels=["reason"])
    for (to, reason), count in sorted(_sum(t.transitions for t in told).items()):
        transitions.add_metric([to, reason], count)
    for (gate, answer), count in sorted(_sum(t.verdicts for t in told).items()):
        verdicts.add_metric([gate, answer], count)
    counted = _sum(t.rollbacks for t in told)
    # Those that never happened are told as zero: Prometheus sees no increase in a counter that begins with one.
    for reason in sorted({*counted, *(reason.value for reason in BACK)}):
        rollbacks.add_metric([reason], counted[reason])
    yield from (transitions, verdicts, rollbacks)


def _sum(counters: Iterable[Counter[K]]) -> Counter[K]:
    total: Counter[K] = Counter()
    for each in counters:
        total.update(each)
    return total


def _histogram(name: str, words: str, values: Sequence[float | None]) -> Metric:
    known = [value for value in values if value is not None]
    family = HistogramMetricFamily(name, words)
    buckets = [(str(bound), float(sum(v <= bound for v in known))) for bound in BUCKETS]
    family.add_metric([], [*buckets, ("+Inf", float(len(known)))], sum(known))
    return family
