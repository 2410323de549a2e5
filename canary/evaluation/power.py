"""What a data set can show: the smallest drop that so many items would reveal, and the items that a drop needs.

Called by `criterion.py`, `plan.py` and the command line, before the first question and with the verdict. A drop counts
as shown if the test of `betting.Signs` finds it with probability `POWER`; that is worked out for its best stake alone
and by a normal approximation, which errs on the large side (`benchmarks/evaluation.py` simulates it).
"""

import math

from canary.evaluation.betting import BOLDEST_SIGN, POINTS, grid, sign_factors
from canary.judge.portable_math import log

POWER_Z = 1.2815515655446004
"""Standard deviations below the mean that leave 90 % above."""
DISCORDANT = 0.10
"""Share of items that stable and canary are expected to answer with different scores, until it is known."""
MOST_ITEMS = 10_000_000


def smallest_drop(items: float, alpha: float, discordant: float = DISCORDANT) -> float | None:
    """The smallest drop of the mean score, as a share, that is found in nine of ten evaluations; None where none is."""
    if not _shown(items, alpha, discordant, 1.0):
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-4:
        middle = (low + high) / 2
        low, high = (low, middle) if _shown(items, alpha, discordant, middle) else (middle, high)
    return high


def items_needed(drop: float, alpha: float, discordant: float = DISCORDANT) -> int | None:
    """The items that show a drop in nine of ten evaluations; None beyond `MOST_ITEMS`."""
    most = 1
    while not _shown(most, alpha, discordant, drop):
        most *= 2
        if most > MOST_ITEMS:
            return None
    least = most // 2
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (least, middle) if _shown(middle, alpha, discordant, drop) else (middle, most)
    return most


def _shown(items: float, alpha: float, discordant: float, drop: float) -> bool:
    """Whether the best stake reaches the threshold at its tenth percentile. A drop makes as many items discordant."""
    apart = min(max(discordant, drop), 1.0)
    losses, wins = (apart + drop) / 2, (apart - drop) / 2
    goal = log(1 / alpha) + log(POINTS)
    stakes = grid(max(int(items), 1), alpha, BOLDEST_SIGN)
    for loss, win in zip(sign_factors(stakes, 1.0), sign_factors(stakes, -1.0), strict=True):
        up, down = log(loss), log(win)
        mean = losses * up + wins * down
        variance = losses * up * up + wins * down * down - mean * mean
        if items * mean - POWER_Z * math.sqrt(items * max(variance, 0.0)) >= goal:
            return True
    return False
