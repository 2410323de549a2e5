"""What other tools would have done with the same traffic: their documented rules, as exactly as can be.

Used by `judge.py`. Each rule gives a statistic that only grows, with the times when it grew, and the threshold at which
its tool rolls back; so every rule can also be re-tuned to a false-rollback rate. Sources of the rules: Flagger's
`scheduler.go`, Argo Rollouts' `analysis.go`, Kayenta's `NetflixACAJudge` and `MannWhitneyClassifier`, and the papers
named in `docs/judge.md`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln
from scipy.stats import norm

from benchmarks.judge_traffic import BOUNDS, CONVERSION, SCRAPE, Rollout

Array = NDArray[np.float64]
MINUTE = round(60 / SCRAPE)
P99 = 0.301
"""Stable's usual p99 in seconds, as an operator would know it."""
ERRORS = 0.005


@dataclass(frozen=True)
class Course:
    """A rule's statistic over time; it rolls back at the first moment when the statistic reaches the threshold."""

    t: Array
    statistic: Array

    def rolled_back(self, threshold: float) -> float:
        """When, in seconds of first traffic; infinite if never."""
        beyond = self.statistic >= threshold
        return float(self.t[beyond.argmax()]) if beyond.any() else math.inf

    @property
    def highest(self) -> float:
        """The largest value it came to."""
        return float(self.statistic.max(initial=-math.inf))


@dataclass(frozen=True)
class Minutes:
    """A rollout in minutes: shape (2, minutes), canary and stable; buckets (2, minutes, 19)."""

    t: Array
    stage: NDArray[np.int64]
    share: Array
    requests: Array
    errors: Array
    conversions: Array
    slow: Array
    tail: Array
    """Requests beyond the bound that stable's history exceeds nearest to 1 %."""


def minutes(drawn: Rollout) -> Minutes:
    """Sum a rollout up by the minute, both halves of stable together."""
    live = drawn.t > 0
    history = drawn.slow[1:, ~live].sum(axis=(0, 1))
    beyond = 1 - history / history[-1]
    bound = int(np.argmin(np.abs(np.log(np.maximum(beyond[:-1], 1e-9)) - math.log(0.01))))

    def arms(values: Array) -> Array:
        both = np.stack([values[0], values[1] + values[2]])[:, live]
        summed: Array = both.reshape(2, -1, MINUTE, *both.shape[2:]).sum(axis=2)
        return summed

    slow, requests = arms(drawn.slow), arms(drawn.requests)
    return Minutes(
        drawn.t[live][MINUTE - 1 :: MINUTE],
        drawn.stage[live][MINUTE - 1 :: MINUTE],
        drawn.share[live][MINUTE - 1 :: MINUTE],
        requests,
        arms(drawn.errors),
        arms(drawn.conversions),
        slow,
        slow[..., -1] - slow[..., bound],
    )


def flagger(m: Minutes, *, errors: float, p99: float, kpi: float = 0.0) -> Course:
    """Fixed limits on the canary's last minute (KPI: last half hour); failed checks are counted and never forgiven."""
    rate = m.errors[0] / np.maximum(m.requests[0], 1)
    bad = (rate > errors) | (_p99(m.slow[0]) > p99) | (m.requests[0] == 0)
    if kpi:
        bad |= _window(m.conversions[0], 30) < kpi * CONVERSION * _window(m.requests[0], 30)
    return Course(m.t, np.cumsum(bad).astype(float))


def argo(m: Minutes, *, errors: float, p99: float, kpi: float) -> Course:
    """Ratios of canary to stable over five minutes (KPI: half an hour), measured every five; failures are counted."""
    look = np.arange(4, len(m.t), 5)
    rates = _window(m.errors, 5) / np.maximum(_window(m.requests, 5), 1)
    tails = _p99(_window(m.slow, 5))
    sales = _window(m.conversions, 30) / np.maximum(_window(m.requests, 30), 1)
    bad = (rates[0] > errors * rates[1]) | (tails[0] > p99 * tails[1]) | (sales[0] < kpi * sales[1])
    return Course(m.t[look], np.cumsum(bad[look]).astype(float))


