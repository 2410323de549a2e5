"""The special functions that the judge needs, on plain floats, without scipy.

Used by `self_normalised.py`, `bounds.py` and `sample_size.py`; the tests hold them against scipy. Nothing here knows
what a canary is.
"""

import math

from canary.judge.portable_math import exp, log, log1p, scaled_erfc

ROOT_HALF = math.sqrt(0.5)


def log_normal_cdf(x: float) -> float:
    """Logarithm of the standard normal distribution function, also where the function itself would underflow."""
    u = x * ROOT_HALF
    return log(0.5 * scaled_erfc(-u)) - u * u if u <= 0 else log1p(-0.5 * exp(-u * u) * scaled_erfc(u))


def normal_quantile(p: float) -> float:
    """Where the standard normal distribution function is `p`, which lies between 1e-18 and 1 - 1e-15."""
    low, high, wanted = -9.0, 9.0, log(p)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if log_normal_cdf(middle) < wanted else (low, middle)
    return (low + high) / 2


def kl_bernoulli(p: float, q: float) -> float:
    """Kullback-Leibler divergence of a coin with chance `p` from one with chance `q` (0 < q < 1), in nats."""
    first = p * log(p / q) if p > 0 else 0.0
    second = (1 - p) * log((1 - p) / (1 - q)) if p < 1 else 0.0
    return first + second
