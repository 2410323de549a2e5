"""The service of the virtual world: both arms' pods, their readiness and their running totals, as time passes.

Owned by `world.py`, whose ports read and change it. Time moves on in `flow`; a block of traffic never spans a change of
weights or of the set of ready pods, so every request is counted under the weights that it really met.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from canary.snapshot import PodCounters
from canary.weights import ARMS, Arm
from controlplane.simulation.faults import Faults, Timeline
from controlplane.simulation.traffic import ERRORS, RATED, REQUESTS, Blocks, Strain, Traffic

Floats = NDArray[np.float64]

OUTAGE_FACTOR = 20.0
STABLE_FAILS = 0.10
CRASH_AFTER, CRASH_BACK = 20.0, 10.0
"""A crashing replica serves this long, and is gone this long."""
USUAL_START = (12.0, 18.0)
MOST_AHEAD = 64
"""Blocks drawn at once at most; what is drawn and not used costs time."""
SAME_MOMENT = 1e-6


@dataclass(slots=True)
class Pod:
    """One replica."""

    arm: Arm
    name: str
    ready_at: float = math.inf
    """Virtual seconds; infinite while nobody runs it or it can never serve."""
    started_at: float = math.inf
    crashes: int = 0


class Service:
    """Both variants, serving."""

    def __init__(
        self, rng: Generator, traffic: Traffic, faults: Faults, timeline: Timeline, *, warmup: float, deadline: float
    ) -> None:
        """Stable has been serving for a while; the canary is not there yet."""
        self.traffic = traffic
        self.t = 0.0
        self.share = 0.0
        self.first_traffic: float | None = None
        self.answered: dict[Arm, Floats] = {arm: np.zeros(traffic.width) for arm in ARMS}
        """Each arm's totals since the world began, restarts or not."""
        self.lost = 0
        """Requests sent to an arm without a replica that could serve."""
        self.misrouted = 0
        """Those of them that a change of weights sent there."""
        self.load = 1.0
        self.pods = [Pod(arm, name) for arm, name in traffic.fleet.pods]
        for pod in self.pods:
            if pod.arm == "stable":
                pod.ready_at = pod.started_at = -3600.0
        self.totals: Floats = np.zeros((len(self.pods), traffic.width))
        self._rng, self._faults, self._timeline = rng, faults, timeline
        self._warmup, self._deadline = warmup, deadline
        self._next_crash = math.inf
        self._ahead: Blocks | None = None
        self._used = 0
        self._stretch = 1
        self._rows = {arm: traffic.fleet.rows(arm) for arm in ARMS}
        self._blind_shift = False

    def flow(self, until: float) -> None:
        """Let traffic run up to `until`."""
        while self.t < until - SAME_MOMENT:
            end = min(until, self.next_change())
            self._count(end)
            self.t = end
            if self.t >= self._next_crash:
                self._crash()

    def send(self, share: float) -> None:
        """From now on the canary gets this share."""
        self._blind_shift = not self.ready("canary" if share > self.share else "stable")
        self.share = share
        if share and self.first_traffic is None:
            self.first_traffic = self.t
            window = self._timeline.window(self._faults.crashes, self.t)
            self._next_crash = window[0] if window else math.inf
        self._change()

    def stopped(self, arm: Arm) -> bool:
        """Whether nobody runs this arm."""
        return all(pod.started_at == math.inf for pod in self.pods if pod.arm == arm)

    def run(self, arm: Arm) -> None:
        """Start the arm's replicas."""
        for pod in self.pods:
            if pod.arm == arm:
                pod.started_at, pod.ready_at = self.t, self.t + self._start_seconds(arm)
        self._change()

    def stop(self, arm: Arm) -> None:
        """Stop the arm's replicas; their series end."""
        for row, pod in enumerate(self.pods):
            if pod.arm == arm:
                pod.started_at = pod.ready_at = math.inf
                self.forget(row)
        self._change()

    def forget(self, row: int) -> None:
        """A replica's process begins again: its running totals start from zero."""
        self.totals[row] = 0.0

    def ready(self, arm: Arm) -> int:
        """Replicas of an arm that can serve now."""
        return sum(pod.arm == arm and pod.ready_at <= self.t for pod in self.pods)

    def next_change(self) -> float:
        """When a replica next comes, goes or is warm; infinite if none will."""
        changes = [pod.ready_at for pod in self.pods] + [self._next_crash]
        if self._faults.cold != 1:
            changes += [pod.ready_at + self._warmup for pod in self.pods]
        return min((change for change in changes if change > self.t + SAME_MOMENT), default=math.inf)

    def counters(self, row: int, epoch: float) -> PodCounters:
        """One replica's running totals as a scrape finds them; times count from `epoch`."""
        levels, columns = self.traffic.levels, self.traffic.columns
        totals: list[float] = self.totals[row].tolist()
        served = totals[REQUESTS]
        flawed = self.pods[row].arm == "canary"
        if flawed and self._faults.hang:
            totals = [0.0] * len(totals)
        told = PodCounters(
            requests=served,
            errors=served if flawed and self._faults.empty else totals[ERRORS],
            histograms={
                name: dict(zip((*bounds, math.inf), totals[columns[f"histogram/{name}"]], strict=True))
                for name, bounds in levels.bounds.items()
            },
            totals={name: totals[columns[f"total/{name}"].start] for name in self.traffic.engine.totals},
            kpis={name: (totals[columns[f"kpi/{name}"].start], totals[RATED]) for name in levels.kpis},
            gauges=self.traffic.engine.gauges(self.load),
            started_at=epoch + self.pods[row].ready_at,
        )
        if not self._faults.hang:
            return told
        open_ = served if flawed else 0.0
        return replace(told, totals={**told.totals, "begun": served, "cancelled": 0.0}, open=open_)

    def _start_seconds(self, arm: Arm) -> float:
        """How long a replica takes to be ready."""
        if arm == "canary" and self._faults.start is not None:
            return self._faults.start * self._deadline
        return float(self._rng.uniform(*USUAL_START))

    def _change(self) -> None:
        """Something is different from now on: traffic drawn ahead does not hold."""
        if self._ahead is not None:
            self.traffic.used(self._used)
        self._ahead = None
        self._stretch = 1

    def _count(self, end: float) -> None:
        """Add the traffic from now to `end` to the running totals, drawing ahead where the same is likely to go on."""
        blocks = self._ahead
        if blocks is None or not self._fits(blocks, end):
            if blocks is not None:
                self.traffic.used(self._used)
            length = end - self.t
            room = int(min(self._stretch, max((self.next_change() - self.t) / length, 1.0)))
            edges: Floats = self.t + length * np.arange(room + 1, dtype=np.float64)
            blocks = self.traffic.draw(edges, self.share, self._strain(edges))
            self._ahead, self._used, self._stretch = blocks, 0, min(2 * self._stretch, MOST_AHEAD)
        k = self._used
        self.totals += blocks.grown[k]
        for arm, rows in self._rows.items():
            self.answered[arm] += blocks.grown[k, rows].sum(axis=0)
        lost = int(blocks.lost[k])
        self.lost += lost
        self.misrouted += lost if self._blind_shift else 0
        self.load = float(blocks.load[k])
        self._used += 1

    def _fits(self, blocks: Blocks, end: float) -> bool:
        """Whether the next block drawn ahead is the one that is wanted."""
        return (
            self._used < len(blocks.load)
            and abs(blocks.edges[self._used] - self.t) < SAME_MOMENT
            and abs(blocks.edges[self._used + 1] - end) < SAME_MOMENT
        )

    def _strain(self, edges: Floats) -> Strain:
        """What the world does to the pods between these edges."""
        faults, overlap, n = self._faults, self._timeline.overlap, len(self.pods)
        errors = np.ones((len(edges) - 1, n))
        if faults.outage:
            errors *= 1 + (OUTAGE_FACTOR - 1) * overlap(faults.outage, self.first_traffic, edges)[:, None]
        if faults.stable_fails:
            failing = overlap(faults.stable_fails, self.first_traffic, edges)[:, None]
            errors[:, self._rows["stable"]] *= 1 + (STABLE_FAILS / self.traffic.levels.errors - 1) * failing
        cold = [pod.ready_at + self._warmup > self.t + SAME_MOMENT for pod in self.pods]
        return Strain(
            ready=np.array([pod.ready_at <= self.t + SAME_MOMENT for pod in self.pods]),
            errors=errors,
            latency=np.where(cold, faults.cold, 1.0),
            first_traffic=self.first_traffic,
        )

    def _crash(self) -> None:
        """The canary's replicas fall over together, and will again when they are back."""
        for row, pod in enumerate(self.pods):
            if pod.arm == "canary" and pod.started_at < math.inf:
                pod.crashes += 1
                pod.started_at, pod.ready_at = self.t, self.t + CRASH_BACK
                self.forget(row)
        window = self._timeline.window(self._faults.crashes, self.first_traffic)
        again = self.t + CRASH_BACK + CRASH_AFTER
        self._next_crash = again if window and again < window[1] else math.inf
        self._change()
