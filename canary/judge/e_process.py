"""A gate's e-process: its evidence before a block and after it. The whole of the statistics.

Called by `stratum.py` for every gate that is tested. Against the canary stand three e-processes (a bet, a tempered
likelihood ratio, a self-normalised sum), mixed over the times when harm may have begun; for it stands one that starts
afresh with each stage. Does not know what a gate says, nor decide anything.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

from canary.judge import baseline_health, risk_difference_test, self_normalised, share_test
from canary.judge.noise import CLEARING, REPLICAS, SINGLE, AATest, NoiseModel
from canary.judge.portable_math import log
from canary.judge.share_test import Wealth

POINTS = 8
"""Effect sizes that are bet on."""
BET, RATIO, SLOW_TEST = 0.5, 0.25, 0.25
"""How evidence from counts is averaged; evidence from sums has the self-normalised test alone."""
SHARED_RATIO = 1.25
"""A canary beyond a limit fails only if its rate is also at least this many times stable's at that moment."""
FLAT = 1e-9
"""Nats by which evidence may rise and still count as having risen nowhere: rounding must not move harm's beginning."""
TEACHERS, ENOUGH_TAUGHT = 8, 20
"""Pools of sums that only teach their variance; and as many as make each further one weigh `SCALE_STEP`."""
SCALE_STEP = 0.05
"""Weight of a new block in the variance of a sum."""


@dataclass(frozen=True, slots=True)
class EProcessParams:
    """What does not change about a gate's test."""

    counts: bool
    """Whether it is about counts of bad events; if not, about sums."""
    limit: float | None
    """For absolute counts the share of bad events that the limit allows; None compares with stable."""
    points: float | None
    """For relative counts whose margin is in points: the margin as a share; None for margins that are ratios."""
    grid: share_test.Grid
    r: float
    """Prior width of the self-normalised test against the canary."""
    r_clear: float
    """Prior width of the self-normalised test for the canary."""
    misses: tuple[float, ...] = ()
    """For absolute counts: `share.misses_of` the limit."""
    clear_misses: tuple[float, ...] = ()
    """For absolute counts: `share.misses_of` what is left of 1."""
    union: bool = False
    """For limits: whether it takes a canary that is beyond the limit *and* worse than stable."""


class GateCounts(NamedTuple):
    """One block as one gate sees it. Zero trials mean nothing to learn. Canary is v, stable c."""

    xv: float = 0.0
    """Bad events, at the bound that accuses."""
    nv: float = 0.0
    """Trials."""
    xc: float = 0.0
    nc: float = 0.0
    clear_xv: float = 0.0
    """Bad events at the bound that clears (differs for latency limits between two buckets)."""
    clear_xc: float = 0.0
    rho: float = 1.0
    """For relative counts: the rate of bad events that the canary may have, as a multiple of stable's."""
    contrast: float = 0.0
    """For sums: the block's contrast, harmful direction positive."""
    weight: float = 0.0
    """For sums: what the contrast's variance is proportional to."""
    information: float = 0.0
    """For sums: what the block is worth."""
    worse: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """For sums with a limit: contrast, weight and information of "worse than stable"."""
    clear_rho: float | None = None
    """`rho` for the canary's case, where that is another: stable is then counted at the bound that clears."""
    x1: float = 0.0
    """Bad events of the first half of stable, for the A/A test."""
    n1: float = 0.0
    x2: float = 0.0
    n2: float = 0.0
    single: bool = False
    """Whether the halves had to be one scrape and the next."""


class EvidenceRequest(NamedTuple):
    """A block that may speak about the canary, and not only about stable."""

    t: float
    """Its end in seconds."""
    spend: float
    """Weight of harm that begins with this block."""
    opens: bool
    """Whether the self-normalised test has a new beginning."""


