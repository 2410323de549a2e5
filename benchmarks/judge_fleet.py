"""The judge's evidence for thousands of simulated rollouts at once: the same formulas, on arrays.

`judge.py` uses it because two thousand rollouts of 5760 scrapes would take hours one by one. It must not differ from
`canary.judge`, which a test holds it to (`tests/benchmarks/test_judge_fleet.py`): bounds, weights and constants are the
judge's own, only the arithmetic is repeated here. Relative gates and KPIs only; all rollouts share one schedule.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from benchmarks.judge_traffic import BOUNDS, Rollout
from canary.judge import blame, bounds, docket, evidence, noise, selfnormalised, share, start_weights
from canary.judge.docket import Case, Docket
from canary.spec.models import CanarySpec

Array = NDArray[np.float64]
EDGES = [*BOUNDS, math.inf]


@dataclass(frozen=True)
class Counts:
    """What the gates of one rollout see, scrape by scrape: bad events (or sums) and trials of the three groups.

    Groups are the canary and two halves of stable; `bad` has shape (gates, 3, scrapes), `trials` (3, scrapes), `rho`
    and `told` (gates, scrapes); `told` is 0 until a latency gate has picked its bound, `changed` 1 where it moves.
    """

    bad: NDArray[np.float32]
    trials: NDArray[np.float32]
    rho: NDArray[np.float32]
    told: NDArray[np.bool_]
    changed: NDArray[np.bool_]


def counts(spec: CanarySpec, drawn: Rollout) -> Counts:
    """The gates' view of a drawn rollout."""
    cases = docket.of(spec).tested
    scrapes = len(drawn.t)
    bad = np.zeros((len(cases), 3, scrapes), np.float32)
    rho = np.ones((len(cases), scrapes), np.float32)
    told = np.ones((len(cases), scrapes), bool)
    changed = np.zeros((len(cases), scrapes), bool)
    for i, case in enumerate(cases):
        if case.series == "errors":
            bad[i], rho[i] = drawn.errors, 1 + case.gate.limit
        elif case.series == "kpi":
            bad[i] = drawn.conversions
        else:
            index, rho[i], told[i], changed[i] = _picks(case, drawn)
            for group in range(3):
                slow = drawn.requests[group] - drawn.slow[group, np.arange(scrapes), index]
                bad[i, group] = np.where(told[i], slow, 0)
    return Counts(bad, drawn.requests.astype(np.float32), rho, told, changed)


def _picks(case: Case, drawn: Rollout) -> tuple[NDArray[np.int64], Array, NDArray[np.bool_], NDArray[np.bool_]]:
    """The bound in use at each scrape, the ratio it allows, whether there is one, and where it changes."""
    scrapes = len(drawn.t)
    index, rho = np.zeros(scrapes, np.int64), np.ones(scrapes)
    told, changed = np.zeros(scrapes, bool), np.zeros(scrapes, bool)
    history = (drawn.slow[1] + drawn.slow[2]).cumsum(axis=0)
    pick: bounds.Pick | None = None
    k = 1
    while k < scrapes:
        before, pick = pick, bounds.pick(case, pick, EDGES, history[k - 1].tolist())
        if pick is not None:
            index[k:], rho[k:], told[k:] = int(pick[0]), pick[2], True
            changed[k] = before is not None and before[0] != pick[0]
            if pick[3] >= bounds.FINAL:
                break
        # Nothing changes before stable's history has grown as far as the next pick asks for.
        wanted = bounds.ENOUGH if pick is None else 1.5 * pick[3]
        k = max(k + 1, int(np.searchsorted(history[:, -1], wanted)) + 1)
    return index, rho, told, changed


@dataclass(frozen=True)
class Course:
    """How the evidence of all rollouts went: shape (rollouts, scrapes after first traffic)."""

    t: Array
    total: Array
    """Log of all evidence together."""
    clear: Array
    """Log of the case for the canary: the least of the gates', since its stage began. Shape as `total`."""


