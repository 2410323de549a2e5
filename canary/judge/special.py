"""The special functions that the judge needs, on plain floats, without scipy.

Used by `selfnormalised.py` and `eta.py`; the tests hold them against scipy. Nothing here knows what a canary is.
"""

import math

FAR_TAIL = -30.0
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)
ROOT_HALF = math.sqrt(0.5)


def log_normal_cdf(x: float) -> float:
    """Logarithm of the standard normal distribution function; relative error of the logarithm below 1e-6 everywhere.

    Far out in the lower tail, where the function itself would underflow, its asymptotic series is used.
    """
    if x > FAR_TAIL:
        return math.log(0.5 * math.erfc(-x * ROOT_HALF))
    inverse = 1 / (x * x)
    return -0.5 * x * x - math.log(-x) - HALF_LOG_TWO_PI + math.log1p(-inverse + 3 * inverse * inverse)


def kl_bernoulli(p: float, q: float) -> float:
    """Kullback-Leibler divergence of a coin with chance `p` from one with chance `q` (0 < q < 1), in nats."""
    first = p * math.log(p / q) if p > 0 else 0.0
    second = (1 - p) * math.log((1 - p) / (1 - q)) if p < 1 else 0.0
    return first + second
