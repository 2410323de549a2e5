"""Answers to user-written PromQL: what it would say of the virtual service, over a window or since the beginning.

Used by `ports.py` at every scrape, for plans whose gates bring PromQL. Its text is not interpreted: a query is taken to
ask for its gate's metric, over its gate's window, for each arm; a pair of counters to count its gate's KPI and the
requests of which that is known, in a job that never starts again, from each arm's first one on.
"""

import math
from bisect import bisect_right
from collections import deque

import numpy as np
from numpy.typing import NDArray

from canary.spec.models import Gate
from canary.weights import ARMS, Arm
from controlplane.simulation.traffic import ERRORS, RATED, REQUESTS, Traffic

Floats = NDArray[np.float64]
Counted = dict[str, dict[Arm, dict[str, float]]]
USUAL_WINDOW = 300.0


class Windows:
    """Remembers the arms' totals for as long as the longest window."""

    def __init__(self, traffic: Traffic) -> None:
        self._gates = traffic.levels.queries
        self._counters = traffic.levels.counters
        self._columns = traffic.columns
        self._bounds = traffic.levels.bounds
        self._kept: deque[tuple[float, dict[Arm, Floats]]] = deque()
        self._longest = max((_window(gate) for gate in self._gates), default=0.0)

    def read(self, t: float, arms: dict[Arm, Floats]) -> dict[str, dict[Arm, float]]:
        """The answers at `t`, by gate and arm; an arm without requests in the window has none.

        `arms`: totals of each arm since the world began, restarts or not.
        """
        if not self._gates:
            return {}
        self._kept.append((t, {arm: totals.copy() for arm, totals in arms.items()}))
        while len(self._kept) > 2 and self._kept[1][0] <= t - self._longest:
            self._kept.popleft()
        times = [at for at, _ in self._kept]
        answers: dict[str, dict[Arm, float]] = {}
        for gate in self._gates:
            then = self._kept[max(bisect_right(times, t - _window(gate)) - 1, 0)][1]
            values = {arm: self._value(gate, arms[arm] - then[arm]) for arm in ARMS}
            answers[gate.text] = {arm: value for arm, value in values.items() if not math.isnan(value)}
        return answers

    def counted(self, arms: dict[Arm, Floats]) -> Counted:
        """Counters that gates name, as `Counters.counted` has them."""
        return {
            gate.text: {
                arm: {"events 0": float(totals[self._columns[gate.metric].start]), "of 0": float(totals[RATED])}
                for arm, totals in arms.items()
                if totals[RATED]
            }
            for gate in self._counters
        }

    def _value(self, gate: Gate, grown: Floats) -> float:
        """The gate's metric over what grew in the window; NaN without requests."""
        if not grown[REQUESTS]:
            return math.nan
        if gate.metric in self._columns:
            known = grown[RATED]
            return float(grown[self._columns[gate.metric].start] / known) if known else math.nan
        if gate.metric in self._bounds:
            return self._quantile(gate, grown[self._columns[f"histogram/{gate.metric}"]])
        return float(grown[ERRORS] / grown[REQUESTS]) if gate.metric == "error_rate" else math.nan

    def _quantile(self, gate: Gate, cumulative: Floats) -> float:
        """Like `histogram_quantile`: straight lines between bounds, the highest bound for whatever lies above it."""
        bounds = np.array([0.0, *self._bounds[gate.metric]])
        wanted = (gate.quantile or 0.5) * cumulative[-1]
        return float(np.interp(wanted, np.concatenate(([0.0], cumulative[:-1])), bounds))


def _window(gate: Gate) -> float:
    return gate.window or USUAL_WINDOW
