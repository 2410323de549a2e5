"""A gateway that exists in memory, for tests of the router: an API server, a cache that follows it, a controller.

The controller answers for its Gateway's routes after a delay, as Envoy Gateway does. Time is that of the running loop,
so that a virtual loop will do.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from canary.spec.models import CanarySpec, ModelCanary
from canary.weights import ALL_STABLE, Weights
from controlplane.gateway.router import GatewayRouter
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import HTTP_ROUTE
from controlplane.ports import Clock
from controlplane.simulation.clock import VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube

NAMESPACE = "models"
GATEWAY = ("kserve", "kserve-ingress-gateway")
Split = list[tuple[str, int]]
"""Service and weight of each backendRef of the weighted rule."""


def plan(stable: Any = "v1", canary: Any = "v2", **spec: Any) -> ModelCanary:
    """A plan named `chat` for the cluster; variants by name or whole; `kserve` has settings of the platform."""
    kserve = {"gateway": "/".join(GATEWAY), "hostname": "chat.example.com"} | spec.pop("kserve", {})
    whole = {
        "model": {"name": "chat"},
        "platform": {"kserve": kserve},
        "stable": {"name": stable} if isinstance(stable, str) else stable,
        "canary": {"name": canary} if isinstance(canary, str) else canary,
        "stages": [{"traffic": 0.05}, {"traffic": 1.0}],
        **spec,
    }
    metadata = {"name": "chat", "namespace": NAMESPACE}
    return ModelCanary.model_validate({"metadata": metadata, "spec": CanarySpec.model_validate(whole)})


@dataclass(slots=True)
class Controller:
    """The gateway's controller. What it answers, and how late, may be changed at any time."""

    kube: MemoryKube
    delay_s: float = 0.03
    accepted: tuple[str, str] = ("True", "Accepted")
    """Status and reason of the condition."""
    resolved: tuple[str, str] = ("True", "ResolvedRefs")
    silent: bool = False
    gateway: tuple[str, str] = GATEWAY
    splits: list[Split] = field(default_factory=list)
    """Every split that came into force; of changes that come faster than it answers, only the last does."""
    namespace: str | None = None
    """Whose routes are its business; None: everybody's."""

    async def run(self) -> None:
        """Answer for every route, for ever. Watches end after some minutes, and another one begins."""
        while True:
            async for event in self.kube.watch(HTTP_ROUTE, self.namespace, "0"):
                if event.type in {"ADDED", "MODIFIED"}:
                    await self._answer(event.object)

    async def _answer(self, route: Object) -> None:
        await asyncio.sleep(self.delay_s)
        metadata = route["metadata"]
        route = self.kube.objects(HTTP_ROUTE).get((metadata["namespace"], metadata["name"]), {"metadata": {}})
        generation = route["metadata"].get("generation")
        if self.silent or generation in {None, *(each["observedGeneration"] for each in _conditions(route))}:
            return
        if not any((each["namespace"], each["name"]) == self.gateway for each in route["spec"].get("parentRefs", ())):
            await self._say(route, [])
            return
        self.splits.append(_split(route))
        conditions = [
            {"type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": generation}
            for kind, (status, reason) in (("Accepted", self.accepted), ("ResolvedRefs", self.resolved))
        ]
        reference = {"namespace": self.gateway[0], "name": self.gateway[1]}
        parents = [{"parentRef": reference, "controllerName": "example.com/gateway", "conditions": conditions}]
        await self._say(route, parents)

    async def _say(self, route: Object, parents: list[Any]) -> None:
        key = route["metadata"]["namespace"], route["metadata"]["name"]
        await self.kube.patch(HTTP_ROUTE, *key, {"status": {"parents": parents}}, subresource="status")


def _split(route: Object) -> Split:
    return [(each["name"], each.get("weight", 1)) for each in route["spec"]["rules"][0]["backendRefs"]]


def _conditions(route: Object) -> list[dict[str, Any]]:
    return [each for parent in route.get("status", {}).get("parents", []) for each in parent["conditions"]]


@dataclass(slots=True)
class World:
    """Everything that a router meets."""

    kube: MemoryKube
    routes: Cache
    clock: Clock
    controller: Controller

    def router(self, of: ModelCanary | None = None) -> GatewayRouter:
        """A router that knows nothing yet, as after a restart."""
        return GatewayRouter(self.kube, self.routes, of or plan(), namespace=NAMESPACE, clock=self.clock)

    @property
    def route(self) -> Object:
        """The route as the API server has it."""
        return self.kube.objects(HTTP_ROUTE)[NAMESPACE, "chat"]

    @property
    def split(self) -> Split:
        """As the API server has it."""
        return _split(self.route)

    def writes(self) -> int:
        """Writes of the router so far."""
        return sum(count for request, count in self.kube.counts.items() if request.verb in {"create", "patch"})


@asynccontextmanager
async def world(clock: Clock) -> AsyncIterator[World]:
    """An API server with a gateway, for the time of the block."""
    kube = MemoryKube(clock)
    controller = Controller(kube.acting_as("gateway-controller"))
    routes = Cache(HTTP_ROUTE)
    routes.synced = True
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_follow(kube.acting_as("reader"), routes)), group.create_task(controller.run())]
        try:
            yield World(kube, routes, clock, controller)
        finally:
            for task in tasks:
                task.cancel()


async def _follow(kube: MemoryKube, routes: Cache) -> None:
    async for event in kube.watch(HTTP_ROUTE, None, "0"):
        if event.type in {"ADDED", "MODIFIED"}:
            routes.put(event.object)
        elif event.type == "DELETED":
            routes.drop((event.object["metadata"]["namespace"], event.object["metadata"]["name"]))


async def started(world: World, *through: Weights) -> GatewayRouter:
    """A router that has made its route and gone through these splits."""
    router = world.router()
    for weights in (ALL_STABLE, *through):
        await router.set_weights(weights)
    return router


async def edit(world: World, path: str, value: object, manager: str = "kubectl-edit") -> None:
    """Somebody else changes the route, and the cache hears of it."""
    await world.kube.acting_as(manager).patch(
        HTTP_ROUTE, NAMESPACE, "chat", [{"op": "replace", "path": path, "value": value}]
    )
    await world.clock.sleep(0.1)


async def settled(world: World, router: GatewayRouter) -> None:
    """Tidy up, pass by pass."""
    async with asyncio.timeout(5):
        while not await router.settle():
            await world.clock.sleep(0.1)


def told(story: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of a story in such a world, in virtual time."""

    def test() -> None:
        async def all_of_it() -> None:
            async with world(VirtualClock()) as here:
                await story(here)

        play(all_of_it())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test
