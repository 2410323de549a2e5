"""A cluster in memory for whole operators with their real adapters: an API server, and everything around it.

Used by the tests of the operator. KServe and the gateway's controller are played; the numbers come from a fleet that is
told what the route says. Time is virtual.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from canary.snapshot import Counters, InFlight, PodCounters
from canary.spec.models import ModelCanary
from canary.weights import ARMS, Arm
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import (
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    MODEL_CANARY,
    NAMESPACE,
)
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.operator import Operator
from controlplane.operator.settings import Settings
from controlplane.operator.spec_reader import is_at_rest
from controlplane.simulation.clock import EPOCH, VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.gateway.world import Controller
from tests.controlplane.kserve.fake_kserve import FakeKServe

PLACE, NAME = "models", "chat"
RPS = 200.0
GATE = "error_rate <= 5%"


def a_canary(**spec: Any) -> Object:
    """A ModelCanary for the sample server."""
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {"name": NAME, "namespace": PLACE},
        "spec": {
            "model": {"name": "chat"},
            "platform": {"kserve": {"gateway": "kserve/kserve-ingress-gateway", "hostname": "chat.example.com"}},
            "stable": {"name": "v1", "uri": "hf://example/v1", "runtime": "serinus-sim"},
            "canary": {"name": "v2", "uri": "hf://example/v2", "runtime": "serinus-sim"},
            "stages": [
                {"traffic": "5%", "hold": "5s", "gates": [GATE]},
                {"traffic": "50%", "hold": "5s", "gates": [GATE]},
                {"traffic": "100%", "hold": "5s"},
            ],
            **spec,
        },
    }


class Numbers:
    """Requests as the route splits them, counted second by second; the canary's fail when told to."""

    def __init__(self, cluster: "Cluster") -> None:
        self._cluster = cluster
        self._totals = {"v1": 0.0, "v2": 0.0}
        self._failed = 0.0
        self._at = EPOCH
        self.broken = False
        self.open: dict[Arm, float] = dict.fromkeys(ARMS, 0.0)
        """Requests that each arm is answering."""

    async def read(self) -> Counters:
        """Totals until now."""
        now = self._cluster.clock.now()
        shares = self._cluster.shares()
        for variant, share in shares.items():
            self._totals[variant] = self._totals.get(variant, 0.0) + share * (now - self._at) * RPS
        if self.broken:
            self._failed += shares.get("v2", 0.0) * (now - self._at) * RPS
        self._at = now
        stable = PodCounters(requests=self._totals["v1"], errors=0.0)
        canary = PodCounters(requests=self._totals["v2"], errors=self._failed)
        open_ = {arm: InFlight(now, self.open[arm]) for arm in ARMS}
        return Counters(now, {"stable": {"v1": stable}, "canary": {"v2": canary}}, in_flight=open_)


class CountedWorld(ClusterEnvironments):
    """The real world, but for Prometheus."""

    numbers: Numbers

    def open(self, plan: ModelCanary, namespace: str) -> Any:
        """The real site with these numbers."""
        site = super().open(plan, namespace)
        site.metrics = self.numbers
        return site

    async def tick(self) -> None:
        """There is no Prometheus to ask."""


class Cluster:
    """An API server with everything around it that Serinus did not make."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.kube = MemoryKube(self.clock)
        self.kube.seed(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
        self.kube.seed(GATEWAY, {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}})
        self.kserve = FakeKServe(self.kube, load_s=2.0)
        self.gateway = Controller(self.kube.acting_as("gateway-controller"))
        self.numbers = Numbers(self)
        self.said: list[str] = []
        self.operators: list[Operator] = []

    def operator(self, identity: str = "one", **settings: Any) -> Operator:
        """A replica."""
        made = Settings(identity=identity, home="serinus", **settings)
        client = self.kube.acting_as("serinus")

        def world(caches: Caches) -> ClusterEnvironments:
            known: dict[str, Any] = {"prometheus": "http://prometheus:9090", "interval": 1.0, "allowed": made.hosts}
            counted = CountedWorld(client, caches, clock=self.clock, **known)
            counted.numbers = self.numbers
            return counted

        operator = Operator(
            made, client, clock=self.clock, say=lambda _key, words: self.said.append(words), world=world
        )
        self.operators.append(operator)
        return operator

    @asynccontextmanager
    async def operated(self, operator: Operator | None = None, **spec: Any) -> AsyncIterator[None]:
        """A canary is applied where this operator runs, by default a plain one. At rest at the end."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task((operator or self.operator()).run(stop))
            await self.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(**spec))
            yield
            await self.until(self.at_rest)
            stop.set()

    async def ask(self, verb: str) -> None:
        """Request this of the rollout, as a person does with kubectl alone."""
        asked = {"metadata": {"annotations": {f"requests.serinus.dev/{verb}": verb}}}
        await self.kube.acting_as("kubectl").patch(MODEL_CANARY, PLACE, NAME, asked)

    @asynccontextmanager
    async def led(self, first: Operator, standby: Operator) -> AsyncIterator[asyncio.Event]:
        """A canary is applied where `first` leads and the other stands by; what stops the first. At rest at the end."""
        stop, stop_standby = asyncio.Event(), asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(first.run(stop))
            await self.until(lambda: first.leading)
            tasks.create_task(standby.run(stop_standby))
            await self.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
            yield stop
            await self.until(self.at_rest)
            stop_standby.set()

    async def live(self) -> None:
        """What goes on by itself."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.gateway.run())
            while True:
                self.kserve.step()
                await asyncio.sleep(0.5)

    def status(self) -> Object:
        """As anybody reads it."""
        return (self.kube.objects(MODEL_CANARY).get((PLACE, NAME)) or {}).get("status") or {}

    def accepted(self) -> Object:
        """The condition that says whether the spec can be carried out; empty before there is one."""
        told = [each for each in self.status().get("conditions", ()) if each["type"] == "Accepted"]
        return dict(told[0]) if told else {}

    def shares(self) -> dict[str, float]:
        """Who gets how much, by the route as it is."""
        route = self.kube.objects(HTTP_ROUTE).get((PLACE, NAME))
        found: dict[str, float] = {}
        for each in route["spec"]["rules"][0]["backendRefs"] if route else ():
            variant = each["name"].removeprefix("chat-").removesuffix("-predictor")
            found[variant] = found.get(variant, 0.0) + each["weight"] / 1_000_000
        return found

    def services(self) -> set[str]:
        """The InferenceServices that are there."""
        return {name for _, name in self.kube.objects(INFERENCE_SERVICE)}

    def at_rest(self) -> bool:
        """Whether nothing is left to do."""
        object_ = self.kube.objects(MODEL_CANARY).get((PLACE, NAME))
        return object_ is not None and is_at_rest(object_)

    async def until(self, what: Callable[[], bool], seconds: float = 120.0) -> None:
        """Wait in virtual time."""
        end = self.clock.t + seconds
        while not what():
            if self.clock.t >= end:
                told = {key: self.status().get(key) for key in ("phase", "message", "weight", "conditions")}
                raise AssertionError(f"it never came: {told} {self.shares()} {self.said[-10:]}")
            await asyncio.sleep(0.05)


def plays(story: Callable[[Cluster], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of a story in such a cluster, in virtual time."""

    def test() -> None:
        async def played() -> None:
            cluster = Cluster()
            async with asyncio.TaskGroup() as tasks:
                living = tasks.create_task(cluster.live())
                await story(cluster)
                living.cancel()
            assert not [each for each in cluster.said if "bug of ours" in each], cluster.said

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test
