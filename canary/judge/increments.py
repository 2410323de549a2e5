"""A block: what happened on both arms since the block before, as increments. The judge's only food.

Made by `feed.py` from running totals, by `serinus judge` from JSON lines (contract in `docs/contracts.md`), and by
the virtual world. Decides nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

from canary.snapshot import HistogramCounts
from canary.weights import Arm

NONE: Mapping[str, Any] = MappingProxyType({})
"""No series at all."""


class ReplicaIncrements(NamedTuple):
    """Increments of one replica. None or absent means no data, never zero."""

    requests: float | None = None
    errors: float | None = None
    histograms: Mapping[str, HistogramCounts] = NONE
    totals: Mapping[str, float] = NONE
    kpis: Mapping[str, tuple[float, float]] = NONE
    gauges: Mapping[str, float] = NONE

    def plus(self, other: "ReplicaIncrements") -> "ReplicaIncrements":
        """Increments of the same replica from two segments of its traffic; gauges are not of segments."""
        histograms = dict(self.histograms)
        for name, counts in other.histograms.items():
            mine = histograms.get(name)
            histograms[name] = counts if mine is None else {b: mine.get(b, 0.0) + n for b, n in counts.items()}
        kpis = dict(self.kpis)
        for name, (events, of) in other.kpis.items():
            was = kpis.get(name, (0.0, 0.0))
            kpis[name] = (was[0] + events, was[1] + of)
        totals = {name: self.totals.get(name, 0.0) + value for name, value in other.totals.items()}
        return ReplicaIncrements(
            requests=_plus(self.requests, other.requests),
            errors=_plus(self.errors, other.errors),
            histograms=histograms,
            totals={**self.totals, **totals},
            kpis=kpis,
        )


def _plus(a: float | None, b: float | None) -> float | None:
    """Sum of what there is."""
    if a is None or b is None:
        return a if b is None else b
    return a + b


@dataclass(frozen=True, slots=True)
class Increments:
    """Increments of all replicas of both arms over the same interval."""

    t: float
    """End of the interval in seconds; below 0 it is history from before the canary had traffic."""
    stage: int
    weight: float
    """The canary's share in force during the interval."""
    arms: Mapping[Arm, Mapping[str, ReplicaIncrements]]
    readings: Mapping[str, Mapping[Arm, float]] = field(default_factory=dict)
    """Momentary answers of user-written queries, by gate text."""
    segments: Mapping[str, Mapping[str, Mapping[Arm, Mapping[str, ReplicaIncrements]]]] = field(default_factory=dict)
    """The same increments once more by label and value, where the source tells them apart."""
    counted: Mapping[str, Mapping[Arm, tuple[float, float]]] = field(default_factory=dict)
    """Increments of counters that gates name themselves (events or their sum, denominator), by gate text and arm."""
