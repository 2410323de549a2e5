"""What one block says about a share: two e-values for each effect size, a bet and a tempered likelihood ratio.

One formula serves both kinds of gate, because both ask whether `hits` of `trials` is more than a share `null` allows:

* against stable: of the bad events of both arms, which share fell on the canary? `null = n_v ρ0 / (n_v ρ0 + n_c)`;
* against a limit: of the canary's requests, which share was bad? `null` is the limit itself.

Turned round (`trials - hits`, `1 - null`) the same formula clears instead of accusing. Called by `evidence.py`; keeps
nothing. Sources and proofs: `docs/judge.md`.
"""

from collections.abc import Sequence

from canary.judge.portable_math import exp, log, log1p, power

CAP = 30.0
"""No scrape may multiply evidence by more than this, so that no single one can decide: three at least must agree."""
LOG_CAP = log(CAP)
TINY = 1e-12
MOST = 1e250
"""Wealth is kept below this, so that nothing overflows in weeks; less than due is always valid."""
LEAST = 1e-250
"""And a likelihood's wealth above this, or a lost case could never be made again: a gift too small to matter."""

Grid = tuple[tuple[float, float], ...]
"""Odds ratios that are bet on: each less one, and its logarithm."""


def grid(low: float, high: float, points: int = 8) -> Grid:
    """Odds ratios from `low` to `high`, evenly spaced in their logarithms."""
    step = log(high / low) / (points - 1)
    return tuple((low * exp(step * i) - 1, log(low) + step * i) for i in range(points))


def bet(wealth: list[float], hits: float, trials: float, null: float, noise: float, vr: float, on: Grid) -> list[float]:
    """Wealth of each bettor after the block, who stakes on the share being what that odds ratio makes of `null`.

    Valid however events clump within a block: the stake only looks at `noise` (variance over that of independent
    events) to find its size. `vr` >= 1 tempers for noise that lasts over blocks.
    """
    independent = noise / trials
    lasting = null * (1 - null) * (1 - independent) if independent < 1 else 0.0
    most = 0.9 / null
    surprise = hits / trials - null
    temper = 1 / vr
    after = []
    for mine, (more, _) in zip(wealth, on, strict=True):
        # `null * (1 - null)` over the distance between the two shares; the stake is that distance over the variance.
        reach = 1 / more + null
        stake = 1 / (reach * independent + lasting / reach)
        factor = 1 + (stake if stake < most else most) * surprise  # noqa: FURB136 - a call of min costs as much as all
        if temper != 1:
            factor = power(factor, temper)
        after.append(mine * (factor if factor < CAP else CAP))  # noqa: FURB136 - as above
    return after if max(after) < MOST else [min(mine, MOST) for mine in after]


def likelihood(
    wealth: list[float],
    hits: float,
    trials: float,
    null: float,
    noise: float,
    vr: float,
    on: Grid,
    misses: Sequence[float] = (),
) -> list[float]:
    """Wealth multiplied by the likelihood ratio of each odds ratio against `null`, tempered by noise and capped.

    Exact for independent events; `noise * vr` tempers it for others. `misses` is `misses_of(null, on)`, for whoever
    knows it already.
    """
    scale = 1 / (noise * vr)
    hits, trials = hits * scale, trials * scale
    after = []
    for mine, (_, log_ratio), log_miss in zip(wealth, on, misses or misses_of(null, on), strict=True):
        growth = hits * log_ratio - trials * log_miss
        now = mine * (exp(growth) if growth < LOG_CAP else CAP)
        if now < LEAST:
            now = LEAST
        elif now > MOST:
            now = MOST
        after.append(now)
    return after


def misses_of(null: float, on: Grid) -> tuple[float, ...]:
    """By how many nats a trial speaks against each odds ratio.

    With odds `ratio` times those of the null, a trial misses with chance (1 - null) / (1 + null (ratio - 1)).
    """
    return tuple([log1p(null * more) for more, _ in on])


def usable(trials: float, null: float) -> bool:
    """Whether a block can say anything: events, and room on both sides of the null."""
    return trials > 0 and TINY < null < 1 - TINY
