"""A test that measures its own noise: sums of contrasts over the root of their squares, mixed over effect sizes.

For anything with a sum and a count (KPIs, tokens an answer), and as a third, robust voice for counts. Slow, since a
block adds at most half a nat, but hard to fool. `M = ½ log(4r/(V+r)) + S²/(2(V+r)) + log Φ(S/√(V+r))` is the normal
mixture with a half-normal prior (Robbins; Howard et al. 2021), `V = vr Σz²`. Called by `evidence.py`; keeps nothing.
"""

import math

import numpy as np

from canary.judge.special import Array, log_normal_cdf

ENOUGH = 5.0
"""Blocks are pooled until they hold this much information: sparse, skewed ones would break the test."""
V_BEST = 60.0
"""Variance at which the mixture is tightest: about sixty pooled blocks."""


def tuning(alpha: float) -> float:
    """The prior's width that makes the boundary tightest at `V_BEST`."""
    return V_BEST / (2 * math.log(1 / alpha) + math.log(1 + 2 * math.log(1 / alpha)))


def log_mixture(total: Array, variance: Array, r: Array) -> Array:
    """Log evidence that a sum of standardised contrasts drifts upwards; 0 before anything was seen."""
    v = variance + r
    return 0.5 * np.log(4 * r / v) + total * total / (2 * v) + log_normal_cdf(total / np.sqrt(v))
