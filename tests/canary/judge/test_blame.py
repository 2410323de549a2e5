"""Whose trouble is it?"""

import pytest

from canary.judge import blame
from canary.judge.noise import Noise

QUIET = Noise(1.0, 0.0, 1.0)
CLUMPY = Noise(10.0, 0.0, 1.0)
USUAL = [100.0, 10_000.0, 50.0]
"""One per cent, known from fifty blocks."""
LATELY = [0.0, 0.0, 330.0, 33_000.0]
"""The same over some minutes."""


def test_stable_is_degraded_when_it_stands_clearly_above_its_history() -> None:
    fast = [0.0, 0.0, 10.0, 1000.0]
    assert not blame.stable_degraded(fast, LATELY, USUAL, 10.0, 1000.0, QUIET)
    assert blame.stable_degraded(fast, LATELY, USUAL, 60.0, 1000.0, QUIET)
    assert not blame.stable_degraded(fast, LATELY, USUAL, 50.0, 1000.0, CLUMPY), "five clumps of ten are no trend"


def test_r8_stable_is_degraded_where_only_minutes_show_it() -> None:
    """Twice as bad as usual, of which three blocks would hold two events."""
    fast = [0.0, 0.0, 2.0, 100.0]
    assert blame.stable_degraded(fast, [0.0, 0.0, 66.0, 3300.0], USUAL, 1.0, 50.0, QUIET)
    assert not blame.stable_degraded(fast, [0.0, 0.0, 40.0, 3300.0], USUAL, 1.0, 50.0, QUIET)
    assert not blame.stable_degraded(fast, [0.0, 0.0, 66.0, 3300.0], USUAL, 1.0, 50.0, CLUMPY)


def test_a_history_of_a_few_blocks_is_none() -> None:
    assert not blame.stable_degraded([0.0] * 4, [0.0] * 4, [1.0, 100.0, 3.0], 90.0, 100.0, QUIET)


def test_stable_is_beyond_a_limit_only_with_something_to_spare() -> None:
    assert not blame.stable_beyond([0.0, 0.0, 52.0, 1000.0], 0.05, QUIET)
    assert blame.stable_beyond([0.0, 0.0, 70.0, 1000.0], 0.05, QUIET)
    assert not blame.stable_beyond([0.0, 0.0, 0.0, 0.0], 0.05, QUIET), "without traffic there is no telling"


def test_recent_counts_fade() -> None:
    fast: blame.Recent = (0.0,) * 4
    for _ in range(50):
        fast = blame.recent(fast, 1.0, 100.0, 2.0, 10.0)
    x = 1 / (1 - blame.FAST)
    assert fast == pytest.approx([2.0 * x, 10.0 * x, x, 100.0 * x])
