"""Evidence from paired scores as a bet that can be stopped at any time: two e-processes, and the interval of a mean.

Called by `criterion.py`. An e-process starts at 1 and, while its null hypothesis is true, exceeds `1 / alpha` at any
moment with probability `alpha` at most (Ville 1939), so the evaluation may stop as soon as it does. Knows no metric.

* `Signs` doubts that stable and canary are interchangeable. A unit is an item, or a group of items that belong
  together; `loss` is by how much stable scored more in it. Given its size, either sign is equally likely under the
  null, and the logistic bet pays `1 + tanh(stake * loss)`: for single items scored 0 or 1 the sequential sign test on
  discordant pairs (Robbins 1970; de la Pena 1999 for symmetric sums). A group that flips as a whole at most doubles it.
* `BettingMeans` doubts that a bounded mean is at most `null`, and pays `1 + stake * weight * (x - null)` (Waudby-Smith
and
  Ramdas 2024, "Estimating means of bounded random variables by betting"). It serves limits and margins.

Both average over a grid of stakes that is chosen by the number of units, before the first answer is known.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from canary.judge.portable_math import exp, log, log1ps, log_sum
from canary.judge.share_test import Wealth, staked

POINTS = 8
"""Stakes that are averaged over. They cost `log(8)` nats against knowing the best one."""
BOLDEST_SIGN = 1.8
"""The largest stake on a sign: odds of 37 to 1 that a discordant item is a loss."""
BOLDEST_MEAN = 0.9
"""The largest stake on a mean, as a share of the one that could lose everything."""
NEAR = 1e-6
"""How close the ends of an interval are to exact."""


def grid(units: int, alpha: float, boldest: float) -> tuple[float, ...]:
    """Stakes from the best one for an effect that so many units can just show to the boldest, evenly by ratio."""
    timid = min(math.sqrt(2 * log(1 / alpha) / max(units, 1)), boldest / 2)
    step = log(boldest / timid) / (POINTS - 1)
    return tuple(timid * exp(step * i) for i in range(POINTS))


@dataclass(frozen=True, slots=True)
class Signs:
    """Evidence that the canary loses to stable more often, or by more, than it wins."""

    stakes: tuple[float, ...]
    wealth: Wealth = (1.0,) * POINTS

    @property
    def e(self) -> float:
        """The e-value."""
        return math.fsum(self.wealth) / POINTS

    def plus(self, loss: float) -> "Signs":
        """After one more unit; 0 says nothing."""
        if loss == 0:
            return self
        return Signs(self.stakes, staked(self.wealth, sign_factors(self.stakes, loss), 1.0))


@lru_cache(maxsize=4096)
def sign_factors(stakes: tuple[float, ...], loss: float) -> tuple[float, ...]:
    """What each stake pays for a unit: `1 + tanh(stake * loss)`."""
    return tuple(2 / (1 + exp(-2 * stake * loss)) for stake in stakes)


@dataclass(frozen=True, slots=True)
class BettingMeans:
    """Evidence that the mean of values of at least `lowest` is above `null`."""

    null: float
    stakes: tuple[float, ...]
    wealth: Wealth = (1.0,) * POINTS

    @classmethod
    def of(cls, null: float, *, lowest: float, units: int, alpha: float) -> "BettingMeans":
        """Before the first value."""
        return cls(null, grid(units, alpha, BOLDEST_MEAN / max(null - lowest, NEAR)))

    @property
    def e(self) -> float:
        """The e-value."""
        return math.fsum(self.wealth) / POINTS

    def plus(self, x: float, weight: float = 1.0) -> "BettingMeans":
        """After one more unit; `weight`, 1 at most, is its size against the largest unit's."""
        surprise = weight * (x - self.null)
        return BettingMeans(self.null, self.stakes, staked(self.wealth, [1 + s * surprise for s in self.stakes], 1.0))


def interval(
    seen: Mapping[tuple[float, float], int], lowest: float, highest: float, units: int, alpha: float
) -> tuple[float, float]:
    """The means that these values allow at any stopping time; each end is wrong with a chance of `alpha` at most.

    `seen` counts the units by value and weight. A bet for and one against each mean; what neither refutes is inside.
    """
    flipped = {(-x, weight): count for (x, weight), count in seen.items()}
    low = _refuted(seen, lowest, highest, units, alpha)
    return low, max(low, 0.0 - _refuted(flipped, -highest, -lowest, units, alpha))


def _refuted(seen: Mapping[tuple[float, float], int], lowest: float, highest: float, units: int, alpha: float) -> float:
    """The largest mean that the bet on a larger one refutes; `lowest` where it refutes none.

    Each stake is a share of what could lose all at the mean in question, so the bet pays less the larger the mean is.
    """
    shares = grid(units, alpha, BOLDEST_MEAN)
    rows = sorted(seen.items())

    def refutes(mean: float) -> bool:
        logs = [0.0] * POINTS
        for (x, weight), count in rows:
            surprise = weight * (x - mean) / (mean - lowest)
            growths = log1ps([share * surprise for share in shares])
            logs = [mine + count * growth for mine, growth in zip(logs, growths, strict=True)]
        return log_sum(logs) - log(POINTS) >= log(1 / alpha)

    low, high = lowest + NEAR, highest
    if not refutes(low):
        return lowest
    while high - low > NEAR:
        middle = (low + high) / 2
        low, high = (middle, high) if refutes(middle) else (low, middle)
    return low
