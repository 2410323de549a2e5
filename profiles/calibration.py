"""Own measurements correct the model: one factor per deployment and metric.

Two points, at the lowest and the highest concurrency, halve the error (docs/profiles.md, "Calibration"); a slope
between them does no better. A single point is trusted for three quarters. Called by `profiles.prediction`; points
come from `serinus profile measure`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

SINGLE_POINT_TRUST = 0.75
"""Share of the (log) correction that one point alone is believed."""


@dataclass(frozen=True, slots=True)
class Correction:
    """What to multiply a prediction with, and how many points say so."""

    factor: float = 1.0
    points: int = 0

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> "Correction":
        """From `(predicted, measured)` pairs: the geometric mean of their ratios."""
        logs = [math.log(measured / predicted) for predicted, measured in pairs if measured > 0 and predicted > 0]
        if not logs:
            return cls()
        trust = SINGLE_POINT_TRUST if len(logs) == 1 else 1.0
        return cls(math.exp(trust * sum(logs) / len(logs)), len(logs))


@dataclass(frozen=True, slots=True)
class Calibration:
    """Corrections by class; an uncalibrated deployment has factors of 1."""

    ttft: Correction = Correction()
    itl: Correction = Correction()
    throughput: Correction = Correction()

    @property
    def points(self) -> int:
        """The most points behind any correction."""
        return max(self.ttft.points, self.itl.points, self.throughput.points)