@dataclass(frozen=True, slots=True)
class Against:
    """The case against the canary."""

    bet: Wealth = (0.0,) * POINTS
    """Wealth of the bets, for harm that has begun by now."""
    ratio: Wealth = (0.0,) * POINTS
    """Likelihood ratios, for harm that has begun by now."""
    unspent: float = 1.0
    """Weight of harm that begins later."""
    totals: tuple[float, ...] = ()
    """The self-normalised test's sums by beginning."""
    squares: tuple[float, ...] = ()
    """The self-normalised test's sums of squares by beginning."""
    slow_test: float = 1.0
    """The self-normalised test's e-value."""
    pool: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Contrast, variance and information of blocks that the self-normalised test has not taken in yet."""
    scale: float = 0.0
    """For sums: variance of a contrast of weight one."""
    taught: int = 0
    """For sums: how many pools have taught that, as far as it matters."""

    def beside(self) -> "Against":
        """A case about something else that begins now, for harm that has begun by now in this one."""
        begun, none = 1 - self.unspent, (0.0,) * len(self.totals)
        return Against((begun,) * POINTS, (begun,) * POINTS, self.unspent, none, none)

    def log_e(self, *, counts: bool) -> float:
        """Logarithm of its e-value."""
        if not counts:
            return log(max(self.slow_test, 1e-300))
        bet, ratio = math.fsum(self.bet) / POINTS, math.fsum(self.ratio) / POINTS
        mixed = BET * (bet + self.unspent) + RATIO * (ratio + self.unspent) + SLOW_TEST * self.slow_test
        return log(max(mixed, 1e-300))


@dataclass(frozen=True, slots=True)
class Passing:
    """The case for the canary since the stage began."""

    clear: Wealth = (1.0,) * POINTS
    """Likelihood ratios of a canary that is better than it has to be."""
    sums: tuple[float, float] = (0.0, 0.0)
    """For sums: the self-normalised test's sum and sum of squares."""
    log_e: float = 0.0
    """Logarithm of its e-value."""


@dataclass(frozen=True, slots=True)
class Onset:
    """Where the harm seems to have begun: where the evidence against the canary was lowest."""

    low: float = 1e300
    """The lowest logarithm of the evidence."""
    at: float = 0.0
    """When that was, in seconds."""
    since: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Bad events and trials since then, the canary's and then stable's."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What is known of stable."""

    aa_test: AATest = AATest()  # noqa: RUF009 - frozen
    recent: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Recent bad events and trials: the canary's, then stable's."""
    usual: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Stable's usual bad events and trials, and the number of blocks behind them."""
    held: tuple[float, float] = (0.0, 0.0)
    """Stable's last block, while it has one replica and the A/A test waits for the next scrape."""
    lately: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """As `recent`, of some minutes."""

    def forgetting(self) -> "Baseline":
        """Without what is not known any more when other events are counted."""
        return replace(self, recent=(0.0,) * 4, usual=(0.0,) * 3, lately=(0.0,) * 4)


@dataclass(frozen=True, slots=True)
class EProcess:
    """All that is remembered about a gate's evidence: about a hundred numbers."""

    against: Against = Against()
    passing: Passing = Passing()
    onset: Onset = Onset()
    baseline: Baseline = Baseline()
    log_e: float = 0.0
    """Logarithm of the evidence against the canary."""
    worse: Against | None = None
    """For limits: the case that the canary is worse than stable too; None before the first block that may accuse."""

    def beginning_stage(self) -> "EProcess":
        """With the case for the canary begun afresh."""
        return replace(self, passing=Passing())

    @property
    def clearing_noise(self) -> NoiseModel:
        """The noise by which the case for the canary is tempered."""
        return self.baseline.aa_test.noise(CLEARING)


def update(e: EProcess, params: EProcessParams, block: GateCounts, asked: EvidenceRequest | None) -> EProcess:
    """The e-process after a block; with `asked` None it only teaches what is usual for stable.

    The noise that tempers a block is that of the blocks before it.
    """
    before = e.baseline
    quiet = before.aa_test.noise(CLEARING)
    degraded = baseline_health.stable_degraded(before.recent, before.lately, before.usual, block.xc, block.nc, quiet)
    baseline = _learn(before, block, quiet, degraded=degraded)
    if asked is None:
        return EProcess(e.against, e.passing, e.onset, baseline, e.log_e, e.worse)
    noise = before.aa_test.noise(SINGLE if block.single else REPLICAS)
    cases = [(e.against, False)]
    if params.union:
        cases.append((e.worse or e.against.beside(), True))
    if params.counts:
        lasting = noise.vr if block.single else before.aa_test.lasting(noise)
        accused = [_count(case, params, block, asked, before, noise, lasting, worse=worse) for case, worse in cases]
        passing = _passing_count(e.passing, params, block, quiet, degraded=degraded)
    else:
        accused, passing = [], e.passing
        for case, worse in cases:
            told = block.worse if worse else (block.contrast, block.weight, block.information)
            after, z = _sum(case, params, told, asked, noise)
            accused.append(after)
            if not worse and z is not None:
                passing = _passing_sum(passing, params, z, quiet)
    # The canary is well if it is within the limit *or* no worse than stable: both cases have to be made.
    log_e = min(case.log_e(counts=params.counts) for case in accused)
    other = accused[1] if params.union else None
    return EProcess(accused[0], passing, _onset(e.onset, log_e, asked.t, block), baseline, log_e, other)


# What stable shows


