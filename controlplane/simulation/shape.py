"""The shape of answer times: a mixture of lognormals, and how many answers fall below each bucket bound.

Used by `levels.py` to place the healthy level under a plan's limits and by `traffic.py` to fill histograms. 97 % of the
answers are quick (median 1, spread 0.45), 3 % slow (median 3.67, spread 0.70), and pauses add a lump at 6.67; all times
are in units of the quick answers' median.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

SLOW_SHARE = 0.03
QUICK, SLOW, PAUSED = (1.0, 0.45), (220 / 60, 0.70), (400 / 60, 0.20)
PAUSE_HITS = 0.3
"""Share of a paused pod's requests that wait for the collector."""
CLASSIC_BOUNDS = (
    *(0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0, 60.0),
)
_LOW, _HIGH, _STEPS = -8.0, 8.0, 3201


def below(x: float, component: tuple[float, float]) -> float:
    """Share of one component's answers that take at most `x` medians."""
    median, spread = component
    return 0.5 * math.erfc(-math.log(x / median) / (spread * math.sqrt(2)))


@cache
def _table(component: tuple[float, float]) -> tuple[Floats, Floats]:
    """A component's distribution function on a fine grid of logarithms: interpolation is fast, erf is not."""
    grid = np.linspace(_LOW, _HIGH, _STEPS)
    return grid, np.array([below(math.exp(x), component) for x in grid])


def shares_below(logs: Floats, tail: Floats, paused: Floats) -> Floats:
    """Share of answers at or below each bound.

    `logs` has shape (…, pods, bounds): logarithm of bound over quick median. `tail` (pods, 1) is the logarithm by which
    slow answers are slower still, `paused` (…, pods, 1) the share of answers that a pause delays.
    """
    quick = np.interp(logs, *_table(QUICK))
    slow = np.interp(logs - tail, *_table(SLOW))
    late = np.interp(logs, *_table(PAUSED))
    mixture: Floats = (1 - paused) * ((1 - SLOW_SHARE) * quick + SLOW_SHARE * slow) + paused * late
    return mixture


def quantile(q: float, pause: float) -> float:
    """The q-quantile in quick medians when a share `pause` of five-second slots has pauses; by bisection."""
    hit = pause * PAUSE_HITS
    low, high = 1e-3, 1e3
    for _ in range(60):
        middle = math.sqrt(low * high)
        ordinary = (1 - SLOW_SHARE) * below(middle, QUICK) + SLOW_SHARE * below(middle, SLOW)
        if (1 - hit) * ordinary + hit * below(middle, PAUSED) < q:
            low = middle
        else:
            high = middle
    return high


def mean(pause: float) -> float:
    """The mean in quick medians."""
    of = {c: c[0] * math.exp(c[1] ** 2 / 2) for c in (QUICK, SLOW, PAUSED)}
    hit = pause * PAUSE_HITS
    return (1 - hit) * ((1 - SLOW_SHARE) * of[QUICK] + SLOW_SHARE * of[SLOW]) + hit * of[PAUSED]


def bounds_around(median: float, limits: set[float]) -> tuple[float, ...]:
    """Classic bounds from a tenth of the median to a hundred medians, with every limit as a bound of its own."""
    near = {b for b in CLASSIC_BOUNDS if median / 10 <= b <= median * 100}
    return tuple(sorted(near | limits))
