"""From samples to running totals: what each replica has counted so far, by metric, as `PodCounters`.

Called by every metric source with the samples that it fetched and the profile (`sources.py`) that says what they
mean. Numbers that are missing stay missing, no total is ever differenced, and nothing is remembered from one call to
the next.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import NamedTuple

from canary.snapshot import HistogramCounts, PodCounters
from canary.spec import labels as labels_
from canary.spec.recipe import Recipe, SeriesId, is_number
from canary.spec.sources import UNROUTED, Profile, by_label
from canary.weights import ARMS, Arm


class Sample(NamedTuple):
    """One line of a metrics page, or the newest point of one series."""

    name: str
    labels: Mapping[str, str]
    value: float
    at: float | None = None
    """When it was scraped (seconds); None where that is not known or the same for all."""


Replica = tuple[Arm, str]
Owner = Callable[[Mapping[str, str]], Replica | None]
"""Whose series it is, by its labels; None for nobody's."""
Pods = Mapping[Arm, Mapping[str, PodCounters]]


class Totals(NamedTuple):
    """What samples say."""

    arms: Pods
    """Running totals of every replica that has any, by arm."""
    problems: list[str]
    """What of it makes no sense and is missing, one clause each, with the name of the replica."""


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


def pods(samples: Iterable[Sample], profile: Profile, owner: Owner, at: float | None = None) -> Totals:
    """Running totals of every replica that has any, by arm. Values that are no numbers count as missing.

    `at` is the time of the whole reading: what was scraped at other times says so.
    """
    arms: dict[Arm, dict[str, PodCounters]] = defaultdict(dict)
    problems = []
    for (arm, name), pool in _by_replica(samples, owner):
        recipe = Recipe([SeriesId(sample.name, sample.labels) for sample in pool], profile)
        totals = recipe.totals([sample.value for sample in pool])
        times = [sample.at for sample in pool if sample.at is not None]
        arms[arm][name] = timed(totals, recipe, times, at) if len(times) == len(pool) else totals
        problems += [f"no data from {name}: {problem}" for problem in recipe.problems]
    return Totals(with_empty_histograms(arms), problems)


def timed(totals: PodCounters, recipe: Recipe, times: Sequence[float], at: float | None) -> PodCounters:
    """A replica's totals with the times of its scrapes, where these are not that of the whole reading."""
    scraped, apart = recipe.scraped(times)
    return totals if scraped == at and not apart else replace(totals, at=scraped, apart=apart)


def segments(
    samples: Iterable[Sample], profile: Profile, owner: Owner, labels: Sequence[str], arms: Pods
) -> labels_.Segments:
    """The same totals once more by label and value, of the series that carry the label; `arms` is what `pods` gave."""
    if not labels:
        return {}
    rows = by_label(profile)
    parts = []
    for (arm, name), pool in _by_replica(samples, owner):
        labelled = labels_.Labelled([SeriesId(sample.name, sample.labels) for sample in pool], rows, labels)
        whole = arms.get(arm, {}).get(name)
        found = labelled.totals([sample.value for sample in pool], whole.started_at if whole else None)
        parts.append((arm, name, found))
    return labels_.gathered(parts)


def _by_replica(samples: Iterable[Sample], owner: Owner) -> list[tuple[Replica, list[Sample]]]:
    """Samples that are numbers, by the replica that they are of, in the order of names."""
    pools: dict[Replica, list[Sample]] = defaultdict(list)
    for sample in samples:
        replica = owner(sample.labels) if is_number(sample.value) else None
        if replica:
            pools[replica].append(sample)
    return sorted(pools.items(), key=itemgetter(0))


def unrouted(samples: Iterable[Sample]) -> float | None:
    """Requests that our Envoy could send nowhere; None when it does not say."""
    counts = [
        sample.value
        for sample in samples
        if sample.name in UNROUTED
        and sample.labels.get("envoy_http_conn_manager_prefix") not in _ENVOYS_OWN_LISTENERS
        and is_number(sample.value)
    ]
    return sum(counts) if counts else None


def with_empty_histograms(arms: Mapping[Arm, Mapping[str, PodCounters]]) -> Pods:
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
