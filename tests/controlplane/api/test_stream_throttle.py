"""Looks take the share of a core that they may take, whatever one costs and however many rollouts are followed."""

from collections.abc import Iterator
from itertools import chain, repeat

import pytest

from controlplane.api.stream_throttle import SHARE, StreamThrottle


def a_pace(*costs: float) -> StreamThrottle:
    """A pace whose looks have cost so many seconds of processor time."""

    def used() -> Iterator[float]:
        total = 0.0
        for cost in costs:
            yield total
            total += cost
            yield total

    clock = used()
    pace = StreamThrottle(lambda: next(clock))
    for _ in costs:
        with pace.looking():
            pass
    return pace


@pytest.mark.parametrize("cost", [0.0002, 0.001, 0.02])
@pytest.mark.parametrize("followed", [1, 10, 200, 1000])
def test_all_looks_together_take_their_share_of_a_core(cost: float, followed: int) -> None:
    pace = a_pace(*repeat(cost, 5))
    pace.followed = followed
    assert followed * cost / pace.rest == pytest.approx(SHARE)


def test_one_rollout_alone_is_told_of_at_once() -> None:
    pace = a_pace(*repeat(0.002, 5))
    pace.followed = 1
    assert pace.rest < 0.05


def test_nothing_rests_before_a_look_has_shown_what_it_costs() -> None:
    pace = StreamThrottle()
    pace.followed = 1000
    assert pace.rest == 0


def test_a_machine_that_becomes_slower_is_noticed_within_some_hundred_looks() -> None:
    pace = a_pace(*chain(repeat(0.001, 100), repeat(0.004, 200)))
    pace.followed = 100
    assert 100 * 0.004 / pace.rest == pytest.approx(SHARE, rel=0.05)


def test_a_look_that_fails_counts_too() -> None:
    clock = iter([0.0, 3.0])
    pace = StreamThrottle(lambda: next(clock))
    pace.followed = 1
    with pytest.raises(ValueError, match="broken"), pace.looking():
        raise ValueError("broken")
    assert pace.rest == pytest.approx(3.0 / SHARE)
