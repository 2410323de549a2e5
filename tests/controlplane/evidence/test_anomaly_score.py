"""Whose numbers look worst: an order of looking, by failures and latencies beside the canary's own earlier ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from canary.snapshot import Counters, PodCounters
from controlplane.evidence.anomaly_score import anomaly_score

INF = float("inf")


def a_reading(requests: float, errors: float = 0.0, fast: float | None = None, *, arm: str = "canary") -> Counters:
    """Of one replica; `fast`: so many of its requests took at most 0.1 s, all of them if left out."""
    latency = {0.1: requests if fast is None else fast, INF: requests}
    pod = PodCounters(requests=requests, errors=errors, histograms={"latency": latency})
    return Counters(at=requests, arms={arm: {"a": pod}})  # type: ignore[dict-item]  # - one of the two arms


def test_a_canary_that_goes_on_as_it_was_is_no_reason_to_hurry() -> None:
    assert anomaly_score(a_reading(1000, 10, 900), a_reading(1100, 11, 990)) == pytest.approx(0.0, abs=1e-9)


def test_new_failures_and_new_slow_answers_are_the_share_of_new_requests_that_is_worse_than_before() -> None:
    before = a_reading(1000)
    assert anomaly_score(before, a_reading(1095, 95)) == pytest.approx(0.95)
    assert anomaly_score(before, a_reading(1095, 0, 1000)) == pytest.approx(0.95)


def test_a_canary_that_broke_comes_before_one_with_a_single_failure() -> None:
    broken = anomaly_score(a_reading(1000), a_reading(1010, 10))
    unlucky = anomaly_score(a_reading(1000), a_reading(1001, 1))
    assert broken > unlucky > 0.0


def test_without_a_reading_before_after_a_restart_and_for_stable_there_is_none() -> None:
    assert anomaly_score(None, a_reading(100, 100)) == 0.0
    assert anomaly_score(a_reading(1000), a_reading(10, 10)) == 0.0
    assert anomaly_score(a_reading(0), a_reading(10, 10)) == 0.0
    assert anomaly_score(a_reading(100, arm="stable"), a_reading(200, 100, arm="stable")) == 0.0


def test_a_metric_that_nobody_counts_is_left_out() -> None:
    before = Counters(at=1.0, arms={"canary": {"a": PodCounters(requests=10.0)}})
    now = Counters(at=2.0, arms={"canary": {"a": PodCounters(requests=20.0), "b": PodCounters()}})
    assert anomaly_score(before, now) == 0.0


COUNTS = some.tuples(*[some.integers(0, 10**9).map(float)] * 3)


@given(COUNTS, COUNTS)
def test_whatever_is_counted_it_is_a_share(before: tuple[float, float, float], now: tuple[float, float, float]) -> None:
    assert 0.0 <= anomaly_score(a_reading(*before), a_reading(*now)) <= 1.0
