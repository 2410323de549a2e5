"""Intervals hold at every look: how often they are wrong is checked by looking often, what they say by the counts."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import betaln

from canary import judge
from canary.judge.confidence_sequence import intervals, share_interval
from canary.judge.state import JudgeState
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import CONVERSION, ERRORS_AT_MOST, FAST, World, plan


def test_r8_the_true_share_is_hardly_ever_left_out_however_often_one_looks() -> None:
    """300 runs of 60 looks each: at 5 % fewer than one run in twenty is ever wrong (it is conservative)."""
    rng = np.random.default_rng(3)
    wrong = 0
    for truth in (0.002, 0.05, 0.4):
        hits = rng.binomial(40, truth, size=(100, 60)).cumsum(axis=1)
        for run in hits:
            ends = (share_interval(float(x), 40.0 * (look + 1), 0.05) for look, x in enumerate(run))
            wrong += any(not low <= truth <= high for low, high in ends)
    assert wrong <= 15


def test_a_single_look_would_be_narrower_and_more_requests_make_it_narrower() -> None:
    widths = []
    for n in (100, 1000, 10_000):
        low, high = share_interval(0.05 * n, n, 0.05)
        assert high - low > 2 * 1.96 * math.sqrt(0.05 * 0.95 / n)
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


@given(st.floats(0, 1e7), st.floats(0.001, 1e7), st.floats(1e-6, 0.5))
def test_whatever_was_counted_the_ends_are_shares_around_what_was_seen(hits: float, more: float, alpha: float) -> None:
    low, high = share_interval(hits, hits + more, alpha)
    assert 0 <= low <= hits / (hits + more) <= high <= 1


def test_nothing_seen_allows_nothing_and_something() -> None:
    low, high = share_interval(0.0, 50.0, 0.05)
    assert low == 0
    assert 0.05 < high < 0.25


def test_both_arms_of_every_counted_gate_have_one_around_the_value_that_is_shown() -> None:
    court = Court(plan(ERRORS_AT_MOST, FAST, CONVERSION, hardStop={"enabled": False}), World(2))
    court.enter(1)
    court.scrapes(12)
    found = intervals(court.config, court.state, stage=1)
    shown = {gate.gate: gate for gate in court.judgement.gates}
    assert set(found) >= {ERRORS_AT_MOST.text, FAST.text}
    for text, arms in found.items():
        for arm, (low, high) in arms.items():
            value = shown[text].canary if arm == "canary" else shown[text].stable
            assert value is not None
            assert low <= value <= high
    canary, stable = (found[ERRORS_AT_MOST.text][arm] for arm in ("canary", "stable"))
    assert canary[1] - canary[0] > stable[1] - stable[0]  # it has a quarter of the requests


def test_without_counts_of_this_stage_there_is_none() -> None:
    court = Court(plan(ERRORS_AT_MOST), World())
    assert intervals(court.config, court.state, stage=0) == {}
    court.enter(1)
    court.scrapes(3)
    assert intervals(court.config, court.state, stage=0) == {}
    assert intervals(court.config, JudgeState(), stage=1) == {}
    assert intervals(court.config, judge.begin(court.config), stage=1) == {}


@pytest.mark.parametrize("bad", [0.0, 1.0])
def test_the_ends_of_the_scale_are_reached(bad: float) -> None:
    low, high = share_interval(bad * 30, 30.0, 0.05)
    assert (low == 0) is (bad == 0)
    assert (high == 1) is (bad == 1)


@given(st.floats(2, 1e4), st.floats(2, 1e4), st.floats(1e-6, 0.5))
def test_each_end_is_where_the_counts_stop_being_likely(hits: float, misses: float, alpha: float) -> None:
    """By the definition: the mixture's likelihood is `1 / alpha` times that of the share at an end."""
    mixture = betaln(hits + 0.5, misses + 0.5) - betaln(0.5, 0.5)
    for end in share_interval(hits, hits + misses, alpha):
        likely = hits * math.log(end) + misses * math.log1p(-end) if 0 < end < 1 else -math.inf
        assert end in {0, 1} or likely == pytest.approx(mixture + math.log(alpha), rel=1e-9, abs=1e-4)
