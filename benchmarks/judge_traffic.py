"""Traffic to judge: one service with a canary, drawn at random with the noise of real ones, scrape by scrape.

Used by `judge.py`. Each rollout is arrays over scrapes of 5 s: requests, errors, latency buckets and conversions of the
canary and of stable in two halves. The features that make naive tests fail are in it on purpose: load that moves with
the day and bursts, outages that hit both arms, errors in clumps, replicas that differ for minutes, pauses of single
replicas. `iid` has none of it. The generator is ours, so it is the home ground of the judge; see `docs/judge.md`.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.special import ndtr

Array = NDArray[np.float64]
SCRAPE = 5.0
PODS = 20
HISTORY = 4 * 3600.0
BOUNDS = (.005, .01, .025, .04, .05, .06, .075, .1, .15, .2, .25, .3, .4, .5, 1.0, 2.5, 5.0, 10.0)  # fmt: skip
"""Upper bounds of the latency buckets in seconds; the last, +Inf, is implied."""
ERRORS, CONVERSION = 0.005, 0.2
FAST = (0.97, 0.060, 0.45)
SLOW = (0.03, 0.220, 0.70)
"""Share, median (s) and log-sd of the two kinds of answers: p99 is about 300 ms."""


@dataclass(frozen=True)
class Profile:
    """How noisy the world is."""

    name: str
    load: bool = True
    common: float = 0.3
    """Log-sd of the error rate that both arms share, over about two minutes."""
    outages: float = 0.7
    """Shared outages an hour."""
    pods: float = 0.15
    pods_seconds: float = 30.0
    """Log-sd of one replica's error rate, and for how long it lasts."""
    clump: float = 2.0
    """Mean number of errors that come together."""
    latency_pods: float = 0.03
    pauses: float = 0.002
    """Chance that a replica pauses within a scrape: 30 % of its requests then take about 400 ms."""
    kpi: float = 0.1
    kpi_clump: int = 2
    """So many requests convert together or not at all."""


IID = Profile("iid", load=False, common=0, outages=0, pods=0, clump=1, latency_pods=0, pauses=0, kpi=0, kpi_clump=1)
REAL = Profile("real")
HARSH = replace(
    REAL,
    name="harsh",
    common=0.5,
    pods=0.40,
    pods_seconds=60.0,
    clump=4.0,
    latency_pods=0.08,
    pauses=0.01,
    kpi_clump=3,
)
HELD_OUT = replace(REAL, name="held-out", pods=0.25, pods_seconds=90.0, clump=3.0, pauses=0.005)
PROFILES = {profile.name: profile for profile in (IID, REAL, HARSH, HELD_OUT)}
STAGES = ((0.05, 1800.0), (0.25, 5400.0), (0.75, 7200.0))
REGRESSIONS = ("err20", "err2", "lat20", "tail25", "leak", "load", "interm", "kpi5")


@dataclass(frozen=True)
class Rollout:
    """One rollout, scrape by scrape. Counts have shape (scrapes,), histograms (scrapes, 19), all per scrape."""

    t: Array
    """End of each scrape; below 0 it is history, from before the canary had traffic."""
    stage: NDArray[np.int64]
    share: Array
    requests: Array
    errors: Array
    slow: Array
    conversions: Array
    """First axis: canary, first half of stable, second half of stable. `slow` is cumulative by bound."""


def draw(
    rng: np.random.Generator,
    profile: Profile,
    *,
    rps: float = 200.0,
    harm: str = "",
    factor: float = 1.0,
    stages: tuple[tuple[float, float], ...] = STAGES,
    history: float = HISTORY,
    scrape: float = SCRAPE,
    latency: bool = True,
) -> Rollout:
    """One rollout. `harm` is a regression's name, or `errors`, `latency`, `kpi` with a `factor` for margins.

    Without `latency` the histograms stay empty, which is most of the time saved.
    """
    t = np.arange(-history, sum(hold for _, hold in stages), scrape) + scrape
    ends = np.cumsum([hold for _, hold in stages])
    stage = np.where(t > 0, np.searchsorted(ends, np.clip(t, scrape, None) - 1e-9), 0)
    share = np.where(t > 0, np.array([weight for weight, _ in stages])[stage], 0.0)
    load = _load(rng, t) if profile.load else np.ones_like(t)
    total = rng.poisson(rps * scrape * load)
    canary = rng.binomial(total, share)
    first = rng.binomial(total - canary, 0.5)
    requests = np.stack([canary, first, total - canary - first]).astype(float)
    pods = np.stack([np.maximum(np.round(PODS * share), 1), *[np.maximum(np.round(PODS * (1 - share) / 2), 1)] * 2])
    hurt = _harm(harm, factor, t, load)
    return Rollout(
        t,
        stage,
        share,
        requests,
        _errors(rng, profile, requests, pods, t, hurt["errors"]),
        _latency(rng, profile, requests, pods, load, hurt["latency"], hurt["tail"])
        if latency
        else np.zeros((3, len(t), 0)),
        _conversions(rng, profile, requests, hurt["kpi"]),
    )


