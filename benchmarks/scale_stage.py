"""What every story of `scale.py` stands on: rollouts that are begun, broken, measured and cleared away.

A story begins rollouts, lets something happen and tells how long it took; the clock runs from the breach to the watch
event with the canary's weight at zero. Also the cost of an operator while nothing changes. Judges nothing.
"""

import asyncio
import functools
import random
import statistics
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.scale_prometheus import FakePrometheus
from benchmarks.scale_world import NAMESPACE, ONE_PLACE, SHARE, Operator, Watch, canary, in_turns, place_of
from controlplane.kubernetes.api import NotFound, Resource
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.resources import HTTP_ROUTE, MODEL_CANARY
from tests.cluster.bed import Light

RATE = 2000.0
"""Requests a second of each rollout, both arms together."""
BEGINNING_S = 300.0
"""Seconds that all rollouts of a story have to reach their 5 %."""


@dataclass(slots=True)
class Stage:
    """Everything a story needs."""

    bed: Light
    kube: KubeClient
    watch: Watch
    prometheus: FakePrometheus
    folder: Path
    random: random.Random
    soak_s: float = 600.0
    """How long the soak lasts."""

    def operator(self, name: str = "operator", *, elect: bool = False, watching: Sequence[str] = ONE_PLACE) -> Operator:
        """One more operator."""
        log = self.folder / f"{name}.log"
        return Operator(self.bed.kubeconfig, self.prometheus.url, elect=elect, log=log, watching=watching)

    async def begin(self, names: Sequence[str], gates: Sequence[Any], **more: Any) -> None:
        """Apply so many rollouts and wait until each has its 5 %; `more` is for their specs."""
        for name in names:
            self.prometheus.add(route_of(name), canary_rate=RATE * SHARE, stable_rate=RATE * (1 - SHARE))

        async def create(name: str) -> None:
            await self.kube.create(MODEL_CANARY, canary(name, gates, **more))

        await in_turns(create, names)
        await self.watch.until("5 % everywhere", names, zero=False, seconds=BEGINNING_S)

    async def flip(self, name: str, share: float = 1.0, patience: float = 60.0) -> float:
        """Let a canary fail from now on; seconds until it has no traffic."""
        began = self.prometheus.fail(route_of(name), share)
        await self.watch.until(f"the rollback of {name}", [name], zero=True, seconds=patience)
        return self.watch.changed[name] - began

    async def one_by_one(self, names: Sequence[str]) -> list[float]:
        """Breaches at random moments, each while all the others go on; seconds of each."""
        found: list[float] = []
        for name in names:
            await asyncio.sleep(self.random.uniform(1.0, 2.0))
            found.append(await self.flip(name))
            print(f"\r  {len(found)} of {len(names)} breaches, newest {found[-1]:.2f} s", end="", flush=True)
        print()
        return found

    async def cost(self, operator: Operator, seconds: float = 60.0) -> dict[str, float]:
        """What the operator uses while nothing changes."""
        await asyncio.sleep(5)
        written, asked, used = await asyncio.to_thread(operator.writes), self.prometheus.queries, operator.cpu_seconds()
        began = time.monotonic()
        await asyncio.sleep(seconds)
        took = time.monotonic() - began
        used, asked = operator.cpu_seconds() - used, self.prometheus.queries - asked
        return {
            "share of a core": round(used / took, 3),
            "RSS MB": round(operator.resident_mb(), 1),
            "queries a second": round(asked / took, 2),
            "API writes": await asyncio.to_thread(operator.writes) - written,
            "ticks slipped": await asyncio.to_thread(operator.slipped),
        }

    async def clear(self, places: Sequence[str] = (NAMESPACE,)) -> None:
        """Remove all rollouts and their routes without an operator, and their traffic: no story pays for another's."""
        self.prometheus.fault = ""
        self.prometheus.forget()
        for each in places:
            await self.clear_place(each)

    async def clear_place(self, namespace: str) -> None:
        """Remove all rollouts and routes of a namespace."""
        for resource in (MODEL_CANARY, HTTP_ROUTE):
            found = (await self.kube.list(resource, namespace)).items
            remove = functools.partial(self._remove, resource, namespace)
            await in_turns(remove, [each["metadata"]["name"] for each in found])

    async def _remove(self, resource: Resource, namespace: str, name: str) -> None:
        with suppress(NotFound):
            if resource is MODEL_CANARY:
                await self.kube.patch(resource, namespace, name, {"metadata": {"finalizers": None}})
            await self.kube.delete(resource, namespace, name)


def route_of(name: str) -> str:
    """As the Prometheus knows the rollout."""
    return "/".join(place_of(name))


def named(story: str, count: int) -> list[str]:
    """Names of a story's rollouts."""
    return [f"{story}-{number}" for number in range(count)]


def spread(values: Sequence[float]) -> dict[str, float]:
    """Quantiles in seconds."""
    ordered = sorted(values)

    def at(share: float) -> float:
        return round(ordered[min(int(share * len(ordered)), len(ordered) - 1)], 3)

    return {
        "n": len(ordered),
        "p50": round(statistics.median(ordered), 3),
        "p95": at(0.95),
        "p99": at(0.99),
        "max": round(ordered[-1], 3),
    }
