"""The judge's own times: ages stay what they were when the clock is set."""

import pytest

from canary.judge.clock import DataClock

EIGHT_HOURS = 8 * 3600.0


@pytest.mark.parametrize("by", [EIGHT_HOURS, -EIGHT_HOURS], ids=["slept", "set-back"])
def test_r14_a_clock_that_is_set_makes_no_block_longer(by: float) -> None:
    plain = DataClock().ticked(1e9).ticked(1e9 + 5).ticked(1e9 + 10)
    leapt = DataClock().ticked(1e9).ticked(1e9 + 5).moved(by).ticked(1e9 + 10 + by)
    assert (leapt.length, leapt.interval) == (plain.length, plain.interval)


@pytest.mark.parametrize("by", [EIGHT_HOURS, -EIGHT_HOURS], ids=["slept", "set-back"])
def test_r14_a_clock_that_is_set_before_the_first_block_makes_none_of_it(by: float) -> None:
    """The first block has no length; it is not as long as all the time since 1970."""
    clock = DataClock().moved(by).ticked(1e9)
    assert (clock.last, clock.length, clock.interval) == (1e9, 0.0, 0.0)
    assert clock.ticked(1e9 + 5).interval == 5.0
