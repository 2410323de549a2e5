"""Flaws are as large as they say, averaged over whatever block is asked for."""

import numpy as np
import pytest

from controlplane.simulation.regression import Regression

CALM = np.zeros(1)


def average(flaw: Regression, begin: float, end: float, high: float = 0.0) -> float:
    """The factor on errors over one block."""
    return float(flaw.over(np.array([begin, end]), np.array([high]), 7200.0)[0])


def test_a_leak_grows_in_a_line_and_stays_at_its_full_size() -> None:
    """Nothing at first, half the harm after half the time, all of it from then on."""
    leak = Regression(errors=4, when="growing")
    assert average(leak, 0, 1) == pytest.approx(1, abs=1e-3)
    assert average(leak, 0, 7200) == pytest.approx(2.5)
    assert average(leak, 7200, 9000) == pytest.approx(4)


def test_an_intermittent_flaw_is_there_twenty_seconds_in_three_minutes() -> None:
    """Five times the errors then, 1.44 times on average."""
    flaw = Regression(errors=5, when="now and then")
    assert average(flaw, 0, 20) == pytest.approx(5)
    assert average(flaw, 20, 180) == pytest.approx(1)
    assert average(flaw, 0, 1800) == pytest.approx(1 + 4 * 20 / 180)


def test_a_flaw_under_load_needs_load() -> None:
    """In a block with a third of high load a third of the harm shows."""
    flaw = Regression(errors=3, when="high load")
    assert average(flaw, 0, 60) == 1
    assert average(flaw, 0, 60, high=1 / 3) == pytest.approx(1 + 2 / 3)


def test_no_flaw_is_no_harm() -> None:
    """The healthy canary."""
    assert average(Regression(), 0, 60, high=1.0) == 1
