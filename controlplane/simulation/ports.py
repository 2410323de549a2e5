"""The ports of the virtual world: platform, router, metric source and rehearsal, each with the faults of real ones.

Put together by `world.py`, called by the reconcile loop as it calls the real adapters. They read and change the
service; what is true there and what they say of it differ exactly where a fault makes it so.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from numpy.random import Generator

from canary.errors import ExternalError, Unavailable
from canary.snapshot import Counters, InFlight, PodCounters, RouteStatus, VariantStatus
from canary.spec.models import Variant
from canary.weights import ARMS, Arm, Weights
from controlplane.simulation.clock import EPOCH, VirtualClock
from controlplane.simulation.faults import Faults
from controlplane.simulation.readings import Windows
from controlplane.simulation.service import Service
from controlplane.simulation.store import Line

ROUTE_DELAY = (0.01, 0.05)
"""Seconds from a change being asked for to its being in force."""
CRASHES_UNTIL_HOPELESS = 5


class VirtualPlatform:
    """Runs the service's replicas."""

    def __init__(self, service: Service, clock: VirtualClock) -> None:
        self._service, self._clock = service, clock

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Start what is not running."""
        if self._service.stopped(arm):
            self._service.flow(self._clock.t)
            self._service.run(arm)

    async def stop(self, arm: Arm) -> None:
        """Stop the arm's replicas."""
        if not self._service.stopped(arm):
            self._service.flow(self._clock.t)
            self._service.stop(arm)

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms now."""
        if self._service.next_change() <= self._clock.t:
            self._service.flow(self._clock.t)
        return {arm: self._seen(arm) for arm in ARMS}

    def endpoints(self) -> Mapping[Arm, Mapping[str, str]]:
        """Addresses that lead nowhere, for every ready replica."""
        t = self._clock.t
        return {
            arm: {pod.name: f"{pod.name}:8080" for pod in self._service.pods if pod.arm == arm and pod.ready_at <= t}
            for arm in ARMS
        }

    def _seen(self, arm: Arm) -> VariantStatus:
        t = self._clock.t
        pods = [pod for pod in self._service.pods if pod.arm == arm]
        ready = sum(pod.ready_at <= t for pod in pods)
        crashes = max(pod.crashes for pod in pods)
        problem = ""
        if ready < len(pods):
            waiting = "not started" if pods[0].started_at == math.inf else "loading its weights"
            problem = f"exit status 139 after start {crashes}" if crashes else waiting
        return VariantStatus(self._clock.now(), len(pods), ready, problem, crashes >= CRASHES_UNTIL_HOPELESS)


@dataclass(frozen=True, slots=True)
class Shift:
    """Other weights came into force."""

    t: float
    """Virtual seconds."""
    weights: Weights
    saved: Weights
    """The weights that the store had on record at that moment."""


class VirtualRouter:
    """Splits the service's traffic."""

    def __init__(
        self,
        service: Service,
        clock: VirtualClock,
        rng: Generator,
        *,
        refusals: float,
        line: Line,
        saved: Callable[[], Weights],
    ) -> None:
        """`refusals` is the chance that a change is answered with an error; half of those are made all the same."""
        self._service, self._clock, self._rng, self._refusals, self._line = service, clock, rng, refusals, line
        self._weights, self._saved = Weights(0), saved
        self.shifts: list[Shift] = []

    async def set_weights(self, weights: Weights) -> None:
        """Make these weights the ones in force."""
        self._line("before route")
        refused = bool(self._refusals) and self._rng.random() < self._refusals
        if refused and self._rng.random() < 0.5:
            raise ExternalError("The gateway refused the change (503).")
        await self._clock.sleep(float(self._rng.uniform(*ROUTE_DELAY)))
        self._put(weights)
        self._line("after route")
        if refused:
            raise ExternalError("The gateway's answer was lost (connection reset).")

    async def seen(self) -> RouteStatus:
        """The weights in force."""
        return RouteStatus(self._clock.now(), self._weights)

    async def in_flight(self) -> Mapping[Arm, InFlight]:
        """Nothing: requests of this world are answered within the moment."""
        return {arm: InFlight(self._clock.now(), 0.0, 0.0) for arm in ARMS}

    def _put(self, weights: Weights) -> None:
        if weights != self._weights:
            self._service.flow(self._clock.t)
            self._service.send(weights.share)
            self._weights = weights
            self.shifts.append(Shift(self._clock.t, weights, self._saved()))


class VirtualMetrics:
    """Scrapes the service when it is told to, and answers with the newest scrape."""

    def __init__(
        self, service: Service, clock: VirtualClock, rng: Generator, faults: Faults, silent: Callable[[], bool]
    ) -> None:
        """`silent` says whether the source does not answer now."""
        self._service, self._clock, self._rng, self._faults, self._silent = service, clock, rng, faults, silent
        self._windows = Windows(service.traffic)
        self._newest: Counters | None = None

    def scrape(self) -> None:
        """Read every replica's totals, as Prometheus would at this moment."""
        self._service.flow(self._clock.t)
        readings = self._windows.read(self._service.t, self._service.answered)
        if self._silent():
            return
        arms: dict[Arm, dict[str, PodCounters]] = {arm: {} for arm in ARMS}
        for row, pod in enumerate(self._service.pods):
            if pod.ready_at > self._service.t and not pod.crashes:
                continue
            if self._happens(self._faults.gaps):
                continue
            counters = self._service.counters(row, EPOCH)
            arms[pod.arm][pod.name] = _nan(counters) if self._happens(self._faults.nan) else counters
            if self._happens(self._faults.restarts):
                self._service.forget(row)
        counted = self._windows.counted(self._service.answered)
        misrouted = float(self._service.misrouted)
        self._newest = Counters(self._clock.now(), arms, readings, unrouted=misrouted, counted=counted)

    async def read(self) -> Counters:
        """The newest scrape."""
        if self._silent():
            raise Unavailable("Prometheus does not answer (connection refused)")
        if self._newest is None:
            raise Unavailable("Prometheus has scraped nothing yet")
        return self._newest

    def _happens(self, chance: float) -> bool:
        return bool(chance) and self._rng.random() < chance


def _nan(counters: PodCounters) -> PodCounters:
    """What a broken exporter says: not a number, wherever there should be one."""
    histograms = {name: dict.fromkeys(counts, math.nan) for name, counts in counters.histograms.items()}
    kpis = dict.fromkeys(counters.kpis, (math.nan, math.nan))
    return replace(counters, requests=math.nan, errors=math.nan, histograms=histograms, kpis=kpis)
