"""The bet and the likelihood ratio: e-values under their null, whatever the shares, and finite whatever comes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge import share_test

GRID = share_test.grid(1.15, 12.0)
counts = st.floats(0, 1e7, allow_nan=False)


def _mean_growth(
    rng: np.random.Generator, hits: np.ndarray, trials: np.ndarray, null: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of one block's factor, over effect sizes and both tests."""
    factors = np.array(
        [
            [
                *share_test.betting_e_value((1.0,) * 8, x, n, null, noise, 1.0, GRID),
                *share_test.likelihood_ratio((1.0,) * 8, x, n, null, noise, 1.0, GRID),
            ]
            for x, n in zip(hits.tolist(), trials.tolist(), strict=True)
            if n > 0
        ]
    )
    return factors.mean(axis=0), factors.std(axis=0) / math.sqrt(len(factors))


@pytest.mark.parametrize("null", [0.004, 0.05, 0.25, 0.75])
def test_no_bet_grows_on_average_where_the_canary_has_its_share(null: float) -> None:
    """Independent events: both tests are e-values at the null itself."""
    rng = np.random.default_rng(3)
    trials = rng.poisson(12, 6000)
    mean, error = _mean_growth(rng, rng.binomial(trials, null), trials, null, 1.0)
    assert (mean <= 1 + 4 * error).all()


@pytest.mark.parametrize("size", [4, 16])
def test_the_bet_stays_fair_when_events_come_in_clumps(size: int) -> None:
    """Sixteen errors that are one cause count as such for the bet, though its noise is taken to be 1."""
    rng = np.random.default_rng(4)
    clumps = rng.poisson(3, 6000)
    trials, hits = clumps * size, rng.binomial(clumps, 0.25) * size
    mean, error = _mean_growth(rng, hits, trials, 0.25, 1.0)
    assert (mean[:8] <= 1 + 4 * error[:8]).all()
    assert mean[8:].max() > 1 + 4 * error[8:].max(), "the likelihood ratio alone would be fooled"


def test_the_likelihood_ratio_is_tempered_by_the_noise_it_is_told() -> None:
    one = share_test.likelihood_ratio((1.0,) * 8, 4, 6, 0.25, 1.0, 1.0, GRID)
    four = share_test.likelihood_ratio((1.0,) * 8, 4, 6, 0.25, 4.0, 1.0, GRID)
    assert four == pytest.approx([wealth**0.25 for wealth in one])


def test_both_tests_grow_when_the_canary_has_more_than_its_share() -> None:
    assert min(share_test.betting_e_value((1.0,) * 8, 9, 12, 0.25, 1.5, 1.0, GRID)) > 1
    assert max(share_test.likelihood_ratio((1.0,) * 8, 9, 12, 0.25, 1.5, 1.0, GRID)) > 5


def test_no_scrape_multiplies_evidence_by_more_than_the_cap() -> None:
    after = [
        *share_test.betting_e_value((1.0,) * 8, 1e6, 1e6, 0.01, 1.0, 1.0, GRID),
        *share_test.likelihood_ratio((1.0,) * 8, 1e6, 1e6, 0.01, 1.0, 1.0, GRID),
    ]
    assert max(after) <= share_test.CAP


def test_arms_swapped_the_same_numbers_clear_the_canary() -> None:
    """What accuses one arm clears the other: `trials - hits` against `1 - null` is the question turned round."""
    accuse = share_test.likelihood_ratio((1.0,) * 8, 2, 40, 0.25, 1.0, 1.0, GRID)
    clear = share_test.likelihood_ratio((1.0,) * 8, 38, 40, 0.75, 1.0, 1.0, GRID)
    assert max(accuse) < 1 < max(clear)


@given(
    hits=counts,
    rest=counts,
    null=st.floats(1e-9, 1 - 1e-9),
    noise=st.floats(1, 1e6),
    vr=st.floats(1, 100),
    wealth=st.floats(0, 1e250),
)
def test_nothing_that_can_be_counted_gives_infinity_or_nonsense(
    hits: float, rest: float, null: float, noise: float, vr: float, wealth: float
) -> None:
    trials = hits + rest
    if not share_test.usable(trials, null):
        return
    for test in (share_test.betting_e_value, share_test.likelihood_ratio):
        after = test((wealth,) * 8, hits, trials, null, noise, vr, GRID)
        assert all(math.isfinite(each) and each >= 0 for each in after)


def test_a_block_without_events_or_room_is_not_usable() -> None:
    assert not share_test.usable(0, 0.5)
    assert not share_test.usable(10, 0.0)
    assert not share_test.usable(10, 1.0)


@given(
    wealth=st.tuples(*[st.floats(1e-250, 1e250)] * 8),
    part=st.floats(0, 1),
    trials=st.floats(0.01, 1e6),
    null=st.floats(1e-6, 1 - 1e-6),
    noise=st.floats(1, 1e4),
    vr=st.floats(1, 50),
)
def test_both_tests_are_what_the_textbook_says(
    wealth: tuple[float, ...], part: float, trials: float, null: float, noise: float, vr: float
) -> None:
    """The code saves operations; written out as in `docs/judge.md` it comes to the same."""
    hits = part * trials
    bets = share_test.betting_e_value(wealth, hits, trials, null, noise, vr, GRID)
    ratios = share_test.likelihood_ratio(wealth, hits, trials, null, noise, vr, GRID)
    m = trials / noise
    for i, (more, _) in enumerate(GRID):
        odds = (1 + more) * null / (1 - null)
        d = odds / (1 + odds) - null
        stake = min(d / (null * (1 - null) / m + max(1 - 1 / m, 0) * d * d), 0.9 / null)
        factor = min((1 + stake * (hits / trials - null)) ** (1 / vr), share_test.CAP)
        assert bets[i] == pytest.approx(min(wealth[i] * factor, share_test.MOST), rel=1e-9)
        growth = (hits * math.log(1 + more) - trials * math.log(1 + null * more)) / (noise * vr)
        ratio = min(math.exp(min(growth, 700)), share_test.CAP)
        assert ratios[i] == pytest.approx(min(max(wealth[i] * ratio, share_test.LEAST), share_test.MOST), rel=1e-9)
