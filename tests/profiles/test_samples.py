"""From timestamps to a level: definitions, bounds, failures, and no coordinated omission."""

import pytest

from profiles.samples import LoadSample, level, mean_with_bounds


def answered(due: float, ttft: float = 0.1, itl: float = 0.01, tokens: int = 11, late: float = 0.0) -> LoadSample:
    first = due + late + ttft
    return LoadSample(due, due + late, first, first + itl * (tokens - 1), tokens, 50)


def test_latencies_follow_their_definitions() -> None:
    one = answered(5.0)
    assert one.ttft == pytest.approx(0.1)
    assert one.itl == pytest.approx(0.01)
    assert one.e2e == pytest.approx(0.2)


def test_a_request_that_was_sent_late_is_charged_for_its_wait() -> None:
    """A client that waits for slow answers before it sends the next must not hide the wait."""
    found = level([answered(float(i), late=2.0) for i in range(20)], "open", 1.0, 20.0)
    assert found.ttft is not None
    assert found.ttft.value == pytest.approx(2.1)
    assert any("late" in note for note in found.notes)


def test_throughput_and_littles_law_agree_in_a_steady_closed_loop() -> None:
    """Four callers with answers of 0.2 s are 20 answers and 220 tokens a second."""
    samples = [answered(0.2 * round_ + 0.05 * caller) for round_ in range(50) for caller in range(4)]
    found = level(samples, "closed", 4, 10.0)
    assert found.requests_per_second == pytest.approx(20.0)
    assert found.tokens_per_second is not None
    assert found.tokens_per_second.value == pytest.approx(220.0)
    assert found.littles_law_gap == pytest.approx(0.0, abs=1e-9)
    assert found.notes == ()


def test_a_loop_that_is_not_steady_is_said_so() -> None:
    found = level([answered(float(i)) for i in range(20)], "closed", 8, 20.0)
    assert found.littles_law_gap is not None
    assert found.littles_law_gap > 0.9
    assert any("steady" in note for note in found.notes)


def test_failures_are_counted_by_kind_and_kept_out_of_the_latencies() -> None:
    broken = [LoadSample(1.0, 1.0, None, None, 0, 0, "status 503"), LoadSample(1.0, 1.0, 1.2, 1.3, 4, 9, "cut")]
    found = level([*(answered(float(i)) for i in range(12)), *broken, broken[0]], "closed", 1, 12.0)
    assert found.failures == {"status 503": 2, "cut": 1}
    assert found.completed == 12


def test_bounds_hold_the_mean_of_scattered_numbers_and_are_tight_for_equal_ones() -> None:
    steady = mean_with_bounds([0.5] * 100)
    assert steady is not None
    assert steady.low == steady.high == pytest.approx(0.5)
    rising = mean_with_bounds([float(i) for i in range(100)])
    assert rising is not None
    assert rising.low < 49.5 < rising.high


def test_nothing_measured_is_nothing_said() -> None:
    found = level([], "closed", 8, 10.0)
    assert found.ttft is None
    assert found.tokens_per_second is None
    assert found.completed == 0


def test_prefix_cache_hits_are_noticed() -> None:
    cached = [LoadSample(float(i), float(i), i + 0.1, i + 0.2, 5, 100, cached_tokens=80) for i in range(12)]
    assert any("prefix cache" in note for note in level(cached, "closed", 1, 12.0).notes)
