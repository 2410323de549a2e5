"""From samples to running totals: what each replica has counted so far, by metric, as `PodCounters`.

Called by every metric source with the samples that it fetched and the profile (`sources.py`) that says what they
mean. Numbers that are missing stay missing, no total is ever differenced, and nothing is remembered from one call to
the next.
"""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from canary.observation import HistogramCounts, PodCounters
from canary.spec.sources import UNROUTED, Profile, Row
from canary.weights import ARMS, Arm


class Sample(NamedTuple):
    """One line of a metrics page, or the newest point of one series."""

    name: str
    labels: Mapping[str, str]
    value: float


Replica = tuple[Arm, str]
Owner = Callable[[Mapping[str, str]], Replica | None]
"""Whose series it is, by its labels; None for nobody's."""
Pods = Mapping[Arm, Mapping[str, PodCounters]]

_ENVOYS_OWN_LISTENERS = {"admin", "async-client"}


def by_labels(labels: Mapping[str, str]) -> Replica | None:
    """By the labels `arm` and `replica`, as our own scrape configuration sets them."""
    arm, replica = labels.get("arm"), labels.get("replica")
    return next(((known, replica) for known in ARMS if known == arm and replica), None)


def by_envoy_cluster(labels: Mapping[str, str]) -> Replica | None:
    """By the name of our own Envoy's cluster, which is the replica's: `canary-0`."""
    cluster = labels.get("envoy_cluster_name", "")
    return next(((arm, cluster) for arm in ARMS if cluster.startswith(f"{arm}-")), None)


def by_gateway_slot(labels: Mapping[str, str]) -> Replica | None:
    """By the place of a backendRef in our HTTPRoute: slot 0 is stable, slot 1 the canary. Each proxy is a replica."""
    found = re.search(r"/backend/([01])$", labels.get("envoy_cluster_name", ""))
    return (ARMS[int(found[1])], labels.get("pod") or labels.get("instance") or "gateway") if found else None


def pods(samples: Iterable[Sample], profile: Profile, owner: Owner) -> Pods:
    """Running totals of every replica that has any, by arm. Values that are not finite numbers count as missing."""
    pools: dict[Replica, dict[str, list[Sample]]] = {}
    for sample in samples:
        replica = owner(sample.labels) if math.isfinite(sample.value) else None
        if replica:
            pools.setdefault(replica, defaultdict(list))[sample.name].append(sample)
    arms: dict[Arm, dict[str, PodCounters]] = defaultdict(dict)
    for (arm, name), pool in sorted(pools.items()):
        arms[arm][name] = _pod(pool, profile)
    return _with_empty_histograms(arms)


def unrouted(samples: Iterable[Sample]) -> float | None:
    """Requests that our Envoy could send nowhere; None when it does not say."""
    counts = [
        sample.value
        for sample in samples
        if sample.name in UNROUTED
        and sample.labels.get("envoy_http_conn_manager_prefix") not in _ENVOYS_OWN_LISTENERS
        and math.isfinite(sample.value)
    ]
    return sum(counts) if counts else None


def _pod(pool: Mapping[str, Sequence[Sample]], profile: Profile) -> PodCounters:
    """The totals of one replica from all its samples. The first row that finds anything feeds its metric."""
    requests: float | None = None
    errors: float | None = None
    histograms: dict[str, HistogramCounts] = {}
    totals: dict[str, float] = {}
    gauges: dict[str, float] = {}
    for row in profile:
        found = [sample for sample in pool.get(row.wire_name, ()) if _matches(row.where, sample.labels)]
        if not found:
            continue
        if row.feeds == "requests":
            if requests is None:
                requests = _total(found)
                errors = _errors(row, found, requests)
        elif row.kind == "histogram":
            histograms.setdefault(row.feeds, _histogram(found, row.scale))
        elif row.kind == "gauge":
            # Of several engines in one server the fullest is the one that hurts.
            gauges.setdefault(row.feeds, max(sample.value for sample in found))
        else:
            for name, value in _split(row, found).items():
                totals.setdefault(name, value)
    broken = totals.pop("broken_answers", 0.0) - totals.pop("garbled_answers", 0.0)
    return PodCounters(
        requests=requests,
        errors=None if errors is None else errors + max(broken, 0.0),
        histograms=histograms,
        kpis=_kpis(totals),
        totals={name: value for name, value in totals.items() if not name.startswith("kpi_")},
        gauges={name: value for name, value in gauges.items() if name != "started_at"},
        started_at=gauges.get("started_at"),
    )


def _errors(row: Row, found: Sequence[Sample], requests: float) -> float | None:
    """How many of the requests failed; None when the series does not tell them apart."""
    if row.failed:
        return _total([sample for sample in found if _matches(row.failed, sample.labels)])
    return 0.0 if requests == 0 else None


def _matches(where: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(re.fullmatch(pattern, labels.get(label, "")) for label, pattern in where.items())


def _total(found: Sequence[Sample]) -> float:
    return math.fsum(sample.value for sample in found)


def _split(row: Row, found: Sequence[Sample]) -> dict[str, float]:
    """The row's total, or one total for each value of its label."""
    parts: dict[str, float] = defaultdict(float)
    for sample in found:
        parts[f"{row.feeds}/{sample.labels.get(row.by, '')}" if row.by else row.feeds] += sample.value
    return parts


def _histogram(found: Sequence[Sample], scale: float) -> HistogramCounts:
    """Cumulative counts by upper bound in seconds, added over engines, on the bounds that all of them have."""
    by_series: dict[frozenset[tuple[str, str]], dict[float, float]] = defaultdict(dict)
    for sample in found:
        bound = float(sample.labels.get("le", "nan"))
        if not math.isnan(bound):
            rest = frozenset((label, value) for label, value in sample.labels.items() if label != "le")
            by_series[rest][bound] = sample.value
    series = list(by_series.values())
    common = set.intersection(*map(set, series)) if series else set()
    # Rounded, so that 200 ms is 0.2 s and not its neighbour among the floats.
    return {round(bound * scale, 12): sum(counts[bound] for counts in series) for bound in sorted(common)}


def _kpis(totals: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Pairs of events and what they are counted among; half a pair says nothing."""
    names = [name.removeprefix("kpi_events/") for name in totals if name.startswith("kpi_events/")]
    return {
        name: (totals[f"kpi_events/{name}"], totals[f"kpi_of/{name}"]) for name in names if f"kpi_of/{name}" in totals
    }


def _with_empty_histograms(arms: Mapping[Arm, Mapping[str, PodCounters]]) -> Pods:
    """Give a replica that has answered nothing yet an empty latency histogram, on the bounds that the others have.

    A proxy makes a histogram at its first request. That there was none before is known, and knowing it makes the first
    scrape's difference exact in place of lost.
    """
    known = (
        pod.histograms["latency"] for each in arms.values() for pod in each.values() if "latency" in pod.histograms
    )
    bounds = next(known, None)
    if bounds is None:
        return arms
    empty = dict.fromkeys(bounds, 0.0)
    return {arm: {name: _filled(pod, empty) for name, pod in each.items()} for arm, each in arms.items()}


def _filled(pod: PodCounters, empty: HistogramCounts) -> PodCounters:
    if pod.requests == 0 and "latency" not in pod.histograms:
        return replace(pod, histograms={**pod.histograms, "latency": empty})
    return pod
