"""The two special functions that the judge needs, on numpy arrays, without scipy.

Used by `selfnormalised.py` and `eta.py`; the tests hold them against scipy. Nothing here knows what a canary is.
"""

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_CHEBYSHEV = (
    -1.26551223,
    1.00002368,
    0.37409196,
    0.09678418,
    -0.18628806,
    0.27886807,
    -1.13520398,
    1.48851587,
    -0.82215223,
    0.17087277,
)
"""`erfc(z) = t exp(-z² + P(t))`, `t = 1/(1 + z/2)`: relative error below 1.2e-7 for every z >= 0 (Press et al.)."""


def log_normal_cdf(x: Array) -> Array:
    """Logarithm of the standard normal distribution function; exact to 2e-7 (relative to the probability) everywhere.

    In the lower tail the logarithm itself is computed, so nothing underflows however far out `x` lies.
    """
    z = np.abs(x) * math.sqrt(0.5)
    t = 1.0 / (1.0 + 0.5 * z)
    polynomial = np.full_like(t, _CHEBYSHEV[-1])
    for coefficient in _CHEBYSHEV[-2::-1]:
        polynomial = polynomial * t + coefficient
    log_tail = np.log(0.5 * t) - z * z + polynomial
    return np.where(x < 0, log_tail, np.log1p(-np.exp(np.minimum(log_tail, -math.log(2.0)))))


def log_mean_exp(values: Array) -> Array:
    """`log(mean(exp(values)))` over the last axis, without overflow."""
    top = values.max(axis=-1)
    mean: Array = np.log(np.exp(values - top[..., None]).mean(axis=-1)) + top
    return mean


def kl_bernoulli(p: float, q: float) -> float:
    """Kullback-Leibler divergence of a coin with chance `p` from one with chance `q` (0 < q < 1), in nats."""
    first = p * math.log(p / q) if p > 0 else 0.0
    second = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return first + second
