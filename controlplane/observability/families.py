"""Prometheus metrics that the page of a machine and the page of an operator have in common: names, words, labels.

Used by `controlplane.api.metrics` and `controlplane.operator.metrics`, so that both call a thing the same. The table of
all metrics is `docs/observability.md`, and a test holds it to what the pages really say. Counts nothing itself.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from canary.rollout import Reason
from controlplane.observability.serving import BOUNDS, Version

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0)
"""Seconds, of how long rollbacks take."""
DURATIONS = {
    "canary_detection_seconds": ("detection", "From the estimated begin of harm to the verdict."),
    "canary_rollback_seconds": ("decided_to_zero", "From the verdict to the canary seen without traffic."),
    "canary_breach_to_zero_seconds": (
        "breach_to_zero",
        "From the estimated begin of harm to the canary seen without traffic.",
    ),
}
"""Metric to what is measured and its words."""
BACK = (
    Reason.GATE_FAILED,
    Reason.CANARY_LOST,
    Reason.CANARY_NOT_READY,
    Reason.STABLE_NOT_READY,
    Reason.ROUTE_NOT_READY,
    Reason.BLIND_TOO_LONG,
    Reason.FINGERPRINT_BLOCKED,
    Reason.ROUTE_LOWERED,
    Reason.EVALUATION_FAILED,
    Reason.SHADOW_LOST,
    Reason.ABORTED,
    Reason.REPLACED,
)
"""Why rollouts go back. Told as zero until it happens: Prometheus sees no increase in one that begins with one."""
Pairs = Counter[tuple[str, str]]


def page(families: Iterator[Metric]) -> bytes:
    """All of them in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collected(list(families)))
    return generate_latest(registry)


class _Collected:
    """A registry wants somebody to ask."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """What was read."""
        yield from self._metrics


def build_info() -> Metric:
    """Which version runs."""
    build = GaugeMetricFamily("canary_build_info", "The version that runs; always 1.", labels=["version"])
    build.add_metric([version("serinus")], 1)
    return build


def decisions(transitions: Pairs, verdicts: Pairs, rollbacks: Counter[str]) -> Iterator[Metric]:
    """What has been decided: phases, gates that changed their mind, rollbacks."""
    yield _pairs("canary_transitions", "Changes of phase.", ("to", "reason"), transitions)
    words = "How often a gate changed its answer to this one."
    yield _pairs("canary_analysis_verdicts", words, ("metric", "verdict"), verdicts)
    back = CounterMetricFamily("canary_rollbacks", "Rollouts that were put back.", labels=["reason"])
    for reason in sorted({*rollbacks, *(each.value for each in BACK)}):
        back.add_metric([reason], rollbacks[reason])
    yield back


def durations(values: Mapping[str, Sequence[float]]) -> Iterator[Metric]:
    """How long rollbacks took, by what is measured; seconds."""
    for name, (key, words) in DURATIONS.items():
        known = values.get(key, ())
        family = HistogramMetricFamily(name, words)
        buckets = [(str(bound), float(sum(value <= bound for value in known))) for bound in BUCKETS]
        family.add_metric([], [*buckets, ("+Inf", float(len(known)))], sum(known))
        yield family


def deliveries(alerts: Pairs, git: Pairs) -> Iterator[Metric]:
    """What left for elsewhere: alerts by channel, operations on git remotes."""
    yield _pairs("canary_alerts", "Attempts to tell a channel something.", ("channel", "outcome"), alerts)
    yield _pairs("canary_git_operations", "Calls of git that spoke to a remote.", ("op", "outcome"), git)


def serving(versions: Mapping[tuple[str, str], Version]) -> Iterator[Metric]:
    """The traffic that passed through our own Envoy, by model and version."""
    labels = ["model_id", "version"]
    requests = CounterMetricFamily(
        "ai_requests", "Requests answered through our own proxy.", labels=[*labels, "outcome"]
    )
    latency = HistogramMetricFamily("ai_latency_seconds", "How long answers took, as the proxy saw it.", labels=labels)
    tokens = CounterMetricFamily("ai_tokens", "Tokens as the model server counts them.", labels=[*labels, "direction"])
    for (model, name), totals in sorted(versions.items()):
        place = [model, name]
        requests.add_metric([*place, "success"], max(totals.requests - totals.errors, 0.0))
        requests.add_metric([*place, "error"], totals.errors)
        whole = totals.latency.get(float("inf"), 0.0)
        buckets = [(str(bound), totals.latency[bound]) for bound in BOUNDS if bound in totals.latency]
        latency.add_metric(place, [*buckets, ("+Inf", whole)], sum_value=None)
        # With a sum it would add this by itself; Envoy's buckets have none.
        latency.add_sample("ai_latency_seconds_count", dict(zip(labels, place, strict=True)), whole)
        for direction, count in sorted(totals.tokens.items()):
            tokens.add_metric([*place, direction], count)
    yield from (requests, latency, tokens)


def _pairs(name: str, words: str, labels: tuple[str, str], counts: Pairs) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for pair, count in sorted(counts.items()):
        family.add_metric(pair, count)
    return family
