"""A block, added up by arm: the one place where replicas become arms, and where nonsense is left out.

Called by `judge.py`. Stable is also kept in two halves, the placebo of `noise.py`. Bounds of a histogram are those that
all replicas had when it was first seen; a replica that lacks one of them later has no data for it, and that is said.
"""

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add

from canary.judge.block import Block, PodBlock
from canary.observation import HistogramCounts


@dataclass(slots=True)
class ArmSums:
    """Increments of some replicas together; None or absent where none of them had data."""

    pods: int = 0
    requests: float | None = None
    errors: float | None = None
    errors_of: float = 0.0
    """Requests of those replicas that also told their errors."""
    histograms: dict[str, list[float]] = field(default_factory=dict)
    kpis: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    totals: Mapping[str, float] = field(default_factory=dict)
    gauges: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Sides:
    """Both arms of a block, and the two halves of stable."""

    canary: ArmSums
    stable: ArmSums
    halves: tuple[ArmSums, ArmSums]
    problems: list[str]


def collect(block: Block, bounds: dict[str, list[float]], histograms: Iterable[str]) -> Sides:
    """Add up a block. `bounds` learns the bounds of histograms that it has not met; only `histograms` are read."""
    problems: list[str] = []
    names = tuple(histograms)
    for name in names:
        if name not in bounds:
            _agree(name, block, bounds, problems)
    stable = block.arms.get("stable", {})
    first, second = _halves(stable)
    halves = (_add(first, bounds, names, problems), _add(second, bounds, names, problems))
    canary = _add(list(block.arms.get("canary", {}).values()), bounds, names, problems)
    return Sides(canary, _together(*halves), halves, problems)


def _agree(name: str, block: Block, bounds: dict[str, list[float]], problems: list[str]) -> None:
    """Settle the bounds of a histogram that was not met before: those that all replicas have, classic and native."""
    several = [pod.histograms[name] for pods in block.arms.values() for pod in pods.values() if name in pod.histograms]
    if not several:
        return
    common = sorted(set(several[0]).intersection(*several[1:]))
    if not common or common[-1] != math.inf:
        problems.append(f"the buckets of {name} have no total (+Inf)")
    elif len(common) == 1:
        problems.append(f"the buckets of {name} have no bound in common but the total")
    else:
        bounds[name] = common


def _halves(pods: Mapping[str, PodBlock]) -> tuple[list[PodBlock], list[PodBlock]]:
    """Split replicas in two, by their names alone, as evenly as can be."""
    if len(pods) < 2:
        return list(pods.values()), []
    order = sorted(pods, key=lambda name: (zlib.crc32(name.encode()), name))
    return [pods[name] for name in order[::2]], [pods[name] for name in order[1::2]]


def _add(
    pods: Sequence[PodBlock], bounds: dict[str, list[float]], names: tuple[str, ...], problems: list[str]
) -> ArmSums:
    """The sum over replicas."""
    if len(pods) == 1:
        return _alone(pods[0], bounds, names, problems)
    kpis: dict[str, tuple[float, float]] = {}
    totals: dict[str, float] = {}
    sums = ArmSums(len(pods), kpis=kpis, totals=totals)
    rows: dict[str, list[list[float]]] = {}
    for pod in pods:
        requests, errors = pod.requests, pod.errors
        if requests is not None:
            sums.requests = (sums.requests or 0.0) + requests
            if errors is not None:
                sums.errors = (sums.errors or 0.0) + min(errors, requests)
                sums.errors_of += requests
        for name, value in pod.totals.items():
            totals[name] = totals.get(name, 0.0) + value
        for name, (events, trials) in pod.kpis.items():
            total, of = kpis.get(name, (0.0, 0.0))
            kpis[name] = (total + events, of + trials)
        for name, value in pod.gauges.items():
            sums.gauges.setdefault(name, []).append(value)
        for name in names:
            counts = pod.histograms.get(name)
            if counts is not None:
                row = _row(name, counts, bounds, problems)
                if row is not None:
                    rows.setdefault(name, []).append(row)
    for name, several in rows.items():
        sums.histograms[name] = several[0] if len(several) == 1 else list(map(sum, zip(*several, strict=True)))
    return sums


def _alone(pod: PodBlock, bounds: dict[str, list[float]], names: tuple[str, ...], problems: list[str]) -> ArmSums:
    """The same for one replica, where there is nothing to add up."""
    requests, errors, errors_of = pod.requests, None, 0.0
    if requests is not None and pod.errors is not None:
        errors, errors_of = min(pod.errors, requests), requests
    histograms: dict[str, list[float]] = {}
    for name in names:
        counts = pod.histograms.get(name)
        row = None if counts is None else _row(name, counts, bounds, problems)
        if row is not None:
            histograms[name] = row
    gauges = {name: [value] for name, value in pod.gauges.items()}
    return ArmSums(1, requests, errors, errors_of, histograms, pod.kpis, pod.totals, gauges)


def _row(name: str, counts: HistogramCounts, bounds: dict[str, list[float]], problems: list[str]) -> list[float] | None:
    """A histogram's counts in the order of the known bounds; None, and a problem, where one of these is missing."""
    known = bounds.get(name)
    if known is None:
        return None
    keys = list(counts)
    if keys == known:
        row = list(counts.values())
    elif any(bound not in counts for bound in known):
        problems.append(f"some replicas count {name} in other buckets than the rest, or than before")
        return None
    else:
        row = [counts[bound] for bound in known]
    if row[0] < 0 or sorted(row) != row:
        problems.append(f"the buckets of {name} are not cumulative")
        return None
    return row


def _together(first: ArmSums, second: ArmSums) -> ArmSums:
    """Both halves as one arm."""
    if not second.pods:
        return first
    histograms, kpis = dict(first.histograms), dict(first.kpis)
    totals, gauges = dict(first.totals), dict(first.gauges)
    for name, counts in second.histograms.items():
        mine = histograms.get(name)
        histograms[name] = counts if mine is None else list(map(add, mine, counts))
    for name, (events, of) in second.kpis.items():
        was = kpis.get(name, (0.0, 0.0))
        kpis[name] = (was[0] + events, was[1] + of)
    for name, total in second.totals.items():
        totals[name] = totals.get(name, 0.0) + total
    for name, values in second.gauges.items():
        gauges[name] = [*gauges.get(name, ()), *values]
    return ArmSums(
        first.pods + second.pods,
        _plus(first.requests, second.requests),
        _plus(first.errors, second.errors),
        first.errors_of + second.errors_of,
        histograms,
        kpis,
        totals,
        gauges,
    )


def _plus(a: float | None, b: float | None) -> float | None:
    """Sum of what there is."""
    if a is None:
        return b
    return a if b is None else a + b