def course(spec: CanarySpec, drawn: list[Counts], t: Array, stage: NDArray[np.int64], *, clear: bool = False) -> Course:
    """Weigh all rollouts, scrape by scrape."""
    of = docket.of(spec)
    fleet = _Fleet(of, len(drawn), clear=clear)
    bad = np.stack([each.bad for each in drawn])
    trials = np.stack([each.trials for each in drawn])
    rho = np.stack([each.rho for each in drawn])
    told = np.stack([each.told for each in drawn])
    changed = np.stack([each.changed for each in drawn])
    live = int(np.searchsorted(t, 0, side="right"))
    total = np.zeros((len(drawn), len(t) - live))
    cleared = np.zeros_like(total)
    first, next_start, spent = float(t[live]), float(t[live]), float(t[live])
    for k in range(len(t)):
        seen = _Seen(bad[:, :, :, k].astype(float), trials[:, :, k].astype(float), rho[:, :, k], told[:, :, k], of)
        if changed[:, :, k].any():
            fleet.forget_usual(changed[:, :, k].ravel())
        if k >= live:
            moved = k > live and stage[k] != stage[k - 1]
            due = t[k] >= next_start
            if due:
                next_start = float(t[k]) + max(of.planned / selfnormalised.STARTS, 60.0)
            if k == live:
                spend = np.array([start_weights.first(len(case.stages)) for case in of.tested])
            else:
                lately = start_weights.between(spent - first, float(t[k]) - first, of.planned)
                later = [start_weights.later(len(case.stages)) if moved else 0.0 for case in of.tested]
                spend = lately + np.array(later)
            spent = float(t[k])
            fleet.weigh(seen, np.tile(spend, len(drawn)), opens=moved or due or k == live, fresh=moved or k == live)
            total[:, k - live], cleared[:, k - live] = fleet.total(), fleet.least_clear()
        fleet.learn(seen)
    return Course(t[live:], total, cleared)


class _Seen:
    """One scrape of all rollouts, a row for each gate of each."""

    def __init__(
        self, bad: Array, trials: Array, rho: NDArray[np.float32], told: NDArray[np.bool_], of: Docket
    ) -> None:
        n = np.where(told[:, :, None], trials[:, None, :], 0.0)
        self.xv, self.nv = bad[:, :, 0].ravel(), n[:, :, 0].ravel()
        self.x1, self.n1 = bad[:, :, 1].ravel(), n[:, :, 1].ravel()
        self.x2, self.n2 = bad[:, :, 2].ravel(), n[:, :, 2].ravel()
        self.xc, self.nc = self.x1 + self.x2, self.n1 + self.n2
        self.rho = rho.ravel().astype(float)
        sums = [case.kind == "sums" for case in of.tested]
        both = np.maximum(self.nv + self.nc, 1.0)
        self.contrast = np.zeros_like(self.xv)
        for i, case in enumerate(of.tested):
            if sums[i]:
                mine = slice(i, None, len(sums))
                sign = 1.0 if case.gate.better == "lower" else -1.0
                allowed = (1 + sign * case.gate.limit) * self.xc[mine] * self.nv[mine]
                self.contrast[mine] = sign * (self.xv[mine] * self.nc[mine] - allowed) / both[mine]
        self.weight = self.nv * self.nc / both
        part = self.nv / both
        self.information = np.minimum(self.weight, (self.xv + self.xc) * part * (1 - part))


