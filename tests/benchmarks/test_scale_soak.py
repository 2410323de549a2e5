"""The slopes of a soak: what grows is told with its pace, and what only wavers is not."""

import random

import pytest

from benchmarks.scale_soak import HOUR_S, told


def test_what_grows_is_told_with_its_pace_an_hour() -> None:
    samples = [(5.0 * k, {"RSS MB": 100 + 3 * (5.0 * k / HOUR_S)}) for k in range(120)]
    slope = told(samples, "RSS MB")
    assert slope["an hour"] == pytest.approx(3, abs=0.01)
    assert slope["give or take"] == pytest.approx(0, abs=0.01)


def test_what_wavers_has_a_slope_of_nothing_within_two_standard_errors() -> None:
    chance = random.Random(7)
    within = 0
    for _ in range(200):
        samples = [(5.0 * k, {"tick ms": chance.gauss(20, 3)}) for k in range(120)]
        slope = told(samples, "tick ms")
        within += abs(slope["an hour"]) <= slope["give or take"]
    assert within >= 180
