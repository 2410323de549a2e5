"""Holds the predictor against measurements: the error table of `serinus profile validate`, and the regression bar of
the tests.

Errors are absolute and relative to the measured value. Pure: rows come in, lines of a table come out.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from profiles.calibration import Correction
from profiles.interval import Basis, factor
from profiles.points import MeasuredPoint, predicted
from profiles.prediction import uncertain

ROWS = ("all", "itl", "ttft", "throughput")


@dataclass(frozen=True, slots=True)
class Errors:
    """One line of the error table."""

    name: str
    n: int
    median: float | None
    """Median absolute relative error; None without rows."""
    p90: float | None
    covered: float | None
    """Share of the measured values inside the 80 % interval."""


def error_table(pairs: Iterable[tuple[MeasuredPoint, float]], own_points: int = 0) -> list[Errors]:
    """Errors by class of `(point, prediction)` pairs; `own_points`: measurements that the predictions were calibrated
    with.
    """
    found: dict[str, list[tuple[float, bool]]] = {name: [] for name in ROWS}
    for point, value in pairs:
        error = abs(value / point.value - 1)
        inside = abs(math.log(value / point.value)) <= math.log(bound(point, own_points))
        found["all"].append((error, inside))
        found[point.kind].append((error, inside))
    return [summary(name, values) for name, values in found.items()]


def summary(name: str, values: Sequence[tuple[float, bool]]) -> Errors:
    """Median, 90th percentile and coverage of one class."""
    if not values:
        return Errors(name, 0, None, None, None)
    errors = sorted(error for error, _ in values)
    return Errors(
        name,
        len(values),
        quantile(errors, 0.5),
        quantile(errors, 0.9),
        sum(inside for _, inside in values) / len(values),
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """Quantile of sorted values, linear between neighbours."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def bound(point: MeasuredPoint, own_points: int = 0) -> float:
    """The factor of the 80 % interval that a prediction for this point would carry."""
    if own_points:
        return factor(point.kind, "calibrated", own_points)
    basis: Basis = (
        "extrapolated" if uncertain(point.deployment, point.input_tokens + point.output_tokens) else "predicted"
    )
    return factor(point.kind, basis)


def validate(points: Sequence[MeasuredPoint]) -> list[Errors]:
    """The error table of the shipped constants."""
    return error_table((point, predicted(point)) for point in points)


def calibrated(
    points: Sequence[MeasuredPoint], predict: Callable[[MeasuredPoint], float] = predicted
) -> list[tuple[MeasuredPoint, float]]:
    """Every deployment calibrated with its lowest and highest load, and predicted at its other points.

    Deployments with fewer than three points of a class have nothing left to test on and are left out.
    """
    groups: dict[object, list[MeasuredPoint]] = {}
    for point in points:
        if point.concurrency is not None:
            groups.setdefault((point.group, point.kind, point.metric), []).append(point)
    tested = []
    for group in groups.values():
        if len(group) < 3:
            continue
        ordered = sorted(group, key=lambda point: (point.concurrency or 0.0, point.input_tokens, point.output_tokens))
        own = (ordered[0], ordered[-1])
        correction = Correction.of([(predict(point), point.value) for point in own])
        tested += [(point, predict(point) * correction.factor) for point in ordered[1:-1]]
    return tested
