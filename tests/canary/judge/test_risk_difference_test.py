"""Margins in points: e-values under their null, useful where stable has no errors, finite whatever comes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.judge import risk_difference_test, share_test
from canary.verdict import GateAnswer
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import IN_POINTS, World, plan

GRID = share_test.grid(1.15, 12.0)


@pytest.mark.parametrize(("canary", "stable"), [(0.01, 0.0), (0.02, 0.01), (0.06, 0.05)])
@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_at_the_margin_neither_side_wins_on_average(canary: float, stable: float, weight: float) -> None:
    rng = np.random.default_rng(41)
    n_v, n_c = 200 * weight, 200 * (1 - weight)
    rows = []
    for xv, xc in zip(rng.binomial(int(n_v), canary, 5000), rng.binomial(int(n_c), stable, 5000), strict=True):
        counts = (float(xv), n_v, float(xc), n_c)
        rows.append(
            [
                *risk_difference_test.bet((1.0,) * 8, counts, 0.01, 0.02, 1.0, 1.0, GRID),
                *risk_difference_test.likelihood((1.0,) * 8, counts, 0.01, 1.0, harmful=True),
                *risk_difference_test.likelihood((1.0,) * 8, counts, 0.01, 1.0, harmful=False),
            ]
        )
    factors = np.array(rows)
    assert (factors.mean(axis=0) <= 1 + 4 * factors.std(axis=0) / math.sqrt(len(factors))).all()


def test_a_canary_is_accused_though_stable_has_no_errors_at_all() -> None:
    court = Court(plan(IN_POINTS, hardStop={"enabled": False}), World())
    court.enter(1)
    court.world.health["stable"].errors = 0.0
    court.world.health["canary"].errors = 0.15
    assert court.scrapes(12, until=GateAnswer.FAIL) <= 8


def test_a_canary_without_errors_passes_and_the_estimate_before_was_near() -> None:
    court = Court(plan(IN_POINTS), World())
    court.enter(1)
    for health in court.world.health.values():
        health.errors = 0.0
    court.scrapes(3)
    eta = court.gate(IN_POINTS.text).eta
    assert eta is not None
    took = court.scrapes(60, until=GateAnswer.PASS)
    assert took < 30
    assert took == pytest.approx(eta, rel=0.8)


counts = st.floats(0, 1e7, allow_nan=False)


@given(xv=counts, more_v=counts, xc=counts, more_c=counts, eps=st.floats(1e-6, 0.999), noise=st.floats(1, 1e4))
def test_no_counts_give_infinity_or_nonsense(
    xv: float, more_v: float, xc: float, more_c: float, eps: float, noise: float
) -> None:
    block = (xv, xv + more_v, xc, xc + more_c)
    if not risk_difference_test.usable(block):
        return
    after = [
        *risk_difference_test.bet((1.0,) * 8, block, eps, 0.01, noise, 1.5, GRID),
        *risk_difference_test.likelihood((1.0,) * 8, block, eps, noise, harmful=True),
        *risk_difference_test.likelihood((1.0,) * 8, block, eps, noise, harmful=False),
    ]
    assert all(math.isfinite(each) and each >= 0 for each in after)
    assert max(after) <= share_test.CAP


def test_without_trials_on_both_arms_there_is_nothing_to_say() -> None:
    assert not risk_difference_test.usable((0.0, 0.0, 1.0, 100.0))
    assert not risk_difference_test.usable((0.0, 10.0, 0.0, 0.0))
    assert not risk_difference_test.usable((11.0, 10.0, 0.0, 10.0))
