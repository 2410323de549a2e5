"""Queries that people write into gates: what is asked, and what an answer means for each arm.

Used by every source that has a Prometheus. A gate's own `query` has to give one value for each variant, told apart by
the label `variant`, whose value is the variant's name or its arm (`stable`, `canary`). Only `$window` is filled in,
nothing else, so no name can change what a query means. Asks nothing itself.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from canary.spec.models import Gate
from canary.weights import ARMS, Arm
from controlplane.adapters.prometheus_series import Series

DEFAULT_WINDOW_S = 60.0
"""What `$window` is for a gate that names no window."""


class Reading(NamedTuple):
    """What a gate's query says of each arm, and the clause about what is missing in it."""

    values: Mapping[Arm, float]
    problem: str = ""


def query_of(gate: Gate) -> str:
    """The query as it is asked."""
    return (gate.query or "").replace("$window", duration(gate.window or DEFAULT_WINDOW_S))


def arms_by_name(names: Mapping[Arm, str]) -> dict[str, Arm]:
    """What the label `variant` may say, and whom it means."""
    return {name: arm for arm in ARMS for name in (names[arm], arm)}


def reading(gate: str, series: Iterable[Series], variants: Mapping[str, Arm]) -> Reading:
    """One number for each arm from the series of an answer; what is no number or not one is left out and said."""
    values: dict[Arm, list[float]] = {}
    for each in series:
        arm = variants.get(each.metric.get("variant", ""))
        if arm and each.points:
            values.setdefault(arm, []).append(each.points[-1][1])
    if not values:
        names = " or ".join(sorted(variants))
        return Reading({}, f"{gate}: its query gives no series with the label variant={names}")
    several = [arm for arm, found in values.items() if len(found) > 1]
    numbers = {arm: found[0] for arm, found in values.items() if len(found) == 1 and math.isfinite(found[0])}
    if several:
        return Reading(numbers, f"{gate}: its query gives more than one series for {' and '.join(several)}")
    if len(numbers) < len(values):
        without = [arm for arm in values if arm not in numbers]
        return Reading(numbers, f"{gate}: its query gives no number for {' and '.join(without)} (NaN or infinite)")
    return Reading(numbers)


def duration(seconds: float) -> str:
    """As PromQL writes it, in whole milliseconds."""
    return f"{max(round(seconds * 1000), 1)}ms"
