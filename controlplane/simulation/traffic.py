"""The traffic of the virtual world: requests, errors, answer times, tokens and KPI counts of every pod, block by block.

Called by `service.py`. The model is described in `docs/simulate.md`; every random number comes from the generator that
is handed in. A block is a stretch of time in which neither the weights nor the set of ready pods change; several blocks
are drawn at once, because numpy is quick with many numbers and slow with few. Knows neither scrapes nor verdicts.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from canary.weights import ARMS, Arm
from controlplane.simulation import shape
from controlplane.simulation.engine import SimulatedEngine
from controlplane.simulation.levels import Levels
from controlplane.simulation.noise import SHARED_TAU, LoadWave, Spells, TrafficNoise, Wander
from controlplane.simulation.regression import Regression

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]

PAUSE_SLOT = 5.0
"""Seconds in which a pod either has collector pauses or has none."""
GAPS_TIMED = 4
"""Gaps between tokens that are timed for each request; timing all of a long answer would only cost time."""
REQUESTS, ERRORS, RATED = 0, 1, 2
"""The first columns of every table of totals; of the rated requests KPIs are known."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The pods of both arms, as rows of every table."""

    pods: tuple[tuple[Arm, str], ...]

    @classmethod
    def of(cls, replicas: Mapping[Arm, int]) -> "Fleet":
        """So many pods an arm: `s-0`, `s-1`, … and `c-0`, …."""
        return cls(tuple((arm, f"{arm[0]}-{i}") for arm in ARMS for i in range(replicas[arm])))

    def rows(self, arm: Arm) -> slice:
        """An arm's rows."""
        first = next(i for i, (of, _) in enumerate(self.pods) if of == arm)
        return slice(first, first + sum(of == arm for of, _ in self.pods))


