"""The self-normalised test: the integral it stands for, seldom wrong, never infinite."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate

from canary.judge import self_normalised as sn


def test_the_mixture_is_the_integral_that_it_stands_for() -> None:
    """Half-normal prior on the drift: compare the closed form with numerical integration."""
    total, variance, r = 9.0, 40.0, 7.0

    def weighted(drift: float) -> float:
        prior = 2 * math.sqrt(r / (2 * math.pi)) * math.exp(-r * drift * drift / 2)
        return prior * math.exp(drift * total - drift * drift * variance / 2)

    value, _ = integrate.quad(weighted, 0, 20)
    assert sn.log_mixture(total, variance, r) == pytest.approx(math.log(value), rel=1e-6)


def test_before_anything_was_seen_the_evidence_is_one() -> None:
    assert sn.log_mixture(0.0, 0.0, 5.0) == pytest.approx(0.0, abs=1e-12)
    assert sn.over_starts([], [], 1.0, 5.0) == pytest.approx(1.0)
    assert sn.over_starts([0.0], [0.0], 1.0, 5.0) == pytest.approx(1.0)


def test_r8_a_fair_contrast_is_seldom_ever_accused() -> None:
    """300 walks of 400 looks each at level 5 %: heavy tails included."""
    rng = np.random.default_rng(5)
    r, accused = sn.tuning(0.05), 0
    for _ in range(300):
        z = rng.standard_t(3, 400)
        totals, squares = z.cumsum(), (z * z).cumsum()
        accused += any(sn.log_mixture(s, q, r) >= math.log(20) for s, q in zip(totals[::4], squares[::4], strict=True))
    assert accused <= 300 * 0.05 + 3 * math.sqrt(300 * 0.05 * 0.95)


def test_r8_a_steady_drift_is_found() -> None:
    assert sn.log_mixture(60.0, 200.0, sn.tuning(0.01)) > math.log(100)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e12), st.floats(1e-3, 1e3))
def test_evidence_is_a_number_whatever_the_sums(total: float, variance: float, r: float) -> None:
    assert math.isfinite(sn.log_mixture(total, variance, r))
    value = sn.over_starts([total] * 3, [variance] * 3, 1.0, r)
    assert math.isfinite(value)
    assert value >= 0


def test_the_weights_of_all_beginnings_add_up_to_one() -> None:
    assert pytest.approx(1.0) == sn.FIRST + (sn.STARTS - 1) * sn.OTHERS
