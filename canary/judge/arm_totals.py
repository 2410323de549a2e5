"""A block, added up by arm: the one place where replicas become arms, and where nonsense is left out.

Called by `judge.py`. Stable is also kept in two halves, the placebo of `noise.py`. Bounds of a histogram are those
that all replicas had when it was first seen; a replica that lacks one of them later has no data for it, and that is
said.
"""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from operator import add

from canary.judge import refusals, sums
from canary.judge.increments import Increments, ReplicaIncrements
from canary.snapshot import HistogramCounts


@dataclass(slots=True)
class ArmSums:
    """Increments of some replicas together; None or absent where none of them had data."""

    pods: int = 0
    requests: float | None = None
    errors: float | None = None
    errors_of: float = 0.0
    """Requests of those replicas that also told their errors."""
    histograms: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    kpis: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)
    gauges: Mapping[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class ArmPair:
    """Both arms of a block, and the two halves of stable."""

    canary: ArmSums
    stable: ArmSums
    halves: tuple[ArmSums, ArmSums]
    problems: list[str]


Bounds = Mapping[str, tuple[float, ...]]
"""Upper bounds of the histograms met so far, the last infinite."""


def collect(block: Increments, bounds: Bounds, histograms: Iterable[str]) -> tuple[ArmPair, Bounds]:
    """Add up a block; only `histograms` are read. With the bounds, now also of histograms that were not met before."""
    problems: list[str] = []
    names = tuple(histograms)
    for name in names:
        if name not in bounds and (common := _agreed(name, block, problems)):
            bounds = {**bounds, name: common}
    stable, canary = block.arms.get("stable", {}), block.arms.get("canary", {})
    first, second = [_arm([stable[name] for name in half], bounds, names, problems) for half in _halves(tuple(stable))]
    both = _arm(list(canary.values()), bounds, names, problems), _together(first, second)
    for text, counted in block.counted.items():
        for side, told in zip(both, (counted.get("canary"), counted.get("stable")), strict=True):
            if told is not None:
                side.kpis = {**side.kpis, text: told}
    return ArmPair(*both, (first, second), problems), bounds


def _agreed(name: str, block: Increments, problems: list[str]) -> tuple[float, ...]:
    """The bounds of a histogram that was not met before: those that all replicas have, classic and native."""
    several = [pod.histograms[name] for pods in block.arms.values() for pod in pods.values() if name in pod.histograms]
    if not several:
        return ()
    common = sorted(set(several[0]).intersection(*several[1:]))
    if not common or common[-1] != math.inf:
        problems.append(f"the buckets of {name} have no total (+Inf)")
    elif len(common) == 1:
        problems.append(f"the buckets of {name} have no bound in common but the total")
    else:
        return tuple(common)
    return ()


@lru_cache(4096)
def _halves(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split replicas in two, by their names alone, as evenly as can be."""
    if len(names) < 2:
        return names, ()
    order = sorted(names, key=lambda name: (zlib.crc32(name.encode()), name))
    return tuple(order[::2]), tuple(order[1::2])


def _arm(pods: Sequence[ReplicaIncrements], bounds: Bounds, names: tuple[str, ...], problems: list[str]) -> ArmSums:
    """The sum over replicas."""
    if not pods:
        return ArmSums()
    arm = _alone(pods[0], bounds, names, problems)
    for pod in pods[1:]:
        arm = _together(arm, _alone(pod, bounds, names, problems))
    return arm


def _alone(pod: ReplicaIncrements, bounds: Bounds, names: tuple[str, ...], problems: list[str]) -> ArmSums:
    """One replica."""
    requests, errors, histograms, totals, kpis, gauges = pod
    rows: dict[str, tuple[float, ...]] = {}
    for name in names:
        counts = histograms.get(name)
        row = None if counts is None else _row(name, counts, bounds, problems)
        if row is not None:
            rows[name] = row
    values = {name: [value] for name, value in gauges.items()} if gauges else {}
    totals = refusals.counted(totals, requests)
    if requests is None or errors is None:
        return ArmSums(1, requests, None, 0.0, rows, kpis, totals, values)
    return ArmSums(1, requests, min(errors, requests), requests, rows, kpis, totals, values)


def _row(name: str, counts: HistogramCounts, bounds: Bounds, problems: list[str]) -> tuple[float, ...] | None:
    """A histogram's counts in the order of the known bounds; None, and a problem, where one of these is missing."""
    known = bounds.get(name)
    if known is None:
        return None
    if tuple(counts) == known:
        row = tuple(counts.values())
    elif any(bound not in counts for bound in known):
        problems.append(f"some replicas count {name} in other buckets than the rest, or than before")
        return None
    else:
        row = tuple([counts[bound] for bound in known])
    if row[0] < 0 or sorted(row) != list(row):
        problems.append(f"the buckets of {name} are not cumulative")
        return None
    return row


def _together(one: ArmSums, other: ArmSums) -> ArmSums:
    """Both together."""
    if not other.pods:
        return one
    return ArmSums(
        one.pods + other.pods,
        _plus(one.requests, other.requests),
        _plus(one.errors, other.errors),
        one.errors_of + other.errors_of,
        sums.by_name(one.histograms, other.histograms, sums.counts),
        sums.by_name(one.kpis, other.kpis, sums.pair),
        sums.by_name(one.totals, other.totals, add),
        sums.by_name(one.gauges, other.gauges, add),
    )


def _plus(a: float | None, b: float | None) -> float | None:
    """Sum of what there is."""
    if a is None:
        return b
    return a if b is None else a + b
