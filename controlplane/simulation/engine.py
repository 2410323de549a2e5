"""What a model server counts of itself: tokens, finish reasons, preemptions, money, memory.

Used by `service.py` for plans that have gates on them; others do without. Levels come from `levels.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from controlplane.simulation.levels import USUAL_ENGINE

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

GAUGES = ("kv_cache_usage", "gpu_memory")
ALWAYS = ("finished", "generation_tokens", "decode_seconds", "preemptions", "dollars", "replica_seconds")


@dataclass(frozen=True, slots=True)
class SimulatedEngine:
    """One kind of model server."""

    asked: Mapping[str, float]
    """Healthy levels of the metrics that the plan asks for, by metric."""
    load: float = 1.0
    """Requests a second that each of stable's replicas has while it has all of them: what a second of one is worth."""

    @property
    def totals(self) -> tuple[str, ...]:
        """Names of its running totals; none when nothing is asked."""
        reasons = tuple(name for name in self.asked if name.startswith("finish_reason/"))
        return (*ALWAYS, *reasons) if self.asked else ()

    def increments(
        self, rng: Generator, requests: Counts, errors: Counts, slowness: Floats, up: Floats
    ) -> dict[str, Floats]:
        """What its running totals grow by, by total. All arrays have the shape of `requests`.

        `up`: seconds for which each replica is paid in a block; shape (pods,).
        """
        if not self.asked:
            return {}
        finished = requests - errors
        tokens = _about(rng, finished, self._level("tokens_per_answer"))
        dollars = self._level("cost_per_1k_requests") / 1e3
        if "cost_per_1m_tokens" in self.asked and "cost_per_1k_requests" not in self.asked:
            dollars = self.asked["cost_per_1m_tokens"] / 1e6 * self._level("tokens_per_answer")
        grown = {
            "finished": finished.astype(float),
            "generation_tokens": tokens,
            "decode_seconds": tokens / self._level("tokens_per_second") * slowness,
            "preemptions": rng.poisson(requests * self._level("preemptions")).astype(float),
            "dollars": np.broadcast_to(up * self.load * dollars, requests.shape),
            "replica_seconds": np.broadcast_to(up, requests.shape),
        }
        for name in self.totals[len(ALWAYS) :]:
            grown[name] = rng.binomial(finished, min(self._level(name), 1.0)).astype(float)
        return grown

    def gauges(self, load: float) -> dict[str, float]:
        """Momentary values at this load."""
        return {name: min(self.asked[name] * load**0.5, 1.0) for name in GAUGES if name in self.asked}

    def _level(self, metric: str) -> float:
        return self.asked.get(metric, USUAL_ENGINE[metric])


def _about(rng: Generator, count: Counts, level: float) -> Floats:
    """Sums of `count` amounts whose mean is `level` and whose spread is half of it."""
    sums: Floats = np.maximum((count + 0.5 * np.sqrt(count) * rng.standard_normal(count.shape)) * level, 0.0)
    return sums
