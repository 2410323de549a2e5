"""Requests a second from running totals."""

from controlplane.view.pace import RefreshPace
from tests.controlplane.view.scenes import counters


def test_a_rate_needs_two_readings() -> None:
    pace = RefreshPace()
    assert pace.take(None) == {}
    assert pace.take(counters(0, 1000, 50)) == {}
    assert pace.take(counters(1, 1225, 125)) == {"stable": 225.0, "canary": 75.0}


def test_a_rate_follows_a_shift_within_seconds() -> None:
    """Old readings are forgotten; a repeated one counts once; a restart counts from zero."""
    pace = RefreshPace()
    for t in range(10):
        pace.take(counters(t, 300.0 * t, 0))
    for t in range(10, 14):
        pace.take(counters(t, 2700, 300.0 * (t - 9)))
        pace.take(counters(t, 2700, 300.0 * (t - 9)))
    assert pace.take(None) == {"stable": 0.0, "canary": 300.0}
    assert pace.take(counters(14, 2700, 30))["canary"] < 300.0