def _learn(baseline: Baseline, block: GateCounts, quiet: NoiseModel, *, degraded: bool) -> Baseline:
    """What a block says about stable: its noise and its usual rate. Not about the canary."""
    aa_test, usual, held = baseline.aa_test, baseline.usual, baseline.held
    if block.n2 > 0:
        aa_test = aa_test.plus(block.x1, block.n1, block.x2, block.n2, quiet)
    if block.nc > 0:
        # While stable is worse than usual, what is usual moves on a tenth as fast: trouble that stays becomes the norm.
        pace = baseline_health.ALARMED if degraded else 1.0
        kept = 1 - pace * (1 - baseline_health.USUAL)
        x, n, blocks = usual
        usual = kept * x + pace * block.xc, kept * n + pace * block.nc, blocks + 1
        if block.single:
            held = (0.0, 0.0) if block.n2 > 0 else (block.xc, block.nc)
    recent = baseline_health.recent(baseline.recent, block.xc, block.nc, block.xv, block.nv)
    lately = baseline_health.recent(baseline.lately, block.xc, block.nc, block.xv, block.nv, kept=baseline_health.SLOW)
    return Baseline(aa_test, recent, usual, held, lately)


# What the canary shows


def _count(
    was: Against,
    params: EProcessParams,
    block: GateCounts,
    asked: EvidenceRequest,
    stable: Baseline,
    noise: NoiseModel,
    lasting: float,
    *,
    worse: bool,
) -> Against:
    """A case after a block of counts; with `worse` that of "worse than stable", for a gate with a limit."""
    spend = min(asked.spend, was.unspent)
    bet, ratio = was.bet, was.ratio
    if spend > 0:
        bet, ratio = tuple([mine + spend for mine in bet]), tuple([mine + spend for mine in ratio])
    totals, squares, slow_test, pool = was.totals, was.squares, was.slow_test, was.pool
    if asked.opens and len(totals) < self_normalised.STARTS:
        totals, squares = (*totals, 0.0), (*squares, 0.0)
    if block.nv > 0:
        bet, ratio, more = _accuse(bet, ratio, stable, params, block, noise, lasting, worse=worse)
        pool = pool[0] + more[0], pool[1] + more[1], pool[2] + more[2]
    if pool[2] >= self_normalised.ENOUGH:
        contrast, variance, _ = pool
        pool = (0.0, 0.0, 0.0)
        if variance > share_test.TINY:
            z = contrast / math.sqrt(variance)
            totals, squares = self_normalised.plus(totals, squares, z)
            slow_test = self_normalised.over_starts(totals, squares, noise.vr, params.r)
    return Against(bet, ratio, was.unspent - spend, totals, squares, slow_test, pool, was.scale)


def _passing_count(
    was: Passing, params: EProcessParams, block: GateCounts, quiet: NoiseModel, *, degraded: bool
) -> Passing:
    """The case for the canary after a block of counts."""
    clear = _clear(was.clear, params, block, quiet, degraded=degraded) if block.nv > 0 else was.clear
    return Passing(clear, was.sums, log(max(math.fsum(clear) / POINTS, 1e-300)))


def _accuse(
    bet: Wealth,
    ratio: Wealth,
    stable: Baseline,
    params: EProcessParams,
    block: GateCounts,
    noise: NoiseModel,
    lasting: float,
    *,
    worse: bool,
) -> tuple[Wealth, Wealth, tuple[float, float, float]]:
    """Bet and likelihood ratio against the canary, tempered by `noise` within blocks and what is `lasting` over them.

    The third is the block's contrast, variance and information for the self-normalised test. Where stable has no
    traffic, "worse than stable" is "beyond the limit", unless stable was beyond it when it was seen last.
    """
    hits, nv, nc = block.xv, block.nv, block.nc
    misses: tuple[float, ...] = ()
    if params.points is not None:
        return _accuse_by_points(bet, ratio, stable, params, params.points, block, noise, lasting)
    if (
        worse
        and nc <= 0
        and params.limit is not None
        and baseline_health.stable_beyond(stable.recent, params.limit, noise)
    ):
        return bet, ratio, _NOTHING
    if params.limit is None or (worse and nc > 0):
        if nc <= 0:
            return bet, ratio, _NOTHING
        rho = block.rho if params.limit is None else SHARED_RATIO
        trials = hits + block.xc
        null = nv * rho / (nv * rho + nc)
        size = trials
    else:
        trials, null = nv, params.limit
        size, misses = nv * null, params.misses
    if not share_test.usable(trials, null):
        return bet, ratio, _NOTHING
    spread = noise.at(size)
    bet = share_test.betting_e_value(bet, hits, trials, null, spread, lasting, params.grid)
    ratio = share_test.likelihood_ratio(ratio, hits, trials, null, spread, lasting, params.grid, misses)
    variance = trials * null * (1 - null)
    return bet, ratio, (hits - trials * null, variance * spread, variance)


_NOTHING = (0.0, 0.0, 0.0)


