"""A controller that dies at any line of its work, once or often, comes back and brings the rollout to the same end."""

import random
from functools import cache

import pytest

from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import Story, simulate
from tests.simulation.plans import TINY_PLAN
from tests.simulation.tales import exposure_without_record, stages_entered

LINES = {"before save", "after save", "before route", "after route"}


@cache
def undisturbed(name: str) -> Story:
    """The story without a death."""
    return simulate(TINY_PLAN, SCENARIOS[name], seed=11)


@pytest.mark.parametrize("name", ["healthy", "errors-x20"])
def test_r1_every_kind_of_line_is_reached(name: str) -> None:
    """Deaths are enumerated over these; a kind that is never reached would not be tested."""
    assert set(undisturbed(name).lines) == LINES


@pytest.mark.parametrize("name", ["healthy", "errors-x20"])
def test_r1_a_death_at_any_single_line_leads_to_the_same_end(name: str) -> None:
    """Every save and every change of the route, before it and after it, one story each."""
    expected = undisturbed(name)
    for line, what in enumerate(expected.lines):
        story = simulate(TINY_PLAN, SCENARIOS[name], seed=11, fatal={line})
        where = f"killed {what} (line {line})"
        assert story.deaths == 1, where
        assert story.result == expected.result, where
        assert stages_entered(story) == stages_entered(expected), where
        assert exposure_without_record(story) == [], where


@pytest.mark.parametrize("seed", range(40))
def test_r1_many_deaths_at_random_lines_lead_to_the_same_end(seed: int) -> None:
    """No stage repeated or skipped, never a weight above the recorded one."""
    draw = random.Random(seed)
    fatal = {draw.randrange(len(undisturbed("healthy").lines)) for _ in range(draw.randrange(2, 8))}
    story = simulate(TINY_PLAN, SCENARIOS["healthy"], seed=seed, fatal=fatal)
    assert story.deaths >= 1
    assert story.result == "promoted"
    assert stages_entered(story) == [0, 1, 2]
    assert exposure_without_record(story) == []
