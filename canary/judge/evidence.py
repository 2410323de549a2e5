"""The evidence about one gate: what it was before a block and what it is after. The whole of the statistics.

Called by `judge.py` for every gate that is tested. Against the canary stand three e-processes (a bet, a tempered
likelihood ratio, a self-normalised sum), mixed over the times when harm may have begun; for it stands one, begun anew
with each stage. Does not know what a gate says, nor decide anything.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from canary.judge import blame, difference, selfnormalised, share
from canary.judge.noise import CLEARING, REPLICAS, SINGLE, Noise, Placebo
from canary.judge.portable_math import log

POINTS = 8
BET, RATIO, SLOW_TEST = 0.5, 0.25, 0.25
"""How evidence from counts is averaged; evidence from sums has the self-normalised test alone."""
SHARED_RATIO = 1.25
"""While stable itself is beyond a limit, a canary up to this much worse than stable is not held against that limit."""
FLAT = 1e-9
"""Nats by which evidence may rise and still count as having risen nowhere: rounding must not move harm's beginning."""
SCALE_STEP = 0.05
"""Weight of a new block in the variance of a sum."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What does not change about a gate's evidence."""

    counts: bool
    """Whether it is about counts of bad events; if not, about sums."""
    limit: float | None
    """For absolute counts the share of bad events that the limit allows; None compares with stable."""
    points: float | None
    """For relative counts whose margin is in points: the margin as a share; None for margins that are ratios."""
    grid: share.Grid
    r: float
    """Prior width of the self-normalised test,"""
    r_clear: float
    """and of the one that clears."""
    misses: tuple[float, ...] = ()
    """For absolute counts: `share.misses_of` the limit."""
    clear_misses: tuple[float, ...] = ()
    """For absolute counts: `share.misses_of` what is left of 1."""


class Numbers(NamedTuple):
    """One block as one gate sees it. Zero trials mean nothing to learn."""

    xv: float = 0.0
    nv: float = 0.0
    xc: float = 0.0
    nc: float = 0.0
    """Bad events and trials of canary (v) and stable (c), at the bound that accuses."""
    clear_xv: float = 0.0
    clear_xc: float = 0.0
    """The same at the bound that clears (differs for latency limits between two buckets)."""
    rho: float = 1.0
    """For relative counts: the rate of bad events that the canary may have, as a multiple of stable's."""
    contrast: float = 0.0
    weight: float = 0.0
    information: float = 0.0
    """For sums: the block's contrast, harmful direction positive, the scale of its variance, and its worth."""
    x1: float = 0.0
    n1: float = 0.0
    x2: float = 0.0
    n2: float = 0.0
    """The placebo: bad events and trials of two halves of stable."""
    single: bool = False
    """Whether the placebo had to be one scrape against the next."""


@dataclass
class Evidence:
    """All that is remembered about a gate: about a hundred floats.

    Its `__dict__` is what is kept (hence no slots), so that putting it away and taking it out cost no more than a copy.
    Lists in it are replaced, never changed, since the states of before and after a block share them.
    """

    bet: list[float] = field(default_factory=lambda: [0.0] * POINTS)
    ratio: list[float] = field(default_factory=lambda: [0.0] * POINTS)
    """Wealth by effect size, for harm that has begun by now."""
    unspent: float = 1.0
    """Weight of harm that begins later."""
    totals: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    """The self-normalised test's sums by beginning."""
    slow_test: float = 1.0
    """Its evidence."""
    pool: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Contrast, variance and information of blocks that it has not taken in yet."""
    scale: float = 0.0
    """For sums: variance of a contrast of weight one."""
    clear: list[float] = field(default_factory=lambda: [1.0] * POINTS)
    clear_sums: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """The case for the canary since the stage began."""
    placebo: Placebo = field(default_factory=Placebo)
    fast: list[float] = field(default_factory=lambda: [0.0] * 4)
    """Recent bad events and trials: canary's, then stable's."""
    usual: list[float] = field(default_factory=lambda: [0.0] * 3)
    """Stable's usual bad events and trials, and the number of blocks behind them."""
    low: float = 1e300
    low_at: float = 0.0
    since: list[float] = field(default_factory=lambda: [0.0] * 4)
    """Lowest log evidence, when, and both arms' bad events and trials since then: where the harm seems to begin."""
    log_e: float = 0.0
    log_clear: float = 0.0
    held: list[float] = field(default_factory=lambda: [0.0, 0.0])
    """Stable's last block, while the placebo has one replica and waits for the next scrape."""

    @classmethod
    def of(cls, kept: Mapping[str, Any]) -> Self:
        """From what `kept` wrote."""
        e = cls.__new__(cls)
        e.__dict__.update(kept)
        e.placebo = Placebo.of(e.__dict__["placebo"])
        return e

    def kept(self) -> dict[str, Any]:
        """As plain names, lists and numbers; exact."""
        return {**self.__dict__, "placebo": self.placebo.kept()}

    def noise(self, *, single: bool) -> Noise:
        """The noise by which evidence against the canary is tempered."""
        return self.placebo.read(SINGLE if single else REPLICAS)

    @property
    def clearing_noise(self) -> Noise:
        """The noise by which the case for the canary is tempered."""
        return self.placebo.read(CLEARING)

    def standing(self, block: Numbers) -> "Standing":
        """How stable stands at this block, by what was known before it."""
        noise = self.clearing_noise
        return Standing(noise, blame.stable_degraded(self.fast, self.usual, block.xc, block.nc, noise))


