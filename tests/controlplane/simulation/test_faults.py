"""Spells lie where the plan's length puts them, and the controller dies exactly where it is told to."""

import numpy as np
import pytest
from numpy.random import default_rng

from controlplane.simulation.faults import Fate, Killed, Spell, Timeline


def test_a_spell_begins_at_its_share_of_the_plan_after_the_first_traffic() -> None:
    """And never before there was any."""
    timeline = Timeline(length=1000.0, interval=5.0)
    assert timeline.window(Spell(0.3, 600), first_traffic=20.0) == (320.0, 920.0)
    assert timeline.window(Spell(0.3, 600), first_traffic=None) is None
    assert not timeline.active(Spell(0.3, 600), 20.0, 319.0)
    assert timeline.active(Spell(0.3, 600), 20.0, 320.0)


def test_a_spell_lasts_for_some_scrapes_at_least() -> None:
    """A plan that is looked at every half hour notices it too."""
    assert Timeline(length=1e6, interval=1800.0).window(Spell(0.0, 600), 0.0) == (0.0, 6 * 1800.0)


def test_blocks_are_covered_by_the_part_of_them_that_lies_inside() -> None:
    """Half, all, none."""
    timeline = Timeline(length=100.0, interval=1.0)
    covered = timeline.overlap(Spell(0.5, 20), 0.0, np.array([40.0, 60.0, 70.0, 90.0]))
    assert covered == pytest.approx([0.5, 1.0, 0.0])


def test_the_controller_dies_at_the_line_it_is_told_to() -> None:
    """Lines are counted from zero, whatever their names."""
    fate = Fate(default_rng(1), chance=0.0, fatal={1})
    fate.line("before save")
    with pytest.raises(Killed, match="after save"):
        fate.line("after save")
    assert (fate.deaths, fate.lines) == (1, ["before save", "after save"])


def test_nothing_may_catch_a_death() -> None:
    """It is no Exception."""
    assert not issubclass(Killed, Exception)
