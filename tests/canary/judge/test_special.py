"""The special functions, held against scipy."""

import math

import pytest
from scipy.special import log_ndtr, ndtri, rel_entr

from canary.judge.special import kl_bernoulli, log_normal_cdf, normal_quantile


@pytest.mark.parametrize("x", [-300.0, -60.0, -30.001, -29.999, -12.0, -5.0, -1.0, -1e-9, 0.0, 0.3, 4.0, 9.0, 40.0])
def test_the_log_of_the_normal_distribution_agrees_with_scipy(x: float) -> None:
    assert log_normal_cdf(x) == pytest.approx(float(log_ndtr(x)), rel=1e-13, abs=1e-15)


@pytest.mark.parametrize(("p", "q"), [(0.0, 0.3), (1.0, 0.3), (0.2, 0.2), (0.01, 0.5), (0.9, 0.001)])
def test_divergence_agrees_with_scipy(p: float, q: float) -> None:
    assert kl_bernoulli(p, q) == pytest.approx(float(rel_entr(p, q) + rel_entr(1 - p, 1 - q)), abs=1e-12)


def test_a_coin_does_not_diverge_from_itself() -> None:
    assert math.isclose(kl_bernoulli(0.37, 0.37), 0.0, abs_tol=1e-15)


@pytest.mark.parametrize("p", [1e-12, 1e-6, 0.01, 0.3, 0.5, 0.9, 0.999, 1 - 1e-6])
def test_normal_quantiles_agree_with_scipy(p: float) -> None:
    assert normal_quantile(p) == pytest.approx(ndtri(p), abs=1e-9)
