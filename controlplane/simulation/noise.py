"""The weather of the virtual world: load, bursts, shared outages and slow wandering, as averages over any interval.

Used by `traffic.py`. Knows nothing of variants, gates or time of day, and draws only from the generator it is handed.
The profiles are those of the traffic model in `docs/simulate.md`: `iid` is independent requests at a constant rate,
`real` has what production traffic has (swings, clumps, noisy pods, outages of what both arms share), `harsh` has more.
"""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TrafficNoise:
    """How far traffic is from independent requests at a constant rate. Everything at zero is `iid`."""

    name: str
    swing: float = 0.0
    """Amplitude of the daily wave in the load: 0.35 swings between 65 % and 135 %."""
    bursts_per_hour: float = 0.0
    """Each lasts 30 to 150 s and adds 40 to 120 % of load."""
    outages_per_hour: float = 0.0
    """Each lasts 20 to 120 s and multiplies the errors of both arms by 3 to 15."""
    error_sd: float = 0.0
    """Log-noise of the error rate that both arms share, wandering with a time constant of 120 s."""
    pod_error_sd: float = 0.0
    """Log-noise of one pod's error rate."""
    pod_latency_sd: float = 0.0
    """Log-noise of one pod's latency."""
    pod_tau: float = 30.0
    """Time constant of one pod's noise in seconds."""
    error_clump: float = 1.0
    """Mean number of errors that come together (retries, one bad client)."""
    pause: float = 0.0
    """Chance that a pod spends five seconds with collector pauses, which hit 30 % of its requests."""
    kpi_sd: float = 0.0
    """Log-noise of the KPI that both arms share."""
    kpi_clump: float = 1.0
    """Mean number of conversions that come together."""


NOISES = {
    "iid": TrafficNoise("iid"),
    "real": TrafficNoise("real", 0.35, 3.0, 0.7, 0.3, 0.15, 0.03, 30.0, 2.0, 0.002, 0.10, 2.0),
    "harsh": TrafficNoise("harsh", 0.35, 3.0, 0.7, 0.5, 0.40, 0.08, 60.0, 4.0, 0.010, 0.10, 3.0),
}
SHARED_TAU = 120.0

HIGH_LOAD = 1.3
"""Load above which a flaw that shows only under load shows."""


class Wander:
    """Independent Ornstein-Uhlenbeck series, each with mean 0 and its own spread, read as averages over blocks of time.

    The average over a block and the value at its end are jointly Gaussian given the value at its start, so a block of
    five seconds and one of half an hour are both exact: long blocks are calmer, as they are in production.
    """

    def __init__(self, rng: Generator, sd: Floats, tau: Floats) -> None:
        self._rng = rng
        self._sd = sd
        self._tau = tau
        self._path: Floats = rng.standard_normal((1, len(sd)))
        self._coefficients: dict[float, tuple[Floats, ...]] = {}

    def ahead(self, seconds: float, blocks: int) -> Floats:
        """Multipliers of mean 1 for the next blocks of this length, shape (blocks, series). See `used`."""
        if not self._sd.any():
            return np.ones((blocks, len(self._sd)))
        decay, pull, noise, both, rest, shift = self._of(seconds)
        first, second = self._rng.standard_normal((2, blocks, len(self._sd)))
        path = np.empty((blocks + 1, len(self._sd)))
        path[0] = self._path[0]
        for k in range(blocks):
            path[k + 1] = decay * path[k] + noise * first[k]
        self._path = path
        factors: Floats = np.exp(self._sd * (pull * path[:-1] + both * first + rest * second) - shift)
        return factors

    def used(self, blocks: int) -> None:
        """Go on from the end of this many of the blocks that were looked ahead at; the others never happen."""
        self._path = self._path[min(blocks, len(self._path) - 1) :]

    def _of(self, dt: float) -> tuple[Floats, ...]:
        """Coefficients of a block of `dt` seconds, kept because a run has few distinct lengths."""
        if dt not in self._coefficients:
            u = dt / self._tau
            decay = np.exp(-u)
            noise = np.sqrt(1 - decay**2)
            both = (1 - decay) ** 2 / (u * noise)
            rest = np.sqrt(np.maximum((2 * u - 3 + 4 * decay - decay**2) / u**2 - both**2, 0.0))
            shift = self._sd**2 * (u - 1 + decay) / u**2
            self._coefficients[dt] = (decay, (1 - decay) / u, noise, both, rest, shift)
        return self._coefficients[dt]


@dataclass(frozen=True, slots=True)
class _Spell:
    begin: float
    end: float
    size: float


class Spells:
    """Things that come, last a while and go: bursts of load, outages. Drawn as time passes, the same at any pace."""

    def __init__(
        self, rng: Generator, per_hour: float, seconds: tuple[float, float], size: tuple[float, float]
    ) -> None:
        self._rng = rng
        self._per_hour = per_hour
        self._seconds = seconds
        self._size = size
        self._spells: deque[_Spell] = deque()
        self._drawn_until = 0.0

    def over(self, edges: Floats) -> tuple[Floats, Floats]:
        """Mean size over each block between two edges, and the share of it that some spell covers.

        The first edge never decreases from call to call.
        """
        size, covered = np.zeros((2, len(edges) - 1))
        if not self._per_hour:
            return size, covered
        while self._drawn_until < edges[-1]:
            self._draw()
        while self._spells and self._spells[0].end <= edges[0]:
            self._spells.popleft()
        for spell in self._spells:
            if spell.begin < edges[-1]:
                overlap = np.maximum(np.minimum(edges[1:], spell.end) - np.maximum(edges[:-1], spell.begin), 0.0)
                size += spell.size * overlap
                covered += overlap
        lengths = np.diff(edges)
        return size / lengths, np.minimum(covered / lengths, 1.0)

    def _draw(self) -> None:
        """The next spell: exponential gaps from start to start."""
        self._drawn_until += self._rng.exponential(3600 / self._per_hour)
        length = self._rng.uniform(*self._seconds)
        self._spells.append(_Spell(self._drawn_until, self._drawn_until + length, self._rng.uniform(*self._size)))


class LoadWave:
    """Requests a second as a multiple of the usual, averaged over an interval."""

    def __init__(self, rng: Generator, noise: TrafficNoise, period: float) -> None:
        self._swing = noise.swing
        self._period = period
        self._phase = rng.uniform(0, 2 * math.pi)
        self._bursts = Spells(rng, noise.bursts_per_hour, (30, 150), (0.4, 1.2))

    def over(self, edges: Floats) -> tuple[Floats, Floats]:
        """Mean load over each block between two edges, and the share of it in which the load is high."""
        angles = 2 * math.pi * edges / self._period + self._phase
        wave = 1 - self._swing * np.diff(np.cos(angles)) / np.diff(angles)
        burst, covered = self._bursts.over(edges)
        return wave + burst, np.where(wave > HIGH_LOAD, 1.0, covered)
