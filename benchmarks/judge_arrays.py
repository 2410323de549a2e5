"""The judge's arithmetic on arrays, for a study of thousands of simulated rollouts at once. No part of the product.

`judge_fleet.py` uses it because two thousand rollouts of 5760 scrapes would take hours one by one. The judge itself is
`canary/judge`, which works on plain floats; formulas, constants and the order of every sum here are those of
`canary/judge/e_process.py` and its helpers, where they are explained. `tests/benchmarks/test_judge_arrays.py` holds the
two to each other. They agree to many digits and not to the last: what numpy makes of `exp` and `log` depends on the
processor. Limits are those that stand regardless of stable: of others the half that asks for worse than stable is
not here.
"""

from collections.abc import Callable
from functools import reduce
from math import erfc
from operator import add
from typing import NamedTuple

import numpy as np

from benchmarks.judge_columns import Array, Blocks, Columns, Mask, Rules, begun_by
from canary.judge import baseline_health, risk_difference_test, self_normalised, share_test, special
from canary.judge.e_process import BET, ENOUGH_TAUGHT, POINTS, RATIO, SCALE_STEP, SLOW_TEST, TEACHERS
from canary.judge.noise import CLEARING, LEVELS, REPLICAS, SINGLE, SURPRISE, TINY, Prior


class Noise(NamedTuple):
    """`noise.Noise` of many gates."""

    phi: Array
    kappa: Array
    vr: Array

    def at(self, size: Array) -> Array:
        """Variance of counts of these expected sizes, as a multiple of what independent events would have."""
        return self.phi + self.kappa * size


class Standing(NamedTuple):
    """How stable stands at a block, of many gates."""

    noise: Noise
    degraded: Mask


def standing(e: Columns, block: Blocks) -> Standing:
    """How stable stands at this block, by what was known before it (what `e_process.update` asks first)."""
    noise = _read(e, CLEARING)
    known = (e.usual[2] >= baseline_health.LEARNT) & (e.usual[1] > 0)
    rate = e.usual[0] / np.where(known, e.usual[1], 1.0)
    recent = baseline_health.FAST * e.fast[2] + block.xc, baseline_health.FAST * e.fast[3] + block.nc
    degraded = _above(*recent, rate, noise, factor=baseline_health.WORSE, sigmas=3.0)
    lately = baseline_health.SLOW * e.lately[2] + block.xc, baseline_health.SLOW * e.lately[3] + block.nc
    spread = Noise(noise.phi * noise.vr, noise.kappa * noise.vr * (1 - baseline_health.SLOW), noise.vr)
    degraded = known & (degraded | _above(*lately, rate, spread, factor=baseline_health.WORSE, sigmas=1.0))
    return Standing(noise, degraded)


def learn(e: Columns, block: Blocks, stable: Standing) -> None:
    """`e_process._learn`."""
    _learn_noise(e, block, stable.noise)
    seen = np.stack([block.xv, block.nv, block.xc, block.nc])
    e.fast, e.lately = baseline_health.FAST * e.fast + seen, baseline_health.SLOW * e.lately + seen
    pace = np.where(stable.degraded, baseline_health.ALARMED, 1.0)
    kept = 1 - pace * (1 - baseline_health.USUAL)
    x, n, blocks = e.usual
    renewed = np.stack([kept * x + pace * block.xc, kept * n + pace * block.nc, blocks + 1])
    e.usual = np.where(block.nc > 0, renewed, e.usual)


