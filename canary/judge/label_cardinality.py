"""Which values of a label are told apart: at most 64, and all others together, so that no label makes a state grow.

Called by `judge.py` on running totals before they are differenced. What is told apart stays so, and totals of before
and of now are put together alike: a value that changes its place must not look like traffic. Which of these are
judged by themselves is the business of `segments.py`; once that is settled no others are kept.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import replace

from canary.snapshot import Counters, PodCounters
from canary.weights import ARMS, Arm

MOST = 64
"""Values of a label that are told apart."""
OTHER = "other"
"""What the rest is called."""
Pods = Mapping[Arm, Mapping[str, PodCounters]]


def bounded(
    previous: Counters | None, current: Counters, named: Mapping[str, Collection[str]]
) -> tuple[Counters | None, Counters]:
    """Both readings with no more values than are kept; the very same ones where that is so already.

    `named` has the values of those labels whose segments are settled.
    """
    before, now = previous.segments if previous is not None else {}, current.segments
    kept = {label: named[label] if label in named else _kept(before.get(label, {}), now[label]) for label in now}
    if previous is not None and any(_exceeds(before.get(label, {}), kept[label]) for label in kept):
        previous = replace(previous, segments={**before, **_folded(before, kept)})
    if any(_exceeds(now[label], kept[label]) for label in kept):
        current = replace(current, segments=_folded(now, kept))
    return previous, current


def _kept(before: Mapping[str, Pods], now: Mapping[str, Pods]) -> Collection[str]:
    """The values that were told apart before and, as long as there is room, the largest of the new ones."""
    known = [value for value in before if value != OTHER]
    if len(known) < MOST:
        new = [value for value in now if value not in before and value != OTHER]
        known += sorted(new, key=lambda value: (-_requests(now[value]), value))[: MOST - len(known)]
    return frozenset(known)


def _exceeds(values: Mapping[str, Pods], kept: Collection[str]) -> bool:
    return any(value not in kept and value != OTHER for value in values)


def _folded(
    segments: Mapping[str, Mapping[str, Pods]], kept: Mapping[str, Collection[str]]
) -> dict[str, dict[str, Pods]]:
    """Each of these labels with its kept values and the others together, replica by replica."""
    folded: dict[str, dict[str, Pods]] = {}
    for label in kept:
        values = segments.get(label, {})
        folded[label] = {value: pods for value, pods in values.items() if value in kept[label]}
        if rest := [pods for value, pods in values.items() if value not in kept[label]]:
            folded[label][OTHER] = {arm: _together([pods.get(arm, {}) for pods in rest]) for arm in ARMS}
    return folded


def _together(several: Collection[Mapping[str, PodCounters]]) -> dict[str, PodCounters]:
    """Totals of each replica over several values. One process counts them all, so they begin anew together."""
    sums: dict[str, PodCounters] = {}
    for pods in several:
        for name, totals in pods.items():
            sums[name] = _plus(sums[name], totals) if name in sums else totals
    return sums


def _plus(a: PodCounters, b: PodCounters) -> PodCounters:
    """Totals of two parts of one replica's traffic."""
    histograms = dict(a.histograms)
    for name, counts in b.histograms.items():
        mine = histograms.get(name)
        histograms[name] = counts if mine is None else {bound: mine.get(bound, 0.0) + n for bound, n in counts.items()}
    kpis = dict(a.kpis)
    for name, (events, of) in b.kpis.items():
        was = kpis.get(name, (0.0, 0.0))
        kpis[name] = (was[0] + events, was[1] + of)
    return PodCounters(
        requests=_sum(a.requests, b.requests),
        errors=_sum(a.errors, b.errors),
        histograms=histograms,
        totals={**a.totals, **{name: a.totals.get(name, 0.0) + value for name, value in b.totals.items()}},
        kpis=kpis,
        started_at=a.started_at,
    )


def _sum(a: float | None, b: float | None) -> float | None:
    """Of what there is."""
    if a is None or b is None:
        return a if b is None else b
    return a + b


def _requests(pods: Pods) -> float:
    """Size of a value, by which those that are told apart are chosen: requests, or a KPI's trials without them."""
    every = [pod for arm in ARMS for pod in pods.get(arm, {}).values()]
    return math.fsum(
        pod.requests if pod.requests is not None else math.fsum(of for _, of in pod.kpis.values()) for pod in every
    )
