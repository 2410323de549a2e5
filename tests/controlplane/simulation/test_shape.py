"""Answer times: the mixture's quantiles, tables and bounds."""

import numpy as np
import pytest

from controlplane.simulation import shape


def test_the_mixture_has_the_tail_of_the_traffic_model() -> None:
    """With a median of 60 ms the p99 is 301 ms, as the model is published."""
    assert 0.060 * shape.quantile(0.99, 0.0) == pytest.approx(0.301, abs=0.001)


def test_the_quick_table_agrees_with_the_slow_formula() -> None:
    """Interpolation is exact to a ten-thousandth."""
    points = np.linspace(-3, 4, 57)
    exact = [0.97 * shape.below(np.exp(x), shape.QUICK) + 0.03 * shape.below(np.exp(x), shape.SLOW) for x in points]
    nothing = np.zeros((1, 1))
    assert shape.shares_below(points[None, :], nothing, nothing)[0] == pytest.approx(exact, abs=1e-4)


def test_a_slower_tail_moves_only_the_tail() -> None:
    """25 % on the slow component: the p50 stays, the p99 goes up by about a quarter."""
    logs = np.log(np.array([[1.0, 5.0]]))
    before = shape.shares_below(logs, np.zeros((1, 1)), np.zeros((1, 1)))[0]
    after = shape.shares_below(logs, np.full((1, 1), np.log(1.25)), np.zeros((1, 1)))[0]
    assert after[0] == pytest.approx(before[0], abs=2e-3)
    assert 1 - after[1] > 1.25 * (1 - before[1])


def test_every_limit_is_a_bound() -> None:
    """So absolute gates are counted, not interpolated."""
    bounds = shape.bounds_around(0.06, {0.2, 0.137})
    assert {0.2, 0.137} <= set(bounds)
    assert list(bounds) == sorted(bounds)
