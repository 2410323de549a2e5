"""From when a warm-up counts, whatever the readings are."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters import first_requests
from controlplane.adapters.first_requests import FirstRequests


def test_waiting_uses_up_no_warm_up() -> None:
    """Ready at 10 s, first asked between 300 s and 301 s."""
    known = FirstRequests()
    assert [known.began("a", 10.0, at, 0.0) for at in (11.0, 150.0, 300.0)] == [10.0] * 3
    assert [known.began("a", 10.0, at, at) for at in (301.0, 302.0)] == [300.0, 300.0]


def test_one_that_is_started_again_waits_for_its_first_request_again() -> None:
    """Its proxy goes on counting where it was."""
    known = FirstRequests()
    known.began("a", 10.0, 11.0, 0.0)
    assert known.began("a", 10.0, 12.0, 5.0) == 11.0
    assert [known.began("a", 20.0, at, 9.0) for at in (21.0, 30.0)] == [20.0, 20.0]
    assert known.began("a", 20.0, 31.0, 10.0) == 30.0


def test_one_that_is_met_while_it_serves_counts_from_its_readiness() -> None:
    """As after a restart of ours: a stable that has served for a week is not cold."""
    assert FirstRequests().began("a", 10.0, 900.0, 5.0) == 10.0


def test_where_nobody_counts_requests_readiness_has_to_do() -> None:
    known = FirstRequests()
    assert [known.began("a", 10.0, at, None) for at in (11.0, 99.0)] == [10.0, 10.0]


def test_no_more_than_so_many_are_remembered() -> None:
    known = FirstRequests()
    for number in range(first_requests.MOST + 1):
        known.began(str(number), 1.0, 2.0, 0.0)
    assert known.began("0", 1.0, 50.0, 3.0) == 1.0, "forgotten, so it may have been asked for long"
    assert known.began(str(first_requests.MOST), 1.0, 50.0, 3.0) == 2.0


@given(st.floats(0, 100), st.lists(st.tuples(st.floats(0.1, 10), st.integers(0, 2)), min_size=1, max_size=30))
def test_it_begins_at_the_last_reading_without_a_request_and_stays_there(
    ready: float, steps: list[tuple[float, int]]
) -> None:
    known, at, requests, idle = FirstRequests(), ready, 0.0, ready
    known.began("a", ready, at, 0.0)
    for seconds, asked in steps:
        at, requests = at + seconds, requests + asked
        began = known.began("a", ready, at, requests)
        idle = at if requests == 0 else idle
        assert began == (idle if requests else ready)
        assert ready <= began <= at
