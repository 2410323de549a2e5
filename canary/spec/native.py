"""Native histograms as cumulative counts at fixed bounds, so that they are judged exactly as classic ones are.

Called by the metric sources with the buckets that Prometheus gives. A native histogram lists only the buckets that hold
something, and may become coarser while it runs; a judge needs the same bounds at every look. The bounds here are powers
of 2^¼, which every resolution of schema 2 or finer has, and of a coarser one those that it has. Nothing is
interpolated: a bound that lies within a bucket is left out. Fetches nothing.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

SCHEMA = 2
"""Bounds are 2^(j·2^-2): each is 19 % above the one below it."""
FINEST, COARSEST = 8, -4
"""Schemas that native histograms may have."""
LOWEST, HIGHEST = -10, 8
"""Powers of two, in seconds, between which there are bounds: 1 ms to 4 minutes."""
MILLISECONDS_SHIFT = 10
"""The same range for a series in milliseconds, in powers of two."""
NEAR = 1e-9


class Bucket(NamedTuple):
    """One bucket as Prometheus writes it."""

    rule: int
    """Which of its ends belong to it; of no matter to times, which seldom lie on one."""
    left: float
    right: float
    held: float


class Bound(NamedTuple):
    """A bound that histograms are read at."""

    at: float
    """In the unit of the series."""
    le: str
    """The same as a label."""
    place: int
    """It is 2^(place·2^-2)."""


def bounds(*, milliseconds: bool = False) -> tuple[Bound, ...]:
    """All bounds that there may be, without `+Inf`."""
    return _IN_MILLISECONDS if milliseconds else _IN_SECONDS


def cumulative(buckets: Sequence[Bucket], among: Sequence[Bound]) -> list[tuple[Bound, float]] | None:
    """How many observations lie at or below each bound that this histogram can tell; without the total.

    None for a histogram whose bounds are not powers of two of one resolution (custom buckets): which of them it lists
    changes with what it holds. None also for what cannot be bounds at all.
    """
    if not all(bucket.left <= bucket.right for bucket in buckets):  # so for NaN, too
        return None
    schema = _schema(buckets)
    if schema is None:
        return None
    apart = 1 << max(SCHEMA - schema, 0)
    threshold = max((bucket.right for bucket in buckets if bucket.left <= 0 < bucket.right), default=0.0)
    told: list[tuple[Bound, float]] = []
    below, index = 0.0, 0
    for bound in among:
        edge = bound.at * (1 + NEAR)
        while index < len(buckets) and buckets[index].right <= edge:
            below += buckets[index].held
            index += 1
        if bound.place % apart or edge < threshold:
            continue
        if index < len(buckets) and buckets[index].left < bound.at * (1 - NEAR):
            return None
        told.append((bound, below))
    return told


def _schema(buckets: Sequence[Bucket]) -> int | None:
    """The resolution, from the first regular bucket; the finest where there is none, None where it is no power of 2."""
    for bucket in buckets:
        if bucket.left > 0 and not math.isinf(bucket.right):
            width = math.log2(bucket.right / bucket.left)
            if not 0 < width < math.inf:
                return None
            schema = -math.log2(width)
            if not abs(schema - round(schema)) < 1e-6 or not COARSEST <= round(schema) <= FINEST:
                return None
            place = math.log2(bucket.left) / width
            return round(schema) if abs(place - round(place)) < 1e-6 else None
        if math.isinf(bucket.left) or (bucket.left == 0 and bucket.held and not _is_zero_bucket(bucket)):
            return None
    return FINEST


def _is_zero_bucket(bucket: Bucket) -> bool:
    """Whether it is the one around zero: closed on both sides."""
    return bucket.rule == 3


def _made(shift: int) -> tuple[Bound, ...]:
    steps = 1 << SCHEMA
    places = range((LOWEST + shift) * steps, (HIGHEST + shift) * steps + 1)
    return tuple(Bound(at := 2.0 ** (place / steps), repr(at), place) for place in places)


_IN_SECONDS, _IN_MILLISECONDS = _made(0), _made(MILLISECONDS_SHIFT)