def _harm(name: str, factor: float, t: Array, load: Array) -> dict[str, Array]:
    """What is wrong with the canary at each scrape, as factors."""
    none = {key: np.ones_like(t) for key in ("errors", "latency", "tail", "kpi")}
    by_name: dict[str, tuple[str, float | Array]] = {
        "err20": ("errors", 20.0),
        "err2": ("errors", 2.0),
        "lat20": ("latency", 1.2),
        "tail25": ("tail", 1.25),
        "leak": ("errors", 1 + 3 * np.clip(t / 7200.0, 0, 1)),
        "load": ("errors", np.where(load > 1.3, 3.0, 1.0)),
        "interm": ("errors", np.where((t - SCRAPE) % 180.0 < 20.0, 5.0, 1.0)),
        "kpi5": ("kpi", 0.95),
        "errors": ("errors", factor),
        "latency": ("latency", factor),
        "kpi": ("kpi", factor),
        "": ("errors", 1.0),
    }
    what, size = by_name[name]
    return none | {what: size * np.ones_like(t)}


def _autoregressive(rng: np.random.Generator, n: int, sd: float, seconds: float, scrape: float) -> Array:
    """A stationary AR(1) series with mean 0."""
    if sd == 0:
        return np.zeros(n)
    keep = float(np.exp(-scrape / seconds))
    steps = rng.normal(0, sd * np.sqrt(1 - keep * keep), n)
    steps[0] = rng.normal(0, sd)
    series: Array = lfilter([1.0], [1.0, -keep], steps)
    return series


def _spells(
    rng: np.random.Generator, t: Array, an_hour: float, length: tuple[float, float], size: tuple[float, float]
) -> Array:
    """Factor 1, but during spells: so many an hour, each with a length and a factor drawn evenly."""
    factor = np.ones_like(t)
    hours = (t[-1] - t[0]) / 3600
    for begin in rng.uniform(t[0], t[-1], rng.poisson(an_hour * hours)):
        inside = (t >= begin) & (t < begin + rng.uniform(*length))
        factor[inside] *= rng.uniform(*size)
    return factor


def _load(rng: np.random.Generator, t: Array) -> Array:
    """Load over its mean: a wave of six hours, and bursts."""
    wave = 1 + 0.35 * np.sin(2 * np.pi * (t / 21600.0 + rng.uniform()))
    return wave * _spells(rng, t, 3.0, (30.0, 150.0), (1.4, 2.2))


def _errors(rng: np.random.Generator, profile: Profile, requests: Array, pods: Array, t: Array, factor: Array) -> Array:
    """Errors of the three groups, in clumps of geometric size."""
    n, scrape = len(t), float(t[1] - t[0])
    common = ERRORS * np.exp(_autoregressive(rng, n, profile.common, 120.0, scrape))
    if profile.outages:
        common = common * _spells(rng, t, profile.outages, (20.0, 120.0), (3.0, 15.0))
    errors = np.empty_like(requests)
    for group in range(3):
        own = np.exp(_autoregressive(rng, n, profile.pods, profile.pods_seconds, scrape) / np.sqrt(pods[group]))
        mean = requests[group] * np.minimum(common * own * (factor if group == 0 else 1.0), 0.9)
        clumps = rng.poisson(mean / profile.clump)
        extra = rng.negative_binomial(np.maximum(clumps, 1), 1 / profile.clump) if profile.clump > 1 else 0
        errors[group] = np.minimum(np.where(clumps > 0, clumps + extra, 0), requests[group])
    return errors


def _latency(
    rng: np.random.Generator, profile: Profile, requests: Array, pods: Array, load: Array, slower: Array, tail: Array
) -> Array:
    """Cumulative latency buckets of the three groups."""
    n = len(load)
    queueing = 1 + 0.25 * np.clip(load - 1, 0, None) ** 1.5
    edges = np.array(BOUNDS)
    cumulative = np.empty((3, n, len(BOUNDS) + 1))
    for group in range(3):
        own = np.exp(_autoregressive(rng, n, profile.latency_pods, profile.pods_seconds, SCRAPE) / np.sqrt(pods[group]))
        scale = queueing * own * (slower if group == 0 else 1.0)
        below = np.zeros((n, len(BOUNDS)))
        for (share, median, sd), stretch in ((FAST, 1.0), (SLOW, tail if group == 0 else 1.0)):
            middle = median * scale * stretch
            below += share * ndtr(np.log(edges / middle[:, None]) / sd)
        paused = (
            0.3 * rng.binomial(pods[group].astype(int), profile.pauses) / pods[group] if profile.pauses else np.zeros(n)
        )
        pause = 0.4 * (slower if group == 0 else np.ones(n))
        below = (1 - paused)[:, None] * below + paused[:, None] * ndtr(np.log(edges / pause[:, None]) / 0.2)
        chances = np.diff(below, axis=1, prepend=0.0, append=1.0)
        cumulative[group] = rng.multinomial(requests[group].astype(int), chances).cumsum(axis=1)
    return cumulative


def _conversions(rng: np.random.Generator, profile: Profile, requests: Array, factor: Array) -> Array:
    """Conversions of the three groups, in clumps of requests that share their fate; requests are their denominator."""
    common = CONVERSION * np.exp(_autoregressive(rng, requests.shape[1], profile.kpi, 120.0, SCRAPE))
    conversions = np.empty_like(requests)
    for group in range(3):
        chance = np.minimum(common * (factor if group == 0 else 1.0), 1.0)
        crowds, alone = np.divmod(requests[group].astype(int), profile.kpi_clump)
        conversions[group] = profile.kpi_clump * rng.binomial(crowds, chance) + rng.binomial(alone, chance)
    return conversions