NO_CASE_YET: dict[str, Any] = {"clear": [1.0] * POINTS, "clear_sums": [0.0, 0.0], "log_clear": 0.0}
"""Of what is kept, the case for the canary when a stage begins."""
NOTHING_USUAL: dict[str, Any] = {"usual": [0.0] * 3, "fast": [0.0] * 4}
"""Of what is kept, what is not known any more when other events are counted."""


class Standing(NamedTuple):
    """Stable at one block: asked once, used by both sides of the evidence."""

    noise: Noise
    """`Evidence.clearing_noise` from before the block."""
    degraded: bool
    """Whether stable is clearly worse than its own history."""


def placebo_of(kept: Mapping[str, Any]) -> Placebo:
    """The placebo alone of what `Evidence.kept` wrote."""
    return Placebo.of(kept["placebo"])


def learn(e: Evidence, block: Numbers, stable: Standing) -> None:
    """Take in what a block says about stable: its noise and its usual rate. Not about the canary."""
    # While stable is worse than usual, what is usual moves on a tenth as fast: trouble that stays becomes the norm.
    pace = blame.ALARMED if stable.degraded else 1.0
    if block.n2 > 0:
        e.placebo = e.placebo.plus(block.x1, block.n1, block.x2, block.n2, stable.noise)
    e.fast = blame.recent(e.fast, block.xc, block.nc, block.xv, block.nv)
    if block.nc > 0:
        kept = 1 - pace * (1 - blame.USUAL)
        x, n, blocks = e.usual
        e.usual = [kept * x + pace * block.xc, kept * n + pace * block.nc, blocks + 1]


def weigh(e: Evidence, rule: Rule, block: Numbers, stable: Standing, *, t: float, spend: float, opens: bool) -> None:
    """Take in what a block says about the canary, before `learn` takes in the rest of it.

    `spend` is the weight of harm that begins with this block; `opens` gives the self-normalised test a new beginning.
    """
    noise = e.noise(single=block.single)
    if spend > 0:
        spend = min(spend, e.unspent)
        e.unspent -= spend
        e.bet = [wealth + spend for wealth in e.bet]
        e.ratio = [wealth + spend for wealth in e.ratio]
    if opens and len(e.totals) < selfnormalised.STARTS:
        e.totals, e.squares = [*e.totals, 0.0], [*e.squares, 0.0]
    if rule.counts:
        if block.nv > 0:
            _accuse(e, rule, block, noise, noise.vr if block.single else e.placebo.lasting(noise))
            _clear(e, rule, block, stable)
    else:
        _pool(e, block.contrast, block.weight, block.information)
    if e.pool[2] >= selfnormalised.ENOUGH:
        _take_in_pool(e, rule, noise, stable.noise)
    if rule.counts:
        bet, ratio = math.fsum(e.bet) / POINTS + e.unspent, math.fsum(e.ratio) / POINTS + e.unspent
        evidence = BET * bet + RATIO * ratio + SLOW_TEST * e.slow_test
        e.log_clear = log(max(math.fsum(e.clear) / POINTS, 1e-300))
    else:
        evidence = e.slow_test
    e.log_e = log(max(evidence, 1e-300))
    if e.log_e <= e.low + FLAT:
        e.low, e.low_at, e.since = min(e.log_e, e.low), t, [0.0] * 4
    else:
        xv, nv, xc, nc = e.since
        e.since = [xv + block.xv, nv + block.nv, xc + block.xc, nc + block.nc]