def weigh(e: Columns, rules: Rules, block: Blocks, stable: Standing, asked: Mask, spend: Array, opens: Mask) -> None:
    """`e_process.update`, for those that are `asked` about."""
    noise = _read(e, _prior(block.single))
    spent = np.where(asked, np.minimum(spend, e.unspent), 0.0)
    e.unspent = e.unspent - spent
    e.bet += spent
    e.ratio += spent
    e.starts += asked & opens & (e.starts < self_normalised.STARTS)
    counted = asked & rules.counts & (block.nv > 0)
    lasting = np.where(block.single, noise.vr, _lasting(e, noise))
    _accuse(e, rules, block, noise, lasting, counted)
    _clear(e, rules, block, stable, counted)
    e.pool += np.where(asked & ~rules.counts, np.stack([block.contrast, block.weight, block.information]), 0.0)
    _take_in_pool(e, rules, noise, stable.noise, asked & (e.pool[2] >= self_normalised.ENOUGH))
    bet, ratio = _sum(e.bet) / POINTS + e.unspent, _sum(e.ratio) / POINTS + e.unspent
    evidence = np.where(rules.counts, BET * bet + RATIO * ratio + SLOW_TEST * e.slow_test, e.slow_test)
    cleared = np.log(np.maximum(_sum(e.clear) / POINTS, 1e-300))
    e.log_clear = np.where(asked & rules.counts, cleared, e.log_clear)
    e.log_e = np.where(asked, np.log(np.maximum(evidence, 1e-300)), e.log_e)


# What stable shows


def _prior(single: Mask) -> "_Prior | Prior":
    """What is believed of each gate's noise before anything is seen."""
    if not single.any():
        return REPLICAS
    return _Prior(*(np.where(single, a, b) for a, b in zip(_plain(SINGLE), _plain(REPLICAS), strict=True)))


class _Prior(NamedTuple):
    """`noise.Prior` of many gates."""

    phi: Array
    kappa: Array
    vr: Array
    blocks: Array
    excess: Array


def _plain(prior: Prior) -> tuple[float, ...]:
    return prior.phi, prior.kappa, prior.vr, prior.blocks, prior.excess


def _read(e: Columns, prior: "_Prior | Prior") -> Noise:
    """`AATest.noise` and `AATest._fit`."""
    half, some = prior.blocks / 2, e.blocks > 0
    far = np.where(some, 2 * e.x / np.where(some, e.blocks, 1.0), 0.0)
    u_far = prior.phi + prior.kappa * far
    n = e.blocks + prior.blocks
    x = e.x + half * far
    xx = e.xx + half * far * far
    u = e.u + half * (prior.phi + u_far)
    ux = e.ux + half * far * u_far
    spread = n * xx - x * x
    known = spread > 1e-9 * n * xx
    slope = np.where(known, (n * ux - x * u) / np.where(known, spread, 1.0), prior.kappa)
    rising = known & (slope >= 0)
    phi = np.where(rising, (u - slope * x) / n, np.maximum(u / n, 1.0))
    low = rising & (phi < 1)
    steep = np.maximum((ux - x) / np.where(low, xx, 1.0), 0.0)
    kappa = np.where(low, steep, np.maximum(slope, 0.0))
    return Noise(np.where(low, 1.0, phi), kappa, np.maximum(prior.vr, 1 + prior.excess * (e.vr - 1)))


def _lasting(e: Columns, noise: Noise) -> Array:
    """`AATest.lasting`."""
    calm = (e.z_squares + REPLICAS.blocks) / (e.blocks + REPLICAS.blocks)
    lasting: Array = np.maximum(noise.vr * np.minimum(calm, 1.0), 1.0)
    return lasting


def _learn_noise(e: Columns, block: Blocks, quiet: Noise) -> None:
    """`AATest.plus`."""
    x = block.x1 + block.x2
    usable = (x > 0) & (block.n1 > 0) & (block.n2 > 0)
    theta = block.n1 / np.where(usable, block.n1 + block.n2, 1.0)
    spread = np.where(usable, theta * (1 - theta), 0.0)
    usable &= spread * x >= TINY
    deviation = block.x1 - x * theta
    expected = quiet.phi + quiet.kappa * x
    credible = np.minimum(SURPRISE, e.blocks + CLEARING.blocks + 2)
    u = np.minimum(deviation * deviation / np.where(usable, spread * x, 1.0), credible * expected)
    z = np.copysign(np.sqrt(u / expected), deviation)
    x, u, z = (np.where(usable, each, 0.0) for each in (x, u, z))
    e.blocks = e.blocks + usable
    e.x, e.xx, e.u, e.ux = e.x + x, e.xx + x * x, e.u + u, e.ux + u * x
    e.z_squares = e.z_squares + z * z
    e.partial[0] += z
    closing = usable & (e.blocks % LEVELS[0] == 0)
    if closing.any():
        _close_groups(e, closing)


