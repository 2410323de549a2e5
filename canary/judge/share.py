"""What one block says about a share: two e-values for each effect size, a bet and a tempered likelihood ratio.

One formula serves both kinds of gate, because both ask whether `hits` of `trials` is more than a share `null` allows:

* against stable: of the bad events of both arms, which share fell on the canary? `null = n_v ρ0 / (n_v ρ0 + n_c)`;
* against a limit: of the canary's requests, which share was bad? `null` is the limit itself.

Turned round (`trials - hits`, `1 - null`) the same formula clears instead of accusing. Called by `evidence.py`; keeps
nothing. Sources and proofs: `docs/judge.md`.
"""

import math
from operator import mul

CAP = 30.0
"""No scrape may multiply evidence by more than this, so that no single one can decide: three at least must agree."""
LOG_CAP = math.log(CAP)
TINY = 1e-12
MOST = 1e250
"""Wealth is kept below this, so that nothing overflows in weeks; less than due is always valid."""
LEAST = 1e-250
"""And a likelihood's wealth above this, or a lost case could never be made again: a gift too small to matter."""

Grid = tuple[tuple[float, float], ...]
"""Odds ratios that are bet on, each with its logarithm."""


def grid(low: float, high: float, points: int = 8) -> Grid:
    """Odds ratios from `low` to `high`, evenly spaced in their logarithms."""
    step = math.log(high / low) / (points - 1)
    return tuple((low * math.exp(step * i), math.log(low) + step * i) for i in range(points))


def bet(wealth: list[float], hits: float, trials: float, null: float, noise: float, vr: float, on: Grid) -> list[float]:
    """Wealth of each bettor after the block, who stakes on the share being what that odds ratio makes of `null`.

    Valid however events clump within a block: the stake only looks at `noise` (variance over that of independent
    events) to find its size. `vr` >= 1 tempers for noise that lasts over blocks.
    """
    spread = null * (1 - null)
    odds0 = null / (1 - null)
    effective = trials / noise
    within = spread / effective
    lasting = 1 - 1 / effective if effective > 1 else 0.0
    most = 0.9 / null
    surprise = hits / trials - null
    factors = []
    for ratio, _ in on:
        odds = odds0 * ratio
        distance = odds / (1 + odds) - null
        factors.append(1 + min(distance / (within + lasting * distance * distance), most) * surprise)
    if vr != 1:
        factors = [factor ** (1 / vr) for factor in factors]
    if max(factors) > CAP:
        factors = [min(factor, CAP) for factor in factors]
    after = list(map(mul, wealth, factors))
    return after if max(after) < MOST else [min(mine, MOST) for mine in after]


def likelihood(
    wealth: list[float], hits: float, trials: float, null: float, noise: float, vr: float, on: Grid
) -> list[float]:
    """Wealth multiplied by the likelihood ratio of each odds ratio against `null`, tempered by noise and capped.

    Exact for independent events; `noise * vr` tempers it for others.
    """
    odds0 = null / (1 - null)
    scale = 1 / (noise * vr)
    hits, trials = hits * scale, trials * scale
    at_null = trials * math.log1p(odds0)
    after = []
    for mine, (ratio, log_ratio) in zip(wealth, on, strict=True):
        growth = hits * log_ratio - trials * math.log1p(odds0 * ratio) + at_null
        after.append(mine * (math.exp(growth) if growth < LOG_CAP else CAP))
    if min(after) > LEAST and max(after) < MOST:
        return after
    return [max(min(mine, MOST), LEAST) for mine in after]


def usable(trials: float, null: float) -> bool:
    """Whether a block can say anything: events, and room on both sides of the null."""
    return trials > 0 and TINY < null < 1 - TINY
