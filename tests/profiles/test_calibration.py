"""Corrections from own points."""

import pytest

from profiles.calibration import Correction
from profiles.interval import factor


def test_nothing_measured_corrects_nothing() -> None:
    assert Correction.of([]) == Correction(1.0, 0)
    assert Correction.of([(0.0, 1.0), (1.0, 0.0)]) == Correction(1.0, 0)


def test_two_points_give_the_geometric_mean_of_their_ratios() -> None:
    assert Correction.of([(1.0, 2.0), (1.0, 0.5)]).factor == pytest.approx(1.0)
    assert Correction.of([(1.0, 2.0), (1.0, 8.0)]).factor == pytest.approx(4.0)


def test_one_point_is_not_believed_entirely() -> None:
    assert 1 < Correction.of([(1.0, 2.0)]).factor < 2


@pytest.mark.parametrize("kind", ["ttft", "itl", "throughput"])
def test_what_is_known_better_has_tighter_bounds(kind: str) -> None:
    widths = [
        factor(kind, "calibrated", 2),
        factor(kind, "calibrated", 1),
        factor(kind, "predicted"),
        factor(kind, "extrapolated"),
    ]
    assert widths == sorted(widths)
    assert len(set(widths)) == 4
