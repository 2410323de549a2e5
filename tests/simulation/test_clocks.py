"""Clocks that leap, and machines that sleep, in the middle of whole rollouts: nothing passes or falls for it."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from canary.rollout import Reason
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from tests.simulation.plans import SHORT_PLAN
from tests.simulation.tales import both

HOUR = 3600.0
HOLD = 120.0
"""Of each stage of the plan but the last."""
WHEN = (0.02, 0.2, 0.5)
"""Shares of the plan's length: before there is traffic, in the first stage, in the third."""


def played(harm: str, jumps: Sequence[tuple[float, float]], seed: int = 0) -> Story:
    """A canary under a clock that leaps."""
    scenario = both(harm, "healthy")
    scenario = replace(scenario, faults=replace(scenario.faults, jumps=tuple(jumps)))
    return simulate(SHORT_PLAN, scenario, seed=seed, interval=5.0)


def held(story: Story) -> list[float]:
    """True seconds between two shifts."""
    moments = [shift.t for shift in story.shifts]
    return [later - earlier for earlier, later in pairwise(moments)]


@pytest.mark.parametrize("share", WHEN)
@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR], ids=["slept", "set-back"])
def test_r14_a_machine_that_slept_passes_no_stage_by_it_and_rolls_nothing_back(share: float, by: float) -> None:
    """The event loop's clock stood still, or the wall clock was set: either way the hold is held, and not for ever."""
    story = played("healthy", [(share, by)])
    assert story.result == "promoted"
    assert min(held(story)) >= HOLD
    assert max(held(story)) < 2 * HOLD
    (told,) = [event for event in story.events if event.reason is Reason.TIME_NOT_WATCHED]
    assert "8 h" in told.message


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", [8 * HOUR, -8 * HOUR], ids=["slept", "set-back"])
def test_r14_a_bad_canary_is_taken_back_as_soon_after_that_as_without_it(by: float, seed: int) -> None:
    plain, leapt = played("errors-x20", [], seed), played("errors-x20", [(0.02, by)], seed)
    assert (plain.result, leapt.result) == ("rolled_back", "rolled_back")
    assert leapt.shifts[-1].t <= plain.shifts[-1].t + 10.0


@pytest.mark.parametrize("by", [1.0, -1.0, 20.0, -20.0], ids=["leap", "leap-back", "step", "step-back"])
def test_r14_a_leap_second_and_a_small_step_are_no_news(by: float) -> None:
    story = played("healthy", [(0.2, by), (0.5, -by)])
    assert story.result == "promoted"
    assert not [event for event in story.events if event.reason is Reason.TIME_NOT_WATCHED]
    assert min(held(story)) >= HOLD - abs(by) - 1


def test_r14_a_rollout_across_a_change_of_local_time_is_the_same_rollout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are those of UTC: the hour that a summer time adds or takes is on no clock of ours."""
    stories = []
    for zone in ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"):
        monkeypatch.setenv("TZ", zone)
        story = simulate(SHORT_PLAN, SCENARIOS["healthy"], seed=0)
        stories.append([(event.at, event.reason, event.message) for event in story.events])
    assert all(story == stories[0] for story in stories)
