"""The evidence of every gate at once, one row a gate: what it was before a block and what it is after.

Called by `judge.py` for one rollout and by the benchmark for thousands, since rows know nothing of each other. `weigh`
is the whole of the statistics: three e-processes against the canary (a bet, a tempered likelihood ratio, a
self-normalised sum), mixed over the times when harm may have begun, and one for it, begun anew with each stage. It does
not know what a gate says, nor decide anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from canary.judge import noise, selfnormalised, share
from canary.judge.special import Array, log_mean_exp

Flags = NDArray[np.bool_]
STARTS = 8
"""Beginnings that the self-normalised test is mixed over; the first has half the weight."""
START_WEIGHTS = np.array([0.5] + [0.5 / (STARTS - 1)] * (STARTS - 1))
NEVER = -1e300
"""Logarithm of nothing, as a number that JSON can write."""
COUNTS = np.array([0.5, 0.25, 0.25])
SUMS = np.array([0.0, 0.0, 1.0])
"""How a row's evidence is averaged from bet, likelihood ratio and self-normalised test."""
SHARED_RATIO = 1.25
"""While stable itself is beyond a limit, a canary up to this much worse than stable is not held against that limit."""
FAST, SLOW = 0.7, 0.998
"""What remains of stable's recent and of its usual rate after a block."""
SCALE_STEP = 0.05
"""Weight of a new block in the variance of a sum."""
LEARNT = 20
"""Blocks after which stable's usual rate is known well enough to call it degraded."""