def _close_groups(e: Columns, closing: Mask) -> None:
    """`noise._close_groups`."""
    vr = np.ones_like(e.vr)
    for i, level in enumerate(LEVELS):
        full = closing & (e.blocks % level == 0)
        total = np.where(full, e.partial[i], 0.0)
        e.partial[i] -= total
        e.grouped[i] += total * total
        e.groups[i] += full
        if i + 1 < len(LEVELS):
            e.partial[i + 1] += total
        enough = closing & (e.groups[i] >= 4) & (e.z_squares > 0)
        groups, blocks = (np.where(enough, each, 1.0) for each in (e.groups[i], e.blocks))
        expected = groups * level * np.where(enough, e.z_squares, 1.0) / blocks
        excess = e.grouped[i] / expected / (1 + np.sqrt(2 / groups))
        vr = np.where(enough, np.maximum(vr, excess), vr)
    e.vr = np.where(closing, vr, e.vr)


def _above(x: Array, n: Array, rate: Array, noise: Noise, *, factor: float, sigmas: float) -> Mask:
    """`blame.above`."""
    expected = n * rate
    worse: Mask = (n > 0) & (x > factor * expected + sigmas * np.sqrt(noise.at(expected) * expected) + 1)
    return worse


# What the canary shows


def _accuse(e: Columns, rules: Rules, block: Blocks, noise: Noise, lasting: Array, counted: Mask) -> None:
    """`e_process._accuse`."""
    hits, nv, nc = block.xv, block.nv, block.nc
    in_points, limited = ~np.isnan(rules.points), ~np.isnan(rules.limit)
    if in_points.any():
        _accuse_by_points(e, rules, block, noise, lasting, counted & in_points)
    limit = np.where(limited, rules.limit, 0.5)
    null = np.where(limited, limit, _share_allowed(nv, nc, block.rho))
    trials = np.where(limited, nv, hits + block.xc)
    size = np.where(limited, nv * null, trials)
    at = np.flatnonzero(counted & ~in_points & (limited | (nc > 0)) & _usable(trials, null))
    hits, trials, null, spread, lasting = (each[at] for each in (hits, trials, null, noise.at(size), lasting))
    more, log_ratio = rules.more[:, at], rules.log_ratio[:, at]
    e.bet[:, at] = _bet(e.bet[:, at], hits, trials, null, spread, lasting, more)
    e.ratio[:, at] = _likelihood(e.ratio[:, at], hits, trials, null, spread, lasting, more, log_ratio)
    variance = trials * null * (1 - null)
    e.pool[:, at] += np.stack([hits - trials * null, variance * spread, variance])


def _clear(e: Columns, rules: Rules, block: Blocks, stable: Standing, counted: Mask) -> None:
    """`e_process._clear`."""
    noise, nv, nc = stable.noise, block.nv, block.nc
    in_points, limited = ~np.isnan(rules.points), ~np.isnan(rules.limit)
    if in_points.any():
        _clear_by_points(e, rules, block, stable, counted & in_points)
    null = np.where(limited, rules.limit, _share_allowed(nv, nc, block.rho))
    trials = np.where(limited, nv, block.clear_xv + block.clear_xc)
    size = np.where(limited, nv * null, trials)
    told = limited | ((nc > 0) & ~stable.degraded)
    at = np.flatnonzero(counted & ~in_points & told & _usable(trials, null))
    hits, trials, null, spread, vr = (each[at] for each in (block.clear_xv, trials, null, noise.at(size), noise.vr))
    grid = rules.more[:, at], rules.log_ratio[:, at]
    e.clear[:, at] = _likelihood(e.clear[:, at], trials - hits, trials, 1 - null, spread, vr, *grid)


def _share_allowed(nv: Array, nc: Array, rho: Array) -> Array:
    """The share of bad events that falls on a canary whose rate is `rho` times stable's; 0 without trials."""
    mine = nv * rho
    allowed: Array = mine / np.where(mine + nc > 0, mine + nc, 1.0)
    return allowed


