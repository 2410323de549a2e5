"""Delays double up to a bound, and a loop that has failed for weeks still gets one."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.backoff import Backoff, delay


def test_delays_double_up_to_the_longest_and_begin_again_after_a_success() -> None:
    backoff = Backoff(1, 5)
    assert [backoff.next() for _ in range(4)] == [1, 2, 4, 5]
    backoff.reset()
    assert backoff.next() == 1


def test_jitter_changes_each_delay() -> None:
    backoff = Backoff(1, 5, jitter=lambda seconds: seconds / 2)
    assert [backoff.next() for _ in range(4)] == [0.5, 1, 2, 2.5]


@given(failures=st.integers(1, 10**9), first=st.floats(0.01, 10), longest=st.floats(10, 3600))
def test_r9_a_loop_that_has_failed_for_weeks_still_waits_no_longer_than_the_longest(
    failures: int, first: float, longest: float
) -> None:
    assert first <= delay(failures, first, longest) <= longest
    assert delay(failures, first, longest) <= delay(failures + 1, first, longest)
