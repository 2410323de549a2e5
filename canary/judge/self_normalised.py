"""A test that measures its own noise: sums of contrasts over the root of their squares, mixed over effect sizes.

For anything with a sum and a count (KPIs, tokens an answer), and as a third, robust voice for counts. Slow, since a
block adds at most half a nat, but hard to fool. `M = ½ log(4r/(V+r)) + S²/(2(V+r)) + log Φ(S/√(V+r))` is the normal
mixture with a half-normal prior (Robbins; Howard et al. 2021), `V = vr Σz²`. Called by `evidence.py`; keeps nothing.
"""

import math
from collections.abc import Sequence
from math import sqrt

from canary.judge.portable_math import exp, log, scaled_erfc
from canary.judge.special import ROOT_HALF, log_normal_cdf

ENOUGH = 5.0
"""Blocks are pooled until they hold this much information: sparse, skewed ones would break the test."""
V_BEST = 300.0
"""Variance at which the mixture is tightest: about three hundred pooled blocks."""
STARTS = 8
"""Beginnings that it is mixed over; the first has half the weight, the others share the rest."""
FIRST, OTHERS = 0.5, 0.5 / (STARTS - 1)
NEAR = 30.0
"""Standard deviations within which neither factor of the mixture under- or overflows."""


def tuning(alpha: float) -> float:
    """The prior's width that makes the boundary tightest at `V_BEST`."""
    return V_BEST / (2 * log(1 / alpha) + log(1 + 2 * log(1 / alpha)))


def log_mixture(total: float, variance: float, r: float) -> float:
    """Log evidence that standardised contrasts drift upwards; 0 before anything was seen."""
    v = variance + r
    return 0.5 * log(4 * r / v) + total * total / (2 * v) + log_normal_cdf(total / math.sqrt(v))


def plus(
    totals: tuple[float, ...], squares: tuple[float, ...], z: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Sums and sums of squares of all beginnings after another standardised contrast."""
    return tuple([total + z for total in totals]), tuple([square + z * z for square in squares])


def over_starts(totals: Sequence[float], squares: Sequence[float], vr: float, r: float) -> float:
    """Evidence averaged over all beginnings; those that are still to come count as 1."""
    if not totals:
        return 1.0
    root = math.sqrt(r)
    values = []
    for total, square in zip(totals, squares, strict=True):
        scale = 1 / sqrt(vr * square + r)
        x = total * scale
        if -NEAR < x < NEAR:  # the mixture without its logarithm
            u = x * ROOT_HALF  # exp(u * u) * erfc(-u)
            values.append(root * scale * (scaled_erfc(-u) if u <= 0 else 2 * exp(u * u) - scaled_erfc(u)))
        else:
            values.append(exp(min(log_mixture(total, vr * square, r), 500.0)))
    return FIRST * values[0] + OTHERS * (math.fsum(values[1:]) + STARTS - len(values))