def _accuse_by_points(
    bet: Wealth,
    ratio: Wealth,
    stable: Baseline,
    params: EProcessParams,
    points: float,
    block: GateCounts,
    noise: NoiseModel,
    lasting: float,
) -> tuple[Wealth, Wealth, tuple[float, float, float]]:
    """The same for a margin in points, about the difference of the two shares."""
    counts = (block.xv, block.nv, block.xc, block.nc)
    if not risk_difference_test.usable(counts):
        return bet, ratio, _NOTHING
    spread = noise.at(block.xv + block.xc)
    usual = (stable.usual[0] + 0.5) / (stable.usual[1] + 1)
    bet = risk_difference_test.bet(bet, counts, points, usual, spread, lasting, params.grid)
    ratio = risk_difference_test.likelihood(ratio, counts, points, spread * lasting, harmful=True)
    weight = block.nv * block.nc / (block.nv + block.nc)
    contrast = (block.xv / block.nv - block.xc / block.nc - points) * weight
    information = weight * min(usual * (1 - usual), 0.25)
    return bet, ratio, (contrast, information * spread, information)


def _clear(clear: Wealth, params: EProcessParams, block: GateCounts, noise: NoiseModel, *, degraded: bool) -> Wealth:
    """Likelihood ratio for the canary; moments when stable is worse than usual prove nothing about it."""
    misses: tuple[float, ...] = ()
    if params.points is not None:
        counts = (block.clear_xv, block.nv, block.clear_xc, block.nc)
        if not risk_difference_test.usable(counts) or degraded:
            return clear
        tempered = noise.at(block.clear_xv + block.clear_xc) * noise.vr
        return risk_difference_test.likelihood(clear, counts, params.points, tempered, harmful=False)
    if params.limit is not None:
        trials, null, size, misses = block.nv, params.limit, block.nv * params.limit, params.clear_misses
    else:
        if block.nc <= 0 or degraded:
            return clear
        trials = block.clear_xv + block.clear_xc
        rho = block.rho if block.clear_rho is None else block.clear_rho
        null = block.nv * rho / (block.nv * rho + block.nc)
        size = trials
    if not share_test.usable(trials, null):
        return clear
    hits = trials - block.clear_xv
    return share_test.likelihood_ratio(clear, hits, trials, 1 - null, noise.at(size), noise.vr, params.grid, misses)


def _sum(
    was: Against, params: EProcessParams, told: tuple[float, float, float], asked: EvidenceRequest, noise: NoiseModel
) -> tuple[Against, float | None]:
    """A case after a block of sums: the self-normalised test. Also the deviation that it took in, if a pool was full.

    `told` are contrast, weight and information. The first pools only teach the variance: one alone might be small by
    chance, and the next one would then outweigh all that ever follow.
    """
    totals, squares, slow_test, scale = was.totals, was.squares, was.slow_test, was.scale
    taught = was.taught or (ENOUGH_TAUGHT if scale > 0 else 0)  # states of before do not say how many there were
    if asked.opens and len(totals) < self_normalised.STARTS:
        totals, squares = (*totals, 0.0), (*squares, 0.0)
    pool, z = (was.pool[0] + told[0], was.pool[1] + told[1], was.pool[2] + told[2]), None
    if pool[2] >= self_normalised.ENOUGH:
        contrast, variance, _ = pool
        pool = _NOTHING
        if variance > share_test.TINY:
            squared = contrast * contrast / variance
            variance *= scale if taught >= TEACHERS else 0.0
            scale += max(SCALE_STEP, 1 / (taught + 1)) * (squared - scale)
            taught = min(taught + 1, ENOUGH_TAUGHT)
        if variance > share_test.TINY:
            z = contrast / math.sqrt(variance)
            totals, squares = self_normalised.plus(totals, squares, z)
            slow_test = self_normalised.over_starts(totals, squares, noise.vr, params.r)
    unspent = was.unspent - min(asked.spend, was.unspent)
    return Against(was.bet, was.ratio, unspent, totals, squares, slow_test, pool, scale, taught), z


def _passing_sum(was: Passing, params: EProcessParams, z: float, quiet: NoiseModel) -> Passing:
    """The case for the canary after a pool of sums."""
    total, square = was.sums[0] - z, was.sums[1] + z * z
    return Passing(was.clear, (total, square), self_normalised.log_mixture(total, quiet.vr * square, params.r_clear))


def _onset(onset: Onset, log_e: float, t: float, block: GateCounts) -> Onset:
    """Where the harm seems to have begun, after a block that ends at `t`."""
    if log_e <= onset.low + FLAT:
        return Onset(min(log_e, onset.low), t)
    xv, nv, xc, nc = onset.since
    return Onset(onset.low, onset.at, (xv + block.xv, nv + block.nv, xc + block.xc, nc + block.nc))
