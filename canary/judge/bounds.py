"""Which bucket bounds speak for a latency gate, and how many more slow requests its margin allows.

Quantiles themselves are never compared: interpolated ones move with the buckets. A gate on p95 counts requests slower
than a bound; for a limit the bounds around it, against stable the bound that stable exceeds nearest to 5 % of the
time. A margin that lies between two bounds is read off stable's own distribution where that shows in the buckets; where
nearly all of it lies in one bucket, nothing says how often it exceeds what lies within, and the canary is counted at a
bound beyond the margin. So coarse buckets cost power, and not validity. Called by `judge.py`.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from canary.judge import special
from canary.judge.config import GateConfig
from canary.judge.portable_math import exp, log, power
from canary.verdict import Edge

ENOUGH = 200
"""Stable requests before a bound is picked from its history."""
FINAL = 2_000_000
"""Stable requests after which the pick stands."""
SHOWN = 0.05
"""A margin is read within a bucket only if this share of stable's requests, at least, is below that bucket.

A time of 23 ms that varies by 5 % lies in one bucket of vLLM's: 2 % more of it may be two or fifty times as many
requests beyond 25 ms, and no counts at 10 and 25 ms say which.
"""


def around(limit: float, bounds: Sequence[float]) -> tuple[int, int]:
    """Indices of the bound that convicts (smallest >= limit) and the one that clears (largest <= limit, or -1)."""
    slack = 1e-9 * max(limit, 1.0)
    convicts = next((i for i, bound in enumerate(bounds) if bound >= limit - slack), len(bounds) - 1)
    clears = max((i for i, bound in enumerate(bounds) if bound <= limit + slack), default=-1)
    return convicts, clears


def nearest(share: float, cumulative: Sequence[float]) -> int | None:
    """Index of the finite bound that is exceeded nearest to `share` of the time (in odds), or None."""
    total = cumulative[-1]
    best, distance = None, math.inf
    for i, count in enumerate(cumulative[:-1]):
        beyond = total - count
        if 0 < beyond < total:
            off = abs(log(beyond / count) - log(share / (1 - share)))
            if off < distance:
                best, distance = i, off
    return best


def allowed_ratio(
    index: int, slower: float, cumulative: Sequence[float], bounds: Sequence[float], *, shown: bool = True
) -> float:
    """How many times stable's exceedances of a bound a canary may have that is `slower` times as slow (1.1: 10 %).

    A canary with every latency times `slower` exceeds b as often as stable exceeds b / slower: read off stable's
    history between bounds as log-normal times lie there: on a straight line of normal quantiles and the logarithm of
    time. Where the buckets do not show how they are spread, of the logarithms of counts and time, which allows less.
    """
    here = max(cumulative[-1] - cumulative[index], 0.5)
    ratio = _exceeding(bounds[index] / slower, cumulative, bounds, shown=shown) / here
    return max(ratio, 1.0)


def readable(index: int, slower: float, cumulative: Sequence[float], bounds: Sequence[float]) -> bool:
    """Whether `allowed_ratio` can be known: at a bound, or within a bucket below which stable is seen to begin."""
    value = bounds[index] / slower
    above = bisect_left(bounds, value * (1 - 1e-9))
    if abs(bounds[above] - value) <= 1e-9 * value:
        return True
    return above > 0 and cumulative[above - 1] >= SHOWN * cumulative[-1]


def _exceeding(value: float, cumulative: Sequence[float], bounds: Sequence[float], *, shown: bool) -> float:
    """How many of stable's requests took longer than `value` seconds."""
    total = cumulative[-1]
    low, low_count = 0.0, total
    for bound, count in zip(bounds, cumulative, strict=True):
        beyond = max(total - count, 0.5)
        if bound >= value:
            if math.isinf(bound) or low <= 0 or low_count <= beyond:
                part = 0.0 if math.isinf(bound) or bound <= low else (value - low) / (bound - low)
                return low_count + (beyond - low_count) * part
            part = log(value / low) / log(bound / low)
            if not shown:
                return low_count * power(beyond / low_count, part)
            here, there = (special.normal_quantile(min(each, total - 0.5) / total) for each in (beyond, low_count))
            return total * exp(special.log_normal_cdf(there + (here - there) * part))
        low, low_count = bound, beyond
    return low_count


def edge(q: float, cumulative: Sequence[float], bounds: Sequence[float]) -> tuple[Edge, float] | None:
    """Where a quantile lies before the first bound or behind the last: which of these, and that bound. None elsewhere.

    Nothing more is known of it then: a straight line from zero would be invented.
    """
    if cumulative[-1] <= 0:
        return None
    index = bisect_left(cumulative, q * cumulative[-1])
    if math.isinf(bounds[index]):
        return ("over", bounds[index - 1]) if index else None
    return None if index else ("under", bounds[0])


def quantile(q: float, cumulative: Sequence[float], bounds: Sequence[float]) -> float | None:
    """The value that a share `q` stays under: straight lines within buckets, at most the last bound. See `edge`."""
    total = cumulative[-1]
    if total <= 0:
        return None
    wanted = q * total
    index = bisect_left(cumulative, wanted)
    low, low_count = (bounds[index - 1], cumulative[index - 1]) if index else (0.0, 0.0)
    bound, count = bounds[index], cumulative[index]
    if math.isinf(bound):
        return low
    return low + (bound - low) * ((wanted - low_count) / (count - low_count) if count > low_count else 1.0)


@dataclass(frozen=True, slots=True)
class Pick:
    """The bounds that a latency gate counts at, as places among the histogram's."""

    accuses: int
    """Requests beyond this one count against the canary."""
    clears: int
    """Requests beyond this one count when the gate is to pass; -1 is below them all. Stable's count here always."""
    ratio: float = 1.0
    """How many times stable's exceedances are allowed; against a canary counted at another bound, as many."""
    requests: float = 0.0
    """Stable requests behind the pick."""


def pick(gate: GateConfig, before: Pick | None, edges: Sequence[float], history: Sequence[float] | None) -> Pick | None:
    """The bounds of a latency gate, given those of before and stable's cumulative history; None while unknown.

    Against stable the pick is reconsidered each time the history has grown by half, until it is long.
    """
    rule = gate.gate
    if not gate.relative:
        return before or Pick(*around(rule.limit, edges))
    if history is None or gate.quantile is None:
        return before
    seen = history[-1]
    if seen < ENOUGH or (before is not None and (seen < 1.5 * before.requests or before.requests >= FINAL)):
        return before
    index = nearest(1 - gate.quantile, history)
    if index is None:
        return before
    here = quantile(gate.quantile, history, edges) or edges[index]
    slower = 1 + (rule.limit if rule.margin == "relative" else rule.limit / max(here, 1e-9))
    shown = readable(index, slower, history, edges)
    ratio = allowed_ratio(index, slower, history, edges, shown=shown)
    if shown:
        return Pick(index, index, ratio, seen)
    # Whoever is no slower than allowed exceeds a bound beyond the margin no oftener than stable exceeds this one. For
    # a pass the least is allowed that a straight line makes of it: too little where stable is steep, never too much.
    beyond = bisect_left(edges, edges[index] * slower * (1 - 1e-9))
    return Pick(beyond, index, ratio, seen)