def _accuse(e: Evidence, rule: Rule, block: Numbers, noise: Noise, lasting: float) -> None:
    """Bet and likelihood ratio against the canary, tempered by `noise` within blocks and what is `lasting` over them.

    A limit that stable breaks too is no case against the canary; being clearly worse than stable then still is. Stable
    decides by its own counts alone which question a block answers, so each factor stays valid.
    """
    hits, nv, nc = block.xv, block.nv, block.nc
    misses: tuple[float, ...] = ()
    if rule.points is not None:
        _accuse_by_points(e, rule, rule.points, block, noise, lasting)
        return
    if rule.limit is None or blame.stable_beyond(blame.recent(e.fast, block.xc, block.nc), rule.limit, noise):
        if nc <= 0 or (rule.limit is not None and not blame.stable_beyond(e.fast, rule.limit, noise)):
            return
        rho = block.rho if rule.limit is None else SHARED_RATIO
        trials = hits + block.xc
        null = nv * rho / (nv * rho + nc)
        size = trials
    else:
        trials, null = nv, rule.limit
        size, misses = nv * null, rule.misses
    if not share.usable(trials, null):
        return
    spread = noise.at(size)
    e.bet = share.bet(e.bet, hits, trials, null, spread, lasting, rule.grid)
    e.ratio = share.likelihood(e.ratio, hits, trials, null, spread, lasting, rule.grid, misses)
    variance = trials * null * (1 - null)
    _pool(e, hits - trials * null, variance * spread, variance)


def _accuse_by_points(e: Evidence, rule: Rule, points: float, block: Numbers, noise: Noise, lasting: float) -> None:
    """The same for a margin in points, about the difference of the two shares."""
    counts = (block.xv, block.nv, block.xc, block.nc)
    if not difference.usable(counts):
        return
    spread = noise.at(block.xv + block.xc)
    usual = (e.usual[0] + 0.5) / (e.usual[1] + 1)
    e.bet = difference.bet(e.bet, counts, points, usual, spread, lasting, rule.grid)
    e.ratio = difference.likelihood(e.ratio, counts, points, spread * lasting, harmful=True)
    weight = block.nv * block.nc / (block.nv + block.nc)
    contrast = (block.xv / block.nv - block.xc / block.nc - points) * weight
    information = weight * min(usual * (1 - usual), 0.25)
    _pool(e, contrast, information * spread, information)


def _clear(e: Evidence, rule: Rule, block: Numbers, stable: Standing) -> None:
    """Likelihood ratio for the canary; moments when stable is worse than usual prove nothing about it."""
    noise = stable.noise
    if rule.points is not None:
        counts = (block.clear_xv, block.nv, block.clear_xc, block.nc)
        if difference.usable(counts) and not stable.degraded:
            tempered = noise.at(block.clear_xv + block.clear_xc) * noise.vr
            e.clear = difference.likelihood(e.clear, counts, rule.points, tempered, harmful=False)
        return
    if rule.limit is not None:
        trials, null, size, misses = block.nv, rule.limit, block.nv * rule.limit, rule.clear_misses
    else:
        if block.nc <= 0 or stable.degraded:
            return
        trials = block.clear_xv + block.clear_xc
        null = block.nv * block.rho / (block.nv * block.rho + block.nc)
        size, misses = trials, ()
    if share.usable(trials, null):
        spread, hits = noise.at(size), trials - block.clear_xv
        e.clear = share.likelihood(e.clear, hits, trials, 1 - null, spread, noise.vr, rule.grid, misses)


def _pool(e: Evidence, contrast: float, variance: float, information: float) -> None:
    """Put a block with those that wait to be taken in."""
    pooled = e.pool
    e.pool = [pooled[0] + contrast, pooled[1] + variance, pooled[2] + information]


def _take_in_pool(e: Evidence, rule: Rule, noise: Noise, clearing: Noise) -> None:
    """The self-normalised test, for and against. The first pool of a sum only teaches its variance."""
    contrast, variance, _ = e.pool
    e.pool = [0.0, 0.0, 0.0]
    if variance <= share.TINY:
        return
    if not rule.counts:
        squared = contrast * contrast / variance
        variance *= e.scale
        e.scale = squared if e.scale == 0 else (1 - SCALE_STEP) * e.scale + SCALE_STEP * squared
        if variance <= share.TINY:
            return
    z = contrast / math.sqrt(variance)
    e.totals = [total + z for total in e.totals]
    e.squares = [square + z * z for square in e.squares]
    e.slow_test = selfnormalised.over_starts(e.totals, e.squares, noise.vr, rule.r)
    if not rule.counts:
        e.clear_sums = [e.clear_sums[0] - z, e.clear_sums[1] + z * z]
        e.log_clear = selfnormalised.log_mixture(e.clear_sums[0], clearing.vr * e.clear_sums[1], rule.r_clear)
