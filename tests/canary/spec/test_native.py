"""Native histograms: counts at fixed bounds, exact where the histogram can tell, and left out where it cannot."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from canary.spec.native import Bound, Bucket, bounds, cumulative


def _histogram(values: list[float], schema: int, threshold: float = 1e-6) -> list[Bucket]:
    """What a server with this resolution would have counted, as Prometheus lists it: only buckets that hold some."""
    held: dict[int, int] = {}
    zero = 0
    for value in values:
        if value <= threshold:
            zero += 1
        else:
            place = math.ceil(math.log2(value) * 2.0**schema - 1e-12)
            held[place] = held.get(place, 0) + 1
    edge = [2.0 ** (place / 2.0**schema) for place in range(min(held, default=0) - 1, max(held, default=0) + 1)]
    first = min(held, default=0) - 1
    regular = [Bucket(0, edge[place - 1 - first], edge[place - first], n) for place, n in sorted(held.items())]
    return [Bucket(3, -threshold, threshold, zero), *regular] if zero else regular


def _told(buckets: list[Bucket], among: tuple[Bound, ...] = bounds()) -> dict[float, float]:
    found = cumulative(buckets, among)
    assert found is not None
    return {bound.at: count for bound, count in found}


@pytest.mark.parametrize("schema", [8, 5, 3, 2])
def test_every_fine_resolution_tells_the_same_bounds_and_counts_exactly(schema: int) -> None:
    values = np.random.default_rng(1).lognormal(-3, 1, 3000).tolist()
    told = _told(_histogram(values, schema))
    assert list(told) == [bound.at for bound in bounds()]
    assert told == {bound: sum(value <= bound for value in values) for bound in told}


@pytest.mark.parametrize(("schema", "of"), [(1, 2), (0, 4), (-1, 8), (-4, 64)])
def test_a_coarse_one_tells_the_bounds_that_it_has_and_no_others(schema: int, of: int) -> None:
    values = np.random.default_rng(2).lognormal(-3, 1, 500).tolist()
    told = _told(_histogram(values, schema))
    assert list(told) == [bound.at for bound in bounds() if bound.place % of == 0]
    assert told == {bound: sum(value <= bound for value in values) for bound in told}


def test_an_empty_one_has_seen_nothing_at_every_bound() -> None:
    assert set(_told([]).values()) == {0.0}


def test_what_took_no_time_lies_below_every_bound_that_is_not_within_the_zero_bucket() -> None:
    told = _told(_histogram([0.0, 0.0, 0.3], 3, threshold=0.01))
    assert min(told) > 0.01
    assert (told[0.25], told[0.5]) == (2.0, 3.0)


def test_negative_observations_lie_below_every_bound() -> None:
    assert _told([Bucket(1, -2.0, -1.0, 4.0), Bucket(0, 0.25, 0.5, 1.0)])[2.0**-10] == 4.0


def test_float_counts_are_taken_as_they_are() -> None:
    assert _told([Bucket(0, 0.25, 0.5, 1.5)])[0.5] == 1.5


@pytest.mark.parametrize(
    "buckets",
    [
        [Bucket(0, 0.1, 0.25, 3.0), Bucket(0, 0.25, 0.5, 3.0)],
        [Bucket(0, 0.25, 0.5, 3.0), Bucket(0, 0.5, 3.0, 3.0)],
        [Bucket(0, -math.inf, 0.005, 3.0)],
        [Bucket(0, 0.0, 0.005, 3.0)],
        [Bucket(0, 0.3, 0.6, 3.0)],
    ],
    ids=["a-first-that-is-odd", "a-later-one-that-is-odd", "from-minus-infinity", "from-zero", "off-the-grid"],
)
def test_custom_buckets_tell_nothing(buckets: list[Bucket]) -> None:
    assert cumulative(buckets, bounds()) is None


def test_a_series_in_milliseconds_has_the_same_bounds_a_thousand_times_as_high() -> None:
    assert (bounds(milliseconds=True)[0].at, bounds()[0].at) == (1.0, 2.0**-10)
    assert len(bounds(milliseconds=True)) == len(bounds()) == 73


@pytest.mark.parametrize(
    "buckets",
    [
        [Bucket(0, 0.25, -0.5, 3.0)],
        [Bucket(0, 0.5, 0.5, 3.0)],
        [Bucket(0, 5e-324, 1e308, 3.0)],
        [Bucket(0, 0.5, math.nan, 3.0)],
        [Bucket(0, math.nan, math.nan, 3.0)],
    ],
    ids=["falling", "empty", "too-wide", "half-a-number", "no-number"],
)
def test_r4_bounds_that_make_no_sense_tell_nothing(buckets: list[Bucket]) -> None:
    assert cumulative(buckets, bounds()) in (None, [])


EDGES = some.one_of(some.floats(), some.sampled_from([0.0, 0.25, 0.5, 1.0, 2.0, 2**0.25, math.inf, -math.inf]))


@given(some.lists(some.builds(Bucket, some.integers(-9, 9), EDGES, EDGES, some.floats())))
def test_r4_whatever_a_server_calls_buckets_counting_them_raises_nothing(buckets: list[Bucket]) -> None:
    for milliseconds in (False, True):
        told = cumulative(buckets, bounds(milliseconds=milliseconds))
        assert told is None or len(told) <= len(bounds())
