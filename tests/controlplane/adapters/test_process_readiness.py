"""When failed probes mean that a replica is lost: the rule alone, without servers."""

from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.process_readiness import Answered, Failure, Probes

NOTHING = Answered(0, 0, 0)
counts = st.builds(Answered, *[st.integers(0, 3).map(float)] * 3)


def late(began: float, before: Answered | None = NOTHING) -> Failure:
    return Failure(began, late=True, before=before)


def on_time(_since: float) -> bool:
    return True


def late_as_well(_since: float) -> bool:
    return False


def test_so_many_late_answers_in_a_row_are_a_loss_and_fewer_are_not() -> None:
    probes = Probes(3)
    assert [probes.lost(late(began), NOTHING, on_time) for began in (0, 5, 10, 15)] == [False, False, True, True]


def test_an_answer_between_begins_the_row_again() -> None:
    probes = Probes(2)
    assert not probes.lost(late(0), NOTHING, on_time)
    probes.passed(5)
    assert not probes.lost(late(10), NOTHING, on_time)
    assert probes.lost(late(15), NOTHING, on_time)


def test_who_answers_requests_is_not_lost_until_that_ends() -> None:
    probes = Probes(2)
    assert not probes.lost(late(0, Answered(7, 0, 70)), Answered(8, 0, 80), on_time)
    assert not probes.lost(late(5, Answered(8, 0, 80)), Answered(8, 0, 80), on_time)
    assert probes.lost(late(10, Answered(8, 0, 80)), Answered(8, 0, 80), on_time)


def test_a_stream_that_goes_on_is_an_answer_and_the_bytes_of_an_error_are_none() -> None:
    flowing, failing = Probes(1), Probes(1)
    assert not flowing.lost(late(0, Answered(1, 0, 10)), Answered(1, 0, 900), on_time)
    assert failing.lost(late(0, Answered(1, 0, 10)), Answered(1, 2, 900), on_time)


def test_nobody_is_lost_while_the_others_are_late_as_well() -> None:
    stable, canary = Probes(2), Probes(2)
    stable.passed(-1)
    for began in (0.0, 5.0, 10.0):
        assert not canary.lost(late(began), NOTHING, stable.on_time)
        assert not stable.lost(late(began + 1), NOTHING, canary.on_time)
    stable.passed(16)
    assert canary.lost(late(15), NOTHING, stable.on_time)


def test_a_server_that_says_itself_that_it_is_not_ready_is_believed_whatever_the_others_do() -> None:
    probes = Probes(1)
    assert probes.lost(Failure(0, late=False, before=None), None, late_as_well)


def test_a_pass_from_before_says_nothing_of_now() -> None:
    """Its next probe may be hanging already."""
    probes = Probes(3)
    probes.passed(4)
    assert probes.on_time(4)
    assert not probes.on_time(5)
    probes.lost(late(6), NOTHING, on_time)
    assert not probes.on_time(4)


@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.booleans(), counts, st.booleans()), max_size=30))
def test_a_loss_needs_all_that_it_is_made_of(failures: int, told: list[tuple[bool, bool, Answered, bool]]) -> None:
    """Whatever comes: so many failures in a row, no answers among them, and the others on time if it was late."""
    probes, now = Probes(failures), NOTHING
    row: list[Answered] = []
    for at, (passed, was_late, further, others) in enumerate(told):
        before, now = now, Answered(*map(sum, zip(now, further, strict=True)))
        if passed:
            probes.passed(at)
            row = []
            continue
        row = [*row, before][-failures:]
        lost = probes.lost(Failure(at, was_late, before), now, {True: on_time, False: late_as_well}[others])
        assert lost == (len(row) == failures and not now.more_than(row[0]) and (others or not was_late))
