"""What is wrong with a variant, as factors on its errors, latency and KPIs over an interval.

Named in `scenarios.py`, applied by `traffic.py`. Time counts from the canary's first traffic. Draws nothing at random.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
When = Literal["always", "growing", "high load", "now and then"]

LEAK_SECONDS = 7200.0
CYCLE_SECONDS, SPELL_SECONDS = 180.0, 20.0
"""A flaw that comes now and then lasts 20 s of every three minutes."""


@dataclass(frozen=True, slots=True)
class Regression:
    """A lasting flaw of one variant."""

    errors: float = 1.0
    """Factor on the error rate, by `when`."""
    latency: float = 1.0
    """Factor on every answer's time."""
    tail: float = 1.0
    """Factor on the slowest 3 % of answers alone."""
    kpi: float = 1.0
    """Factor on conversions and their like."""
    when: When = "always"
    """When the errors come."""

    def over(self, edges: Floats, high: Floats, leak: float) -> Floats:
        """Factor on the errors, averaged over each block between two edges (seconds since the first traffic).

        `high` is the share of each block with high load; `leak` says how long a growing flaw takes to its full size.
        """
        match self.when:
            case "always":
                present = np.ones(len(high))
            case "growing":
                present = np.diff(np.where(edges < leak, edges**2 / (2 * leak), edges - leak / 2)) / np.diff(edges)
            case "high load":
                present = high
            case "now and then":
                cycles, into = np.divmod(edges, CYCLE_SECONDS)
                present = np.diff(cycles * SPELL_SECONDS + np.minimum(into, SPELL_SECONDS)) / np.diff(edges)
        factors: Floats = 1 + (self.errors - 1) * present
        return factors
