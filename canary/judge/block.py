"""A block: what happened on both arms since the block before, as increments. The judge's only food.

Made by `feed.py` from running totals, by `serinus judge` from JSON lines (contract in `docs/contracts.md`), and by the
virtual world. Decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from canary.observation import HistogramCounts
from canary.weights import Arm

NONE: Mapping[str, Any] = MappingProxyType({})
"""No series at all."""


class PodBlock(NamedTuple):
    """Increments of one replica. None or absent means no data, never zero."""

    requests: float | None = None
    errors: float | None = None
    histograms: Mapping[str, HistogramCounts] = NONE
    totals: Mapping[str, float] = NONE
    kpis: Mapping[str, tuple[float, float]] = NONE
    gauges: Mapping[str, float] = NONE


@dataclass(frozen=True, slots=True)
class Block:
    """Increments of all replicas of both arms over the same interval."""

    t: float
    """End of the interval in seconds; below 0 it is history from before the canary had traffic."""
    stage: int
    weight: float
    """The canary's share in force during the interval."""
    arms: Mapping[Arm, Mapping[str, PodBlock]]
    readings: Mapping[str, Mapping[Arm, float]] = field(default_factory=dict)
    """Momentary answers of user-written queries, by gate text."""
