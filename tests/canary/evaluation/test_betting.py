"""The evidence: valid by its definition, the same whatever the order, and intervals that agree with it."""

import math
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.evaluation.betting import BOLDEST_SIGN, POINTS, BettingMeans, Signs, grid, interval

STAKES = grid(200, 0.01, BOLDEST_SIGN)


def test_the_evidence_is_fair_to_interchangeable_answers() -> None:
    """Over all signs of the same sizes the evidence averages to 1 exactly: what makes it an e-process."""
    sizes = (1.0, 1.0, 3.0, 0.25)
    total = 0.0
    for signs in product((1, -1), repeat=len(sizes)):
        e = Signs(STAKES)
        for sign, size in zip(signs, sizes, strict=True):
            e = e.plus(sign * size)
        total += e.e
    assert total / 2 ** len(sizes) == pytest.approx(1, rel=1e-12)


def test_the_evidence_on_a_mean_is_fair_at_the_null() -> None:
    null = -0.1
    e = BettingMeans.of(null, lowest=-1.0, units=100, alpha=0.05)
    shares = {-1.0: 0.15, 0.0: 0.8, 1.0: 0.05}
    assert math.fsum(x * share for x, share in shares.items()) == pytest.approx(null)
    average = math.fsum(shares[a] * shares[b] * e.plus(a).plus(b, 0.5).e for a, b in product(shares, repeat=2))
    assert average == pytest.approx(1, rel=1e-12)


def test_a_unit_without_a_difference_says_nothing() -> None:
    assert Signs(STAKES).plus(0.0) == Signs(STAKES)


def test_a_group_that_flips_as_a_whole_at_most_doubles_the_evidence() -> None:
    """Forty copies of one question are one question."""
    assert Signs(STAKES).plus(40.0).e <= 2


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), max_size=60), st.randoms(use_true_random=False))
def test_the_order_of_items_changes_the_evidence_by_rounding_alone(losses: list[float], chance: object) -> None:
    mixed = list(losses)
    chance.shuffle(mixed)  # type: ignore[attr-defined]  # hypothesis's own Random
    one, other = Signs(STAKES), Signs(STAKES)
    for a, b in zip(losses, mixed, strict=True):
        one, other = one.plus(a), other.plus(b)
    assert one.e == pytest.approx(other.e, rel=1e-9)


@given(
    st.dictionaries(st.tuples(st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]), st.sampled_from([0.5, 1.0])),
                    st.integers(1, 300), min_size=1)
)  # fmt: skip
@settings(deadline=None)
def test_an_interval_holds_its_mean_and_stays_within_the_bounds(seen: dict[tuple[float, float], int]) -> None:
    low, high = interval(seen, -1.0, 1.0, sum(seen.values()), 0.05)
    mean = sum(x * w * n for (x, w), n in seen.items()) / sum(w * n for (_, w), n in seen.items())
    assert -1 <= low <= mean + 1e-5
    assert mean - 1e-5 <= high <= 1


def test_an_interval_and_the_evidence_agree() -> None:
    """Eleven losses and no win exclude that nothing was lost."""
    low, high = interval({(-1.0, 1.0): 11, (0.0, 1.0): 45}, -1.0, 1.0, 500, 0.05)
    assert low < -0.19 < high < 0


def test_the_grid_is_as_wide_as_the_data_set_asks() -> None:
    for units in (1, 20, 5_000, 1_000_000):
        stakes = grid(units, 0.01, 0.9)
        assert len(stakes) == POINTS
        assert sorted(stakes) == list(stakes)
        assert stakes[-1] == pytest.approx(0.9)