def kayenta(m: Minutes, *, least: int = 0) -> Course:
    """Mann-Whitney on per-minute points of this stage (at most 60), every ten minutes; any metric High fails it."""
    with np.errstate(invalid="ignore", divide="ignore"):
        metrics = (m.errors / m.requests, _p99(m.slow), -(m.conversions / m.requests))
    look = np.arange(9, len(m.t), 10)
    failures = np.zeros(len(look))
    for i, end in enumerate(look.tolist()):
        begin = max(int(np.argmax(m.stage == m.stage[end])), end - 59)
        if end + 1 - begin >= least:
            failures[i] = any(_high(points[:, begin : end + 1]) for points in metrics)
    return Course(m.t[look], np.cumsum(failures))


def _high(points: Array) -> bool:
    """Whether the canary's points lie clearly higher: 98 % interval of the shift beyond a quarter of its estimate."""
    canary, stable = (each[np.isfinite(each)] for each in points)
    a, b = len(canary), len(stable)
    lower = math.floor(a * b / 2 - 2.326 * math.sqrt(a * b * (a + b + 1) / 12))
    if a == 0 or b == 0 or lower < 0:
        return False
    differences = np.sort(np.subtract.outer(canary, stable), axis=None)
    return bool(differences[lower] > 0.25 * abs(np.median(differences)) and canary.mean() >= stable.mean())


def peeking_z(m: Minutes) -> Course:
    """Two-proportion z on counts pooled since the start, looked at every minute."""
    return Course(m.t, np.maximum.accumulate(_z(m).max(axis=0)))


def stage_end_z(m: Minutes) -> Course:
    """The same, looked at three times only."""
    ends = np.append(np.flatnonzero(np.diff(m.stage)), len(m.t) - 1)
    return Course(m.t[ends], np.maximum.accumulate(_z(m)[:, ends].max(axis=0)))


def mixture_sprt(m: Minutes) -> Course:
    """Mixture SPRT on the same pooled contrasts; the mixing width is the effect looked for (x2, x2, 5 %)."""
    best = np.full(len(m.t), -math.inf)
    for (difference, variance, base), effect in zip(_contrasts(m), (1.0, 1.0, 0.05), strict=True):
        tau = (effect * base) ** 2
        log_ratio = 0.5 * np.log(variance / (variance + tau)) + difference**2 * tau / (2 * variance * (variance + tau))
        best = np.maximum(best, np.where(difference > 0, log_ratio, 0.0))
    return Course(m.t, np.maximum.accumulate(best))


def request_level(m: Minutes) -> Course:
    """Anytime-valid tests of single requests: conditional counts for errors and KPI, uniform bands for latency.

    The statistic is log(1/level) at which the first of the three would reject (Lindon and Malek 2022; Howard and Ramdas
    2022).
    """
    counts = [_conditional(m.errors, m), _conditional(m.conversions, m, fewer=True)]
    return Course(m.t, np.maximum.accumulate(np.maximum.reduce([*counts, _bands(m)])))


def _conditional(events: Array, m: Minutes, *, fewer: bool = False) -> Array:
    """Dirichlet-multinomial evidence that events do not fall on the arms by their share, in the harmful direction."""
    total, log_e = np.zeros(len(m.t)), 0.0
    for stage in np.unique(m.stage):
        here = np.flatnonzero(m.stage == stage)
        share = m.share[here[0]]
        mine, theirs = np.cumsum(events[0, here]), np.cumsum(events[1, here])
        a, b = 100 * share, 100 * (1 - share)
        grown = betaln(a + mine, b + theirs) - betaln(a, b) - mine * math.log(share) - theirs * math.log(1 - share)
        harmful = (mine < share * (mine + theirs)) if fewer else (mine > share * (mine + theirs))
        total[here] = np.where(harmful, log_e + grown, 0.0)
        log_e += float(grown[-1])
    return total


def _bands(m: Minutes) -> Array:
    """log(1/level) at which time-uniform bands around the two distribution functions part."""
    slow = m.slow.cumsum(axis=1)
    n = np.maximum(slow[..., -1], 3.0)
    gap = (slow[1] / n[1][:, None] - slow[0] / n[0][:, None]).max(axis=1)
    low, high = np.zeros(len(m.t)), np.full(len(m.t), 5000.0)
    for _ in range(40):
        middle = (low + high) / 2
        radius = sum(
            0.85 * np.sqrt((np.log(np.log(math.e * each)) + 0.8 * (math.log(3224) + middle)) / each) for each in n
        )
        low, high = np.where(gap > radius, middle, low), np.where(gap > radius, high, middle)
    return np.where(low > 1e-3, low, 0.0)


