"""What one block says about a share: two e-values for each effect size, a bet and a tempered likelihood ratio.

One formula serves both kinds of gate, because both ask whether `hits` of `trials` is more than a share `null` allows:

* against stable: of the bad events of both arms, which share fell on the canary? `null = n_v ρ0 / (n_v ρ0 + n_c)`; *
against a limit: of the canary's requests, which share was bad? `null` is the limit itself.

Turned round (`trials - hits`, `1 - null`) the same formula clears instead of accusing. Called by `evidence.py`; keeps
nothing. Sources and proofs: `docs/judge.md`.
"""

from collections.abc import Sequence

from canary.judge.portable_math import exp, exps, log, log1ps, powers

CAP = 30.0
"""No scrape may multiply evidence by more than this, so that no single one can decide: three at least must agree."""
LOG_CAP = log(CAP)
TINY = 1e-12
MOST = 1e250
"""Wealth is kept below this, so that nothing overflows in weeks; less than due is always valid."""
LEAST = 1e-250
"""And a likelihood's wealth above this, or a lost case could never be made again: a gift too small to matter."""

Wealth = tuple[float, ...]
"""Of the bettors on each effect size."""
Grid = tuple[tuple[float, float], ...]
"""Odds ratios that are bet on: each less one, and its logarithm."""


def grid(low: float, high: float, points: int = 8) -> Grid:
    """Odds ratios from `low` to `high`, evenly spaced in their logarithms."""
    step = log(high / low) / (points - 1)
    return tuple((low * exp(step * i) - 1, log(low) + step * i) for i in range(points))


def betting_e_value(
    wealth: Wealth, hits: float, trials: float, null: float, noise: float, vr: float, on: Grid
) -> Wealth:
    """Wealth of each bettor after the block, who stakes on the share being what that odds ratio makes of `null`.

    Valid however events clump within a block: the stake only looks at `noise` (variance over that of independent
    events) to find its size. `vr` >= 1 tempers for noise that lasts over blocks.
    """
    independent = noise / trials
    lasting = null * (1 - null) * (1 - independent) if independent < 1 else 0.0
    most = 0.9 / null
    surprise = hits / trials - null
    factors = []
    for more, _ in on:
        # `null * (1 - null)` over the distance between the two shares; the stake is that distance over the variance.
        reach = 1 / more + null
        stake = 1 / (reach * independent + lasting / reach)
        factors.append(1 + (stake if stake < most else most) * surprise)  # noqa: FURB136 - a call of min costs too much
    return staked(wealth, factors, vr)


def staked(wealth: Wealth, factors: Sequence[float], vr: float) -> Wealth:
    """Wealth after bets that pay so many times the stake, tempered, capped and bounded."""
    if vr != 1:
        factors = powers(factors, 1 / vr)
    after = [mine * (factor if factor < CAP else CAP) for mine, factor in zip(wealth, factors, strict=True)]  # noqa: FURB136 - a call of min costs too much
    return tuple(after if max(after) < MOST else [min(mine, MOST) for mine in after])


def likelihood_ratio(
    wealth: Wealth,
    hits: float,
    trials: float,
    null: float,
    noise: float,
    vr: float,
    on: Grid,
    misses: Sequence[float] = (),
) -> Wealth:
    """Wealth multiplied by the likelihood ratio of each odds ratio against `null`, tempered by noise and capped.

    Exact for independent events; `noise * vr` tempers it for others. `misses` is `misses_of(null, on)`, for whoever
    knows it already.
    """
    scale = 1 / (noise * vr)
    hits, trials = hits * scale, trials * scale
    growths = [
        hits * log_ratio - trials * log_miss
        for (_, log_ratio), log_miss in zip(on, misses or misses_of(null, on), strict=True)
    ]
    return grown(wealth, growths)


def grown(wealth: Wealth, growths: Sequence[float]) -> Wealth:
    """Wealth that has grown by so many nats, capped and bounded on both sides."""
    after = []
    for mine, growth, factor in zip(wealth, growths, exps(growths), strict=True):
        now = mine * (factor if growth < LOG_CAP else CAP)
        if now < LEAST:
            now = LEAST
        elif now > MOST:
            now = MOST
        after.append(now)
    return tuple(after)


def misses_of(null: float, on: Grid) -> tuple[float, ...]:
    """By how many nats a trial speaks against each odds ratio.

    With odds `ratio` times those of the null, a trial misses with chance (1 - null) / (1 + null (ratio - 1)).
    """
    return tuple(log1ps([null * more for more, _ in on]))


def usable(trials: float, null: float) -> bool:
    """Whether a block can say anything: events, and room on both sides of the null."""
    return trials > 0 and TINY < null < 1 - TINY