def _usable(trials: Array, null: Array) -> Mask:
    """`share.usable`."""
    usable: Mask = (trials > 0) & (null > share_test.TINY) & (null < 1 - share_test.TINY)
    return usable


def _bet(wealth: Array, hits: Array, trials: Array, null: Array, noise: Array, vr: Array, more: Array) -> Array:
    """`share.bet`."""
    independent = noise / trials
    lasting = np.where(independent < 1, null * (1 - null) * (1 - independent), 0.0)
    reach = 1 / more + null
    stake = 1 / (reach * independent + lasting / reach)
    factor = 1 + np.minimum(stake, 0.9 / null) * (hits / trials - null)
    return _staked(wealth, factor, vr)


def _staked(wealth: Array, factor: Array, vr: Array) -> Array:
    """Wealth after a bet that pays `factor`, tempered and capped."""
    after: Array = np.minimum(wealth * np.minimum(factor ** (1 / vr), share_test.CAP), share_test.MOST)
    return after


def _likelihood(
    wealth: Array, hits: Array, trials: Array, null: Array, noise: Array, vr: Array, more: Array, log_ratio: Array
) -> Array:
    """`share.likelihood`."""
    scale = 1 / (noise * vr)
    return _grown(wealth, hits * scale * log_ratio - trials * scale * np.log1p(null * more))


def _grown(wealth: Array, growth: Array) -> Array:
    """Wealth that has grown by so many nats, capped and bounded on both sides."""
    factor = np.where(growth < share_test.LOG_CAP, np.exp(np.minimum(growth, share_test.LOG_CAP)), share_test.CAP)
    after: Array = np.clip(wealth * factor, share_test.LEAST, share_test.MOST)
    return after


def _accuse_by_points(e: Columns, rules: Rules, block: Blocks, noise: Noise, lasting: Array, counted: Mask) -> None:
    """`e_process._accuse_by_points` with `difference.bet`."""
    at = np.flatnonzero(counted & _comparable(block.xv, block.nv, block.xc, block.nc))
    xv, nv, xc, nc, eps, vr = (each[at] for each in (block.xv, block.nv, block.xc, block.nc, rules.points, lasting))
    spread = noise.at(block.xv + block.xc)[at]
    usual = (e.usual[0, at] + 0.5) / (e.usual[1, at] + 1)
    surprise = xv / nv - xc / nc - eps
    variance = np.maximum(usual * (1 - usual), 1e-6) * (1 / nv + 1 / nc) * spread
    excess = eps * rules.more[:, at]
    stake = np.minimum(excess / (variance + excess * excess), 0.9 / (1 + eps))
    e.bet[:, at] = _staked(e.bet[:, at], 1 + stake * surprise, vr)
    e.ratio[:, at] = _grown(e.ratio[:, at], _growths(xv, nv, xc, nc, eps, harmful=True) / (spread * vr))
    weight = nv * nc / (nv + nc)
    information = weight * np.minimum(usual * (1 - usual), 0.25)
    e.pool[:, at] += np.stack([surprise * weight, information * spread, information])


def _clear_by_points(e: Columns, rules: Rules, block: Blocks, stable: Standing, counted: Mask) -> None:
    """The same for the canary."""
    told = _comparable(block.clear_xv, block.nv, block.clear_xc, block.nc) & ~stable.degraded
    at = np.flatnonzero(counted & told)
    counts = (each[at] for each in (block.clear_xv, block.nv, block.clear_xc, block.nc, rules.points))
    tempered = (stable.noise.at(block.clear_xv + block.clear_xc) * stable.noise.vr)[at]
    e.clear[:, at] = _grown(e.clear[:, at], _growths(*counts, harmful=False) / tempered)


def _comparable(xv: Array, nv: Array, xc: Array, nc: Array) -> Mask:
    """`difference.usable`."""
    both = np.where(nv + nc > 0, nv + nc, 1.0)
    comparable: Mask = (nv > 0) & (nc > 0) & (xv <= nv) & (xc <= nc) & (nv / both > 1e-9) & (nc / both > 1e-9)
    return comparable