class _Fleet:
    """Evidence of all rows; the fields are those of `canary.judge.evidence.Evidence`."""

    def __init__(self, of: Docket, rollouts: int, *, clear: bool) -> None:
        self.of, self.rollouts, self.clearing = of, rollouts, clear
        n = rollouts * len(of.tested)
        points = evidence.POINTS
        rules = [case.rule for case in of.tested if case.rule is not None]
        self.counts = np.tile([rule.counts for rule in rules], rollouts)
        self.ratios = np.tile([[1 + more for more, _ in rule.grid] for rule in rules], (rollouts, 1))
        self.logs = np.tile([[log for _, log in rule.grid] for rule in rules], (rollouts, 1))
        self.r = np.tile([rule.r for rule in rules], rollouts)
        self.r_clear = np.tile([rule.r_clear for rule in rules], rollouts)
        self.weights = np.array([case.weight for case in of.tested])
        self.bet, self.ratio, self.unspent = np.zeros((n, points)), np.zeros((n, points)), np.ones(n)
        self.clear, self.clear_sums = np.ones((n, points)), np.zeros((2, n))
        self.totals, self.squares = np.zeros((n, selfnormalised.STARTS)), np.zeros((n, selfnormalised.STARTS))
        self.started = 0
        self.slow_test, self.pool, self.scale = np.ones(n), np.zeros((3, n)), np.zeros(n)
        self.placebo = np.zeros((6, n))
        self.groups = np.zeros((4, n, len(noise.LEVELS)))
        self.vr = np.ones(n)
        self.fast, self.usual = np.zeros((2, n)), np.zeros((3, n))
        self.log_e, self.log_clear = np.zeros(n), np.zeros(n)
        self.quiet = np.ones(n), np.zeros(n)

    def fit(self, prior: noise.Prior) -> tuple[Array, Array]:
        """`Placebo._fit`."""
        blocks, sx, sxx, su, sux, _ = self.placebo
        half = prior.blocks / 2
        far = 2 * sx / np.maximum(blocks, 1.0)
        u_far = prior.phi + prior.kappa * far
        n, x, xx = blocks + prior.blocks, sx + half * far, sxx + half * far * far
        u, ux = su + half * (prior.phi + u_far), sux + half * far * u_far
        spread = n * xx - x * x
        known = spread > 1e-9 * n * xx
        slope = np.where(known, (n * ux - x * u) / np.where(known, spread, 1.0), prior.kappa)
        phi = np.where(~known | (slope < 0), np.maximum(u / n, 1.0), (u - slope * x) / n)
        low = known & (slope >= 0) & (phi < 1)
        steep = np.maximum((ux - x) / np.where(xx > 0, xx, 1.0), 0.0)
        return np.where(low, 1.0, phi), np.where(low, steep, np.maximum(slope, 0.0))

    def learn(self, seen: _Seen) -> None:
        """`evidence.learn` with `Placebo.plus`."""
        x = seen.x1 + seen.x2
        usable = (x > 0) & (seen.n1 > 0) & (seen.n2 > 0)
        safe = np.where(usable, x, 1.0)
        theta = np.where(usable, seen.n1 / np.where(usable, seen.n1 + seen.n2, 1.0), 0.5)
        spread = theta * (1 - theta)
        deviation = seen.x1 - safe * theta
        phi, kappa = self.quiet = self.fit(noise.CLEARING)
        expected = phi + kappa * safe
        credible = np.minimum(noise.SURPRISE, self.placebo[0] + noise.CLEARING.blocks + 2)
        u = np.minimum(deviation * deviation / (spread * safe), credible * expected)
        pace = np.where(self.degraded(seen), blame.ALARMED, 1.0)
        z = np.where(usable, np.copysign(np.sqrt(u / expected), deviation), 0.0)
        self.placebo += np.where(usable, np.stack([np.ones_like(x), safe, safe * safe, u, u * safe, z * z]), 0.0)
        partial, filled, grouped, groups = self.groups
        partial += z[:, None]
        filled += usable[:, None]
        full = filled >= np.array(noise.LEVELS)
        grouped += np.where(full, partial * partial, 0.0)
        groups += full
        partial[full], filled[full] = 0.0, 0.0
        if full[:, 0].any():
            expected = groups * np.array(noise.LEVELS) * (self.placebo[5] / np.maximum(self.placebo[0], 1.0))[:, None]
            usable_groups = (groups >= 4) & (expected > 0)
            excess = grouped / np.where(usable_groups, expected, 1.0) / (1 + np.sqrt(2 / np.maximum(groups, 1.0)))
            vr = np.maximum(np.where(usable_groups, excess, 1.0).max(axis=1), 1.0)
            self.vr = np.where(full[:, 0], vr, self.vr)
        self.fast = blame.FAST * self.fast + np.stack([seen.xc, seen.nc])
        kept, told = 1 - pace * (1 - blame.USUAL), seen.nc > 0
        renewed = np.stack(
            [kept * self.usual[0] + pace * seen.xc, kept * self.usual[1] + pace * seen.nc, self.usual[2] + 1]
        )
        self.usual = np.where(told, renewed, self.usual)

    def degraded(self, seen: _Seen) -> NDArray[np.bool_]:
        """`evidence.stable_degraded`, by the noise of before this scrape."""
        phi, kappa = self.quiet
        fast = blame.FAST * self.fast + np.stack([seen.xc, seen.nc])
        expected = fast[1] * self.usual[0] / np.maximum(self.usual[1], 1.0)
        limit = 1.5 * expected + 3 * np.sqrt((phi + kappa * expected) * expected) + 1
        worse: NDArray[np.bool_] = (self.usual[2] >= blame.LEARNT) & (fast[1] > 0) & (fast[0] > limit)
        return worse

    def forget_usual(self, changed: NDArray[np.bool_]) -> None:
        """A latency gate moved to another bound."""
        self.usual[:, changed], self.fast[:, changed] = 0.0, 0.0

    def weigh(self, seen: _Seen, spend: Array, *, opens: bool, fresh: bool) -> None:
        """`evidence.weigh`."""
        phi, kappa = self.fit(noise.REPLICAS)
        spend = np.minimum(spend, self.unspent)
        self.unspent -= spend
        self.bet += spend[:, None]
        self.ratio += spend[:, None]
        self.started = min(self.started + opens, selfnormalised.STARTS)
        if fresh:
            self.clear[:], self.clear_sums[:], self.log_clear[:] = 1.0, 0.0, 0.0
        trials = seen.xv + seen.xc
        ok = self.counts & (trials > 0) & (seen.nv > 0) & (seen.nc > 0)
        null = np.where(ok, seen.nv * seen.rho / np.where(ok, seen.nv * seen.rho + seen.nc, 1.0), 0.5)
        safe = np.where(ok, trials, 1.0)
        spread = phi + kappa * safe
        lasting = self.lasting()
        self._bet(seen.xv, safe, null, spread, lasting, ok)
        self.ratio = self._likelihood(self.ratio, seen.xv, safe, null, spread, lasting, ok)
        if self.clearing:
            phi_c, kappa_c = self.fit(noise.CLEARING)
            self.quiet = phi_c, kappa_c
            well = ~self.degraded(seen)
            quiet = phi_c + kappa_c * safe
            lasting = 1 + noise.CLEARING.excess * (self.vr - 1)
            self.clear = self._likelihood(self.clear, safe - seen.xv, safe, 1 - null, quiet, lasting, ok & well)
        variance = np.where(ok, trials * null * (1 - null), 0.0)
        counted = np.stack([np.where(ok, seen.xv - trials * null, 0.0), variance * spread, variance])
        told = (seen.nv > 0) & (seen.nc > 0)
        summed = np.where(told, np.stack([seen.contrast, seen.weight, seen.information]), 0.0)
        self.pool += np.where(self.counts, counted, summed)
        self._take_in_pool()
        bet, ratio = self.bet.mean(axis=1) + self.unspent, self.ratio.mean(axis=1) + self.unspent
        mixed = evidence.BET * bet + evidence.RATIO * ratio + evidence.SLOW_TEST * self.slow_test
        self.log_e = np.log(np.maximum(np.where(self.counts, mixed, self.slow_test), 1e-300))
        self.log_clear = np.where(self.counts, np.log(np.maximum(self.clear.mean(axis=1), 1e-300)), self.log_clear)

    def lasting(self) -> Array:
        """`Placebo.lasting`."""
        calm = (self.placebo[5] + noise.REPLICAS.blocks) / (self.placebo[0] + noise.REPLICAS.blocks)
        tempered: Array = np.maximum(self.vr * np.minimum(calm, 1.0), 1.0)
        return tempered

    def _bet(self, hits: Array, trials: Array, null: Array, spread: Array, vr: Array, ok: NDArray[np.bool_]) -> None:
        """`share.bet`."""
        odds = (null / (1 - null))[:, None] * self.ratios
        distance = odds / (1 + odds) - null[:, None]
        effective = trials / spread
        within, lasting = null * (1 - null) / effective, np.maximum(1 - 1 / effective, 0.0)
        stake = np.minimum(distance / (within[:, None] + lasting[:, None] * distance**2), 0.9 / null[:, None])
        factor = 1 + stake * (hits / trials - null)[:, None]
        factor = np.minimum(factor ** (1 / vr)[:, None], share.CAP)
        self.bet = np.minimum(np.where(ok[:, None], self.bet * factor, self.bet), share.MOST)

    def _likelihood(
        self, wealth: Array, hits: Array, trials: Array, null: Array, spread: Array, vr: Array, ok: NDArray[np.bool_]
    ) -> Array:
        """`share.likelihood`."""
        odds0 = (null / (1 - null))[:, None]
        scale = (1 / (spread * vr))[:, None]
        none = np.log1p(odds0) - np.log1p(odds0 * self.ratios)
        growth = scale * (hits[:, None] * self.logs + trials[:, None] * none)
        after = np.clip(wealth * np.exp(np.minimum(growth, share.LOG_CAP)), share.LEAST, share.MOST)
        return np.where(ok[:, None], after, wealth)

    def _take_in_pool(self) -> None:
        """`evidence._take_in_pool`."""
        contrast, variance, information = self.pool
        full = (information >= selfnormalised.ENOUGH) & (variance > 0)
        if not full.any():
            return
        squared = contrast**2 / np.where(full, variance, 1.0)
        scaled = np.where(self.counts, variance, variance * self.scale)
        renewed = (1 - evidence.SCALE_STEP) * self.scale + evidence.SCALE_STEP * squared
        self.scale = np.where(full & ~self.counts, np.where(self.scale == 0, squared, renewed), self.scale)
        scored = full & (scaled > 0)
        z = np.where(scored, contrast / np.sqrt(np.where(scored, scaled, 1.0)), 0.0)
        self.pool[:, information >= selfnormalised.ENOUGH] = 0.0
        self.totals[:, : self.started] += z[:, None]
        self.squares[:, : self.started] += (z * z)[:, None]
        values = _mixture(
            self.totals[:, : self.started], self.vr[:, None] * self.squares[:, : self.started], self.r[:, None]
        )
        weights = np.array([selfnormalised.FIRST, *[selfnormalised.OTHERS] * (selfnormalised.STARTS - 1)])
        rest = 1 - weights[: self.started].sum()
        slow_test = (weights[: self.started] * np.exp(np.minimum(values, 500.0))).sum(axis=1) + rest
        self.slow_test = np.where(scored, np.maximum(slow_test, 0.0), self.slow_test)
        self.clear_sums += np.where(self.counts, 0.0, np.stack([-z, z * z]))
        if self.clearing:
            lasting = 1 + noise.CLEARING.excess * (self.vr - 1)
            cleared = _mixture(self.clear_sums[0], lasting * self.clear_sums[1], self.r_clear)
            self.log_clear = np.where(scored & ~self.counts, cleared, self.log_clear)

    def total(self) -> Array:
        """`conviction.total` of each rollout."""
        each = self.log_e.reshape(self.rollouts, -1) + np.log(self.weights)
        together: Array = np.logaddexp.reduce(each, axis=1)
        return together

    def least_clear(self) -> Array:
        """The weakest case for the canary of each rollout."""
        least: Array = self.log_clear.reshape(self.rollouts, -1).min(axis=1)
        return least


def _mixture(total: Array, variance: Array, r: Array) -> Array:
    """`selfnormalised.log_mixture`."""
    v = variance + r
    value: Array = 0.5 * np.log(4 * r / v) + total * total / (2 * v) + log_ndtr(total / np.sqrt(v))
    return value