@dataclass(frozen=True, slots=True)
class Strain:
    """What the world does to the pods over some blocks, besides the weather and their own flaws."""

    ready: Flags
    """Which pods can serve; shape (pods,)."""
    errors: Floats
    """Factors on the error rate; shape (blocks, pods)."""
    latency: Floats
    """Factors on the answer times; shape (pods,)."""
    first_traffic: float | None
    """When the canary got its first request; its flaws count from there."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """What all pods did over some blocks running."""

    edges: Floats
    """Virtual seconds; block `k` lies between edges `k` and `k + 1`."""
    grown: Floats
    """By how much every running total grew; shape (blocks, pods, columns of `Traffic.columns`)."""
    load: Floats
    """Requests as a multiple of the usual; shape (blocks,)."""
    lost: Counts
    """Requests that were sent to an arm without a pod that can serve; shape (blocks,)."""


class Traffic:
    """One service's users."""

    def __init__(
        self,
        rng: Generator,
        noise: TrafficNoise,
        levels: Levels,
        fleet: Fleet,
        *,
        rps: float,
        rated: float = 1.0,
        flaw: Regression,
        period: float,
        leak: float,
    ) -> None:
        """`rated`: share of requests that KPIs are known of. `period`: seconds between two peaks of the load. `leak`:
        seconds until a growing flaw is full.
        """
        # each kind of weather has its own stream: load and outages are the same whatever the controller does
        skies, storms, winds, self._rng = rng.spawn(4)
        self.levels, self.fleet, self.flaw = levels, fleet, flaw
        stable = fleet.rows("stable")
        self.engine = SimulatedEngine(levels.engine, rps / (stable.stop - stable.start))
        self._noise, self._rps, self._rated, self._leak = noise, rps, rated, leak
        self._stable, self._canary = fleet.rows("stable"), fleet.rows("canary")
        self._load = LoadWave(skies, noise, period)
        self._outages = Spells(storms, noise.outages_per_hour, (20, 120), (2, 14))
        pods, kpis = len(fleet.pods), len(levels.kpis)
        shared = [noise.error_sd, *[noise.kpi_sd] * kpis]
        sd = [*shared, *[noise.pod_error_sd] * pods, *[noise.pod_latency_sd] * pods]
        tau = [*[SHARED_TAU] * len(shared), *[noise.pod_tau] * (2 * pods)]
        self._wander = Wander(winds, np.array(sd), np.array(tau))
        self._series = np.cumsum([1, kpis, pods])
        self._bounds = {name: np.log(np.array(b) / levels.times[name]) for name, b in levels.bounds.items()}
        self.columns = self._columns()
        self.width = max(columns.stop for columns in self.columns.values())

    def _columns(self) -> dict[str, slice]:
        """Which columns of a table of totals hold what. Histograms are cumulative, their last column is the total."""
        widths = {"requests": 1, "errors": 1, "rated": 1}
        widths |= {f"histogram/{name}": len(bounds) + 1 for name, bounds in self.levels.bounds.items()}
        widths |= {f"kpi/{name}": 1 for name in self.levels.kpis}
        widths |= {f"total/{name}": 1 for name in self.engine.totals}
        ends = np.cumsum(list(widths.values())).tolist()
        return {name: slice(end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}

    def draw(self, edges: Floats, share: float, strain: Strain) -> Blocks:
        """The blocks between these edges (evenly spaced), while the canary has this share. See `used`."""
        seconds, blocks = float(edges[1] - edges[0]), len(edges) - 1
        load, high = self._load.over(edges)
        outage, _ = self._outages.over(edges)
        common, kpi_mood, pod_errors, pod_times = np.split(self._wander.ahead(seconds, blocks), self._series, axis=1)
        requests, lost = self._requests(self._rps * seconds * load, share, strain.ready)
        errors = self._errors(requests, common * (1 + outage[:, None]) * pod_errors, edges, high, strain)
        busy = 1 + 0.25 * np.maximum(load - 1, 0.0) ** 1.5
        slowness = pod_times * busy[:, None] * strain.latency
        slowness[:, self._canary] *= self.flaw.latency
        grown = np.empty((*requests.shape, self.width))
        grown[..., REQUESTS], grown[..., ERRORS] = requests, errors
        self._fill_times(grown, requests, slowness, seconds)
        grown[..., RATED], sessions = requests, requests - errors
        if self._rated < 1:
            grown[..., RATED] = self._rng.binomial(requests, self._rated)
            sessions = np.minimum(sessions, grown[..., RATED].astype(np.int64))
        self._fill_kpis(grown, sessions, kpi_mood)
        up: Floats = np.where(strain.ready, seconds, 0.0)
        for name, more in self.engine.increments(self._rng, requests, errors, slowness, up).items():
            grown[..., self.columns[f"total/{name}"].start] = more
        return Blocks(edges, grown, load, lost)

    def used(self, blocks: int) -> None:
        """Only this many of the blocks drawn last have happened; the weather goes on from there."""
        self._wander.used(blocks)

    def _requests(self, expected: Floats, share: float, ready: Flags) -> tuple[Counts, Counts]:
        """Requests of each pod and block. An arm without a ready pod fails what it is sent, at its first pod."""
        total = self._rng.poisson(expected)
        canary = self._rng.binomial(total, share)
        requests = np.zeros((len(total), len(ready)), dtype=np.int64)
        lost = np.zeros(len(total), dtype=np.int64)
        for rows, count in ((self._stable, total - canary), (self._canary, canary)):
            serving = ready[rows]
            if serving.any():
                requests[:, rows] = self._rng.multinomial(count, serving / serving.sum())
            else:
                requests[:, rows.start] = count
                lost += count
        return requests, lost

    def _errors(self, requests: Counts, weather: Floats, edges: Floats, high: Floats, strain: Strain) -> Counts:
        """Errors of each pod and block; whatever reaches a pod that cannot serve fails."""
        rates = self.levels.errors * weather * strain.errors
        if strain.first_traffic is not None:
            rates[:, self._canary] *= self.flaw.over(edges - strain.first_traffic, high, self._leak)[:, None]
        errors = self._clumped(requests, np.minimum(rates, 0.98), self._noise.error_clump)
        return np.where(strain.ready, errors, requests)

    def _clumped(self, n: Counts, rates: Floats, clump: float) -> Counts:
        """Counts with mean n x rate that come in geometric clumps of this mean size; 1 is independent."""
        if clump <= 1:
            return self._rng.binomial(n, rates)
        clumps = self._rng.poisson(n * rates / clump)
        more = self._rng.negative_binomial(np.maximum(clumps, 1), 1 / clump)
        return np.minimum(clumps + np.where(clumps > 0, more, 0), n)

    def _fill_times(self, grown: Floats, requests: Counts, slowness: Floats, seconds: float) -> None:
        """Every histogram's cumulative counts."""
        slots = max(round(seconds / PAUSE_SLOT), 1)
        pauses = self._rng.binomial(slots, self._noise.pause, requests.shape) if self._noise.pause else 0.0
        paused = (pauses * np.full(requests.shape, shape.PAUSE_HITS / slots))[..., None]
        tails = np.zeros((requests.shape[1], 1))
        tails[self._canary] = math.log(self.flaw.tail)
        scale = np.log(slowness)[..., None]
        for name, logs in self._bounds.items():
            below = shape.shares_below(logs - scale, tails, paused)
            shares = np.diff(below, axis=-1, prepend=0.0, append=1.0)
            timed = requests * GAPS_TIMED if name == "itl" else requests
            counts = self._rng.multinomial(timed, np.maximum(shares, 0.0))
            grown[..., self.columns[f"histogram/{name}"]] = np.cumsum(counts, axis=-1)

    def _fill_kpis(self, grown: Floats, sessions: Counts, moods: Floats) -> None:
        """Events or amounts of every KPI; a flaw lowers what should be high and raises what should be low."""
        for (name, level), mood in zip(self.levels.kpis.items(), moods.T, strict=True):
            rates = np.repeat(level * mood[:, None], sessions.shape[1], axis=1)
            rates[:, self._canary] *= 1 / self.flaw.kpi if name in self.levels.better_low else self.flaw.kpi
            if level <= 1:
                events = self._clumped(sessions, np.minimum(rates, 0.98), self._noise.kpi_clump)
            else:
                spread = self._rng.standard_normal(sessions.shape) * np.sqrt(sessions * self._noise.kpi_clump)
                events = np.maximum(sessions + spread, 0.0) * rates
            grown[..., self.columns[f"kpi/{name}"].start] = events