_STAKES = np.array(risk_difference_test.STAKES)[:, None]


def _growths(xv: Array, nv: Array, xc: Array, nc: Array, eps: Array, *, harmful: bool) -> Array:
    """`difference.growths`."""
    part = nv / (nv + nc)
    pays = np.stack([1 / part - eps, -1 / (1 - part) - eps, -eps])
    pays = pays if harmful else -pays
    stakes = _STAKES * (1 / -pays.min(axis=0))
    on_v, on_c, rest = (np.log1p(stakes * pay) for pay in pays)
    good = nv + nc - xv - xc
    grown: Array = xv * on_v + xc * on_c + good * rest
    return grown


# The self-normalised test


def _take_in_pool(e: Columns, rules: Rules, noise: Noise, clearing: Noise, full: Mask) -> None:
    """The pools of `e_process._count` and `_sum`."""
    contrast, variance, _ = e.pool
    told, sums = full & (variance > share_test.TINY), ~rules.counts
    squared = contrast * contrast / np.where(told, variance, 1.0)
    variance = np.where(sums, variance * np.where(e.taught >= TEACHERS, e.scale, 0.0), variance)
    renewed = e.scale + np.maximum(SCALE_STEP, 1 / (e.taught + 1)) * (squared - e.scale)
    e.scale = np.where(told & sums, renewed, e.scale)
    e.taught = np.where(told & sums, np.minimum(e.taught + 1, ENOUGH_TAUGHT), e.taught)
    told &= variance > share_test.TINY
    z = np.where(told, contrast / np.sqrt(np.where(told, variance, 1.0)), 0.0)
    e.pool = np.where(full, 0.0, e.pool)
    at = np.flatnonzero(told)
    begun = begun_by(e.starts[at])
    e.totals[:, at] += np.where(begun, z[at], 0.0)
    e.squares[:, at] += np.where(begun, (z * z)[at], 0.0)
    variances = noise.vr[at] * e.squares[:, at]
    e.slow_test[at] = _over_starts(e.totals[:, at], variances, begun, rules.r[at])
    e.clear_sums += np.where(told & sums, np.stack([-z, z * z]), 0.0)
    at = np.flatnonzero(told & sums)
    total, squares = e.clear_sums[:, at]
    e.log_clear[at] = _log_mixture(total, clearing.vr[at] * squares, rules.r_clear[at])


def _over_starts(totals: Array, variances: Array, begun: Mask, r: Array) -> Array:
    """`selfnormalised.over_starts`; `variances` are its sums of squares times `vr`."""
    each = np.broadcast_to(r, totals.shape)[begun]
    total, variance = totals[begun], variances[begun]
    scale = 1 / np.sqrt(variance + each)
    x = total * scale
    near = np.abs(x) < self_normalised.NEAR
    close = np.where(near, x, 0.0)
    value = np.sqrt(each) * scale * np.exp(0.5 * close * close) * _map(erfc, -close * special.ROOT_HALF)
    far = np.flatnonzero(~near)
    if far.size:
        value[far] = np.exp(np.minimum(_log_mixture(total[far], variance[far], each[far]), 500.0))
    values = np.zeros_like(totals)
    values[begun] = value
    starts = begun.sum(axis=0)
    later = _sum(values[1:]) + self_normalised.STARTS - starts
    mixed = self_normalised.FIRST * values[0] + self_normalised.OTHERS * later
    return np.where(starts > 0, mixed, 1.0)


def _log_mixture(total: Array, variance: Array, r: Array) -> Array:
    """`selfnormalised.log_mixture`."""
    v = variance + r
    evidence: Array = (
        0.5 * np.log(4 * r / v) + total * total / (2 * v) + _map(special.log_normal_cdf, total / np.sqrt(v))
    )
    return evidence


def _map(function: Callable[[float], float], values: Array) -> Array:
    """A function that numpy lacks."""
    return np.fromiter(map(function, values.tolist()), float, values.size)


def _sum(numbers: Array) -> Array:
    """The sum of each gate's numbers, in the order in which a list is summed up."""
    total: Array = reduce(add, numbers)
    return total