WIDTHS = {
    "bet": share.GRID,
    "ratio": share.GRID,
    "clear": share.GRID,
    "unspent": 1,
    "sums": 2 * STARTS,
    "started": 1,
    "pool": 3,
    "scale": 1,
    "clear_sums": 2,
    "noise": noise.WIDTH,
    "fast": 4,
    "slow": 3,
    "span": 6,
    "log_e": 1,
    "log_clear": 1,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What does not change about the rows. Arrays of shape (rows,), `grid` of shape (rows, GRID)."""

    counts: Flags
    """Rows about counts of bad events; the others are about sums."""
    absolute: Flags
    """Rows with a limit; the others compare with stable."""
    limit: Array
    """For absolute counts the share of bad events that the limit allows."""
    grid: Array
    r: Array
    """Prior width of the self-normalised test."""
    r_clear: Array


@dataclass(frozen=True, slots=True)
class Numbers:
    """One block as rows see it; shape (rows,) each. Zero trials mean nothing to learn."""

    xv: Array
    nv: Array
    xc: Array
    nc: Array
    """Bad events and trials of canary (v) and stable (c), at the bound that accuses."""
    clear_xv: Array
    clear_xc: Array
    """The same at the bound that clears (differs for latency limits between two buckets)."""
    rho: Array
    """Rate of bad events that the canary may have, as a multiple of stable's: for relative counts."""
    contrast: Array
    weight: Array
    information: Array
    """For sums: the block's contrast, harmful direction positive, the scale of its variance, and its worth."""
    x1: Array
    n1: Array
    x2: Array
    n2: Array
    """The placebo: bad events and trials of two halves of stable."""
    single: Flags
    """Whether the placebo had to be one scrape against the next."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is remembered of each row; shape (rows, WIDTHS[field])."""

    bet: Array
    ratio: Array
    clear: Array
    unspent: Array
    sums: Array
    started: Array
    pool: Array
    scale: Array
    clear_sums: Array
    noise: Array
    fast: Array
    """Recent bad events and trials: canary's, then stable's."""
    slow: Array
    """Stable's usual bad events, trials, and the number of blocks behind them."""
    span: Array
    """Lowest log evidence, when, and bad events and trials of both arms since: where the harm seems to begin."""
    log_e: Array
    log_clear: Array

    @classmethod
    def empty(cls, rows: int) -> Self:
        """Before anything was seen."""
        arrays = {name: np.zeros((rows, width)) for name, width in WIDTHS.items()}
        arrays["bet"][:], arrays["ratio"][:], arrays["unspent"][:] = NEVER, NEVER, 1.0
        arrays["span"][:, 0] = -NEVER
        return cls(**arrays)

    @classmethod
    def of_lists(cls, lists: Mapping[str, Any], rows: int) -> Self:
        """From what `as_lists` wrote."""
        return cls(**{name: np.array(lists[name], dtype=float).reshape(rows, width) for name, width in WIDTHS.items()})

    def as_lists(self) -> dict[str, list[float]]:
        """Plain numbers, exact."""
        return {f.name: getattr(self, f.name).ravel().tolist() for f in fields(self)}


def weigh(
    before: Evidence, rules: Rules, block: Numbers, *, t: float, spend: Array, opens: Flags, fresh: Flags, active: Flags
) -> Evidence:
    """The evidence after one block.

    `spend` is the weight of harm that begins with this block (at most what is unspent, in all at most one a row);
    `opens` marks rows whose self-normalised test gets a new beginning; `fresh` rows whose stage begins, so that the
    case for a pass starts anew; rows that are not `active` only learn what is usual for stable.
    """
    single = block.single
    reading = noise.read(before.noise, single=single)
    clearing = noise.read(before.noise, single=single, clearing=True)
    fast = FAST * before.fast + np.stack([block.xv, block.nv, block.xc, block.nc], axis=1)
    usual = before.slow[:, 0] / np.maximum(before.slow[:, 1], 1.0)
    known = before.slow[:, 2] >= LEARNT
    degraded = known & _beyond(fast[:, 2], fast[:, 3], usual, reading, factor=1.5, sigmas=3.0)
    over_limit = rules.absolute & _beyond(fast[:, 2], fast[:, 3], rules.limit, reading, factor=1.0, sigmas=1.0)
    was_over = rules.absolute & _beyond(
        before.fast[:, 2], before.fast[:, 3], rules.limit, reading, factor=1.0, sigmas=1.0
    )

    # A limit that stable breaks too is no case against the canary; being worse than stable then still is.
    against_limit = rules.absolute & ~over_limit
    together = rules.absolute & over_limit & was_over
    rho = np.where(rules.absolute, SHARED_RATIO, block.rho)
    hits = block.xv
    trials = np.where(against_limit, block.nv, block.xv + block.xc)
    null = np.where(against_limit, rules.limit, _share(block.nv, block.nc, rho))
    usable = active & rules.counts & (block.nv > 0) & (against_limit | (together | ~rules.absolute) & (block.nc > 0))
    trials = np.where(usable, trials, 0.0)
    size = np.where(against_limit, block.nv * rules.limit, trials)
    spread = reading.at(size)
    bet, ratio = share.increments(hits, trials, null, spread, reading.vr, rules.grid)

    with_spend = np.log(np.maximum(spend, 1e-300))[:, None]
    spending = (spend > 0)[:, None]
    wealth_bet = np.where(spending, np.logaddexp(before.bet, with_spend), before.bet) + bet
    wealth_ratio = np.where(spending, np.logaddexp(before.ratio, with_spend), before.ratio) + ratio
    unspent = np.maximum(before.unspent[:, 0] - spend, 0.0)

    clear = np.where(fresh[:, None], 0.0, before.clear)
    clear_trials = np.where(rules.absolute, block.nv, block.clear_xv + block.clear_xc)
    clear_null = np.where(rules.absolute, rules.limit, _share(block.nv, block.nc, block.rho))
    clear_usable = active & rules.counts & (block.nv > 0) & (rules.absolute | (block.nc > 0) & ~degraded)
    clear_trials = np.where(clear_usable, clear_trials, 0.0)
    clear_size = np.where(rules.absolute, block.nv * rules.limit, clear_trials)
    misses = clear_trials - np.where(clear_usable, block.clear_xv, 0.0)
    _, cleared = share.increments(
        misses, clear_trials, 1 - clear_null, clearing.at(clear_size), clearing.vr, rules.grid
    )
    clear = clear + cleared

    spreads = np.where(usable, trials * null * (1 - null), 0.0)
    pool_add = np.stack(
        [
            np.where(rules.counts, np.where(usable, hits - trials * null, 0.0), np.where(active, block.contrast, 0.0)),
            np.where(rules.counts, spreads * spread, np.where(active, block.weight, 0.0)),
            np.where(rules.counts, spreads, np.where(active, block.information, 0.0)),
        ],
        axis=1,
    )
    pool = before.pool + pool_add
    full = pool[:, 2] >= selfnormalised.ENOUGH
    variance = np.where(rules.counts, pool[:, 1], before.scale[:, 0] * pool[:, 1])
    scored = full & (variance > 0)
    z = np.where(scored, pool[:, 0] / np.sqrt(np.where(scored, variance, 1.0)), 0.0)
    squared = np.where(full, pool[:, 0] ** 2 / np.where(pool[:, 1] > 0, pool[:, 1], 1.0), 0.0)
    first = full & (before.scale[:, 0] == 0)
    smooth = np.where(first, squared, (1 - SCALE_STEP) * before.scale[:, 0] + SCALE_STEP * squared)
    scale = np.where(full & ~rules.counts, smooth, before.scale[:, 0])
    pool = np.where(full[:, None], 0.0, pool)

    started = before.started[:, 0] + (opens & active & (before.started[:, 0] < STARTS))
    running = np.arange(STARTS) < started[:, None]
    totals = before.sums[:, :STARTS] + running * z[:, None]
    squares = before.sums[:, STARTS:] + running * (z * z)[:, None]
    mixture = selfnormalised.log_mixture(totals, reading.vr[:, None] * squares, rules.r[:, None])
    log_sums = np.log((START_WEIGHTS * np.exp(np.minimum(np.where(running, mixture, 0.0), 600.0))).sum(axis=1))

    clear_sums = np.where(fresh[:, None], 0.0, before.clear_sums) + np.stack([-z, z * z], axis=1)
    clear_mixture = selfnormalised.log_mixture(clear_sums[:, 0], clearing.vr * clear_sums[:, 1], rules.r_clear)
    log_clear = np.where(rules.counts, log_mean_exp(clear), clear_mixture)

    parts = np.stack([_with_rest(wealth_bet, unspent), _with_rest(wealth_ratio, unspent), log_sums], axis=1)
    shares = np.where(rules.counts[:, None], COUNTS, SUMS)
    top = parts.max(axis=1)
    log_e = np.log((shares * np.exp(parts - top[:, None])).sum(axis=1)) + top

    low = log_e <= before.span[:, 0]
    seen = np.stack([block.xv, block.nv, block.xc, block.nc], axis=1)
    since = np.where(low[:, None], 0.0, before.span[:, 2:] + seen)
    span = np.concatenate(
        [np.where(low, log_e, before.span[:, 0])[:, None], np.where(low, t, before.span[:, 1])[:, None], since], axis=1
    )
    learning = (block.nc > 0)[:, None]
    news = np.stack([block.xc, block.nc, np.ones_like(block.nc)], axis=1)
    decay = np.array([SLOW, SLOW, 1.0])
    on = active[:, None]
    return Evidence(
        bet=np.where(on, np.maximum(wealth_bet, NEVER), before.bet),
        ratio=np.where(on, np.maximum(wealth_ratio, NEVER), before.ratio),
        clear=np.where(on, clear, before.clear),
        unspent=np.where(on, unspent[:, None], before.unspent),
        sums=np.where(on, np.concatenate([totals, squares], axis=1), before.sums),
        started=started[:, None],
        pool=np.where(on, pool, before.pool),
        scale=np.where(on, scale[:, None], before.scale),
        clear_sums=np.where(on, clear_sums, before.clear_sums),
        noise=noise.learn(before.noise, block.x1, block.n1, block.x2, block.n2, single),
        fast=fast,
        slow=np.where(learning, before.slow * decay + news, before.slow),
        span=np.where(on, span, before.span),
        log_e=np.where(on, log_e[:, None], before.log_e),
        log_clear=np.where(on, log_clear[:, None], before.log_clear),
    )


def _share(nv: Array, nc: Array, rho: Array) -> Array:
    """Share of the bad events that falls on a canary whose rate is `rho` times stable's."""
    expected = nv * rho
    total = expected + nc
    share_: Array = np.where(total > 0, expected / np.where(total > 0, total, 1.0), 0.0)
    return share_


def _beyond(x: Array, n: Array, rate: Array, reading: noise.Reading, *, factor: float, sigmas: float) -> Flags:
    """Whether `x` of `n` stands clearly above `factor` times `rate`, by so many standard deviations."""
    expected = n * rate
    flags: Flags = (n > 0) & (x > factor * expected + sigmas * np.sqrt(reading.at(expected) * expected) + 1.0)
    return flags


def _with_rest(wealth: Array, unspent: Array) -> Array:
    """Log of the mean wealth plus the weight that is still held back."""
    mixed: Array = np.logaddexp(log_mean_exp(wealth), np.log(np.maximum(unspent, 1e-300)))
    return mixed