def _contrasts(m: Minutes) -> list[tuple[Array, Array, Array]]:
    """Pooled differences of shares, harmful direction positive, with variance and base: errors, slow, lost sales."""
    n = m.requests.cumsum(axis=1)
    found = []
    for events, sign in ((m.errors, 1), (m.tail, 1), (m.conversions, -1)):
        x = events.cumsum(axis=1)
        base = np.clip(x.sum(axis=0) / n.sum(axis=0), 1e-9, 1 - 1e-9)
        difference = sign * (x[0] / np.maximum(n[0], 1) - x[1] / np.maximum(n[1], 1))
        found.append((difference, base * (1 - base) * (1 / np.maximum(n[0], 1) + 1 / np.maximum(n[1], 1)), base))
    return found


def _z(m: Minutes) -> Array:
    """The z of the three pooled contrasts."""
    return np.stack([difference / np.sqrt(variance) for difference, variance, _ in _contrasts(m)])


def _window(values: Array, length: int) -> Array:
    """Sums over the last so many minutes, along the axis of minutes."""
    axis = 1 if values.ndim > 1 else 0
    total = values.cumsum(axis=axis)
    earlier = np.zeros_like(total)
    if axis:
        earlier[:, length:] = total[:, :-length]
    else:
        earlier[length:] = total[:-length]
    window: Array = total - earlier
    return window


def _p99(cumulative: Array) -> Array:
    """`histogram_quantile(0.99)`: straight lines within buckets; the last bound where it lies beyond."""
    edges = np.array([0.0, *BOUNDS])
    counts = np.concatenate([np.zeros((*cumulative.shape[:-1], 1)), cumulative], axis=-1)
    wanted = 0.99 * cumulative[..., -1:]
    index = (cumulative < wanted).sum(axis=-1)
    inside = np.minimum(index, len(BOUNDS) - 1)
    low = np.take_along_axis(counts, inside[..., None], axis=-1)[..., 0]
    high = np.take_along_axis(counts, inside[..., None] + 1, axis=-1)[..., 0]
    part = (wanted[..., 0] - low) / np.maximum(high - low, 1e-9)
    value: Array = np.where(
        index >= len(BOUNDS), BOUNDS[-1], edges[inside] + part * (edges[inside + 1] - edges[inside])
    )
    return value


RULES: dict[str, tuple[Callable[[Minutes], Course], float]] = {
    "Flagger, limits of its docs, 5 failures": (lambda m: flagger(m, errors=0.01, p99=0.5), 5),
    "Flagger, 1.5x what is usual, 5 failures": (lambda m: flagger(m, errors=1.5 * ERRORS, p99=1.15 * P99, kpi=0.97), 5),
    "Flagger, 3x what is usual, 5 failures": (lambda m: flagger(m, errors=3 * ERRORS, p99=1.5 * P99, kpi=0.94), 5),
    "Argo 1.2x / 1.1x": (lambda m: argo(m, errors=1.2, p99=1.1, kpi=0.97), 4),
    "Argo 1.5x / 1.2x": (lambda m: argo(m, errors=1.5, p99=1.2, kpi=0.97), 4),
    "Argo 2x / 1.5x": (lambda m: argo(m, errors=2.0, p99=1.5, kpi=0.95), 4),
    "Argo 3x / 2x": (lambda m: argo(m, errors=3.0, p99=2.0, kpi=0.90), 4),
    "Kayenta every 10 min": (kayenta, 1),
    "Kayenta, 50 points or more": (lambda m: kayenta(m, least=50), 1),
    "z, peeking every minute": (peeking_z, float(norm.ppf(0.99))),
    "z at stage ends, Bonferroni": (stage_end_z, float(norm.ppf(1 - 0.05 / 9))),
    "mSPRT, pooled": (mixture_sprt, math.log(3 / 0.05)),
    "request-level anytime-valid": (request_level, math.log(3 / 0.05)),
}
"""By name: the rule, and the threshold at which its tool rolls back."""
