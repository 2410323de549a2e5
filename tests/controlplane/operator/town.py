"""A cluster on a desk: an API server in memory, rollouts whose worlds are in memory too, and operators that can die.

Used by the tests of the controller. Everything that an operator writes, to the API server, a route or a platform, is a
line at which it can be killed, before it takes effect or after. What is true in the worlds outlives every operator.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any

from canary.errors import ExternalError
from canary.rollout import Rollout
from canary.snapshot import Counters, PodCounters
from canary.spec.models import ModelCanary, Variant
from canary.weights import Arm, Weights
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE
from controlplane.operator.alert_dispatch import AlertDispatchers
from controlplane.operator.controller import RolloutController
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.environment import ObjectDrift
from controlplane.operator.events import Events
from controlplane.operator.informers import outlined_canary, slim_canary
from controlplane.operator.leadership import Leadership
from controlplane.operator.limit import MOST_ROLLOUTS
from controlplane.operator.operator_rollout import OperatorRollout
from controlplane.operator.predicates import Pokes, is_urgent
from controlplane.operator.rollout_log import RolloutLog
from controlplane.operator.scheduler import Priority, Scheduler
from controlplane.operator.spec_reader import is_at_rest
from controlplane.operator.store import stored_in
from controlplane.operator.ticker import Ticker
from controlplane.ports import Clock, Identity
from controlplane.simulation.clock import EPOCH, VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from testing.memory_adapters import MemoryPlatform, MemoryRouter

NAME = "chat"
PLACE = "models"
KEY = (PLACE, NAME)
RPS = 200.0


def a_spec(*, canary: str = "v2", stages: Sequence[Mapping[str, Any]] = (), **more: Any) -> dict[str, Any]:
    """A spec as an owner writes it: 5, 50 and 100 %, short holds, a gate that counts errors."""
    gate = "error_rate <= 5%"
    default = [
        {"traffic": "5%", "hold": "10s", "gates": [gate]},
        {"traffic": "50%", "hold": "10s", "gates": [gate]},
        {"traffic": "100%", "hold": "5s"},
    ]
    return {
        "model": {"name": "chat", "uri": "hf://example/chat"},
        "platform": {"kserve": {"gateway": "kserve/kserve-ingress-gateway", "hostname": "chat.example.com"}},
        "stable": {"name": "v1"},
        "canary": {"name": canary},
        "stages": list(stages) or default,
        **more,
    }


def a_canary(name: str = NAME, spec: Mapping[str, Any] | None = None) -> Object:
    """A ModelCanary as `kubectl apply` sends it."""
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {"name": name, "namespace": PLACE},
        "spec": dict(spec or a_spec()),
    }


class Place:
    """What is true of one rollout's world, whoever looks."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.platform = MemoryPlatform(clock.now)
        self.router = MemoryRouter(clock.now)
        self.broken_since: float | None = None
        """From when on the canary answers every second request with an error."""
        self.gone: list[Arm] = []
        """Arms that were put away."""
        self.drifts: list[ObjectDrift] = []
        self.failure: ExternalError | None = None
        """What the metric source raises while it is set."""
        self.identity: Identity | None = None
        """What tells how the variants differ; None where nobody asks."""

    async def read(self) -> Counters:
        """Totals as the weights in force made them."""
        if self.failure:
            raise self.failure
        now = self.clock.now()
        canary = self._sent(now)
        failed = 0.0 if self.broken_since is None else (canary - self._sent(self.broken_since)) / 2
        return Counters(
            now,
            {
                "stable": {"stable-0": PodCounters(requests=(now - EPOCH) * RPS - canary, errors=0.0)},
                "canary": {"canary-0": PodCounters(requests=canary, errors=failed)},
            },
            in_flight=await self.router.in_flight(),
        )

    def _sent(self, until: float) -> float:
        """Requests that the canary got until then."""
        changes = [(at, weights.share) for at, weights in self.router.history if at < until]
        ends = [at for at, _ in [*changes, (until, 0.0)][1:]]
        return sum(share * (end - at) * RPS for (at, share), end in zip(changes, ends, strict=True))


class Life:
    """One operator's life: counts its writes, and ends at the fatal one."""

    def __init__(self, fatal: int | None = None, *, after: bool = False) -> None:
        self.writes = 0
        self.told: list[str] = []
        self.over = asyncio.Event()
        self._fatal, self._after = fatal, after

    async def write(self, what: str, do: Callable[[], Any]) -> Any:
        """Carry out a write, unless this is where it ends: the dead do nothing, and nothing comes back to them."""
        if self.over.is_set():
            await asyncio.Event().wait()
        number = self.writes
        self.writes += 1
        self.told.append(what)
        if number == self._fatal and not self._after:
            await self._die()
        result = await do()
        if number == self._fatal:
            await self._die()
        return result

    async def _die(self) -> None:
        self.over.set()
        await asyncio.Event().wait()


class MortalKube(MemoryKube):
    """A client whose writes are counted by a life."""

    def __init__(self, clock: Clock, life: Life, shared: MemoryKube) -> None:
        super().__init__(clock, server=shared.server)
        self._life = life

    async def create(self, resource: Any, object_: Any) -> Any:
        """Counted."""
        return await self._life.write(
            f"create {resource.kind}", lambda: super(MortalKube, self).create(resource, object_)
        )

    async def patch(self, resource: Any, namespace: Any, name: Any, patch: Any, **how: Any) -> Any:
        """Counted."""
        what = f"patch {resource.kind}/{name} {how.get('subresource', '')}"
        return await self._life.write(
            what, lambda: super(MortalKube, self).patch(resource, namespace, name, patch, **how)
        )

    async def delete(self, resource: Any, namespace: Any, name: Any, **how: Any) -> Any:
        """Counted."""
        return await self._life.write(
            f"delete {resource.kind}", lambda: super(MortalKube, self).delete(resource, namespace, name, **how)
        )


class DeskSite:
    """One operator's hand on a place."""

    def __init__(self, town: "Town", life: Life, plan: ModelCanary) -> None:
        self._town, self._life, self._plan = town, life, plan
        self.place = place = town.place(plan.metadata.name)
        self.platform = self
        self.router = self
        self.metrics = place
        self.identity = place.identity

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Counted where it changes anything."""
        platform = self.place.platform
        if platform._variants.get(arm) != variant:
            await self._life.write(f"run {arm}", lambda: platform.run(arm, variant))
        if arm in self.place.gone:
            self.place.gone.remove(arm)

    async def stop(self, arm: Arm) -> None:
        """Counted where it changes anything."""
        if arm in self.place.platform._variants:
            await self._life.write(f"stop {arm}", lambda: self.place.platform.stop(arm))

    async def set_weights(self, weights: Weights) -> None:
        """Counted. The canary never gets more than what was saved: that is what makes a crash harmless."""
        await self._know_addresses()
        if weights != self.place.router._weights:
            rises = weights > self.place.router._weights
            saved = self._town.rollout(self._plan.metadata.name)
            assert not rises or (saved is not None and weights <= saved.weights), f"{weights} was never saved"
            await self._life.write(f"route {weights}", lambda: self.place.router.set_weights(weights))

    async def seen(self) -> Any:
        """Of the platform; the router's is `RouterOf`'s."""
        await self._know_addresses()
        return await self.place.platform.seen()

    def endpoints(self) -> Any:
        """Of the platform."""
        return self.place.platform.endpoints()

    async def tend(self) -> None:
        """Nothing to do in memory."""

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """Stop it and remember."""
        await self.stop(arm)
        if arm not in self.place.gone:
            self.place.gone.append(arm)
        return True

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """None."""
        return []

    def drift(self) -> Sequence[ObjectDrift]:
        """What the test says."""
        return list(self.place.drifts)

    def close(self) -> None:
        """Nothing to do in memory."""

    async def _know_addresses(self) -> None:
        await self.place.router.set_endpoints(self.place.platform.addresses(), self.place.platform.endpoints())


class RouterOf:
    """The router half of a site: its own `seen`."""

    def __init__(self, site: DeskSite) -> None:
        self._site = site

    async def set_weights(self, weights: Weights) -> None:
        """Of the site."""
        await self._site.set_weights(weights)

    async def seen(self) -> Any:
        """The weights in force."""
        return await self._site.place.router.seen()


class Office:
    """One operator: its caches, its controller, its tick. Lives as long as `life` lets it."""

    def __init__(self, town: "Town", life: Life, fence: int, most: int = MOST_ROLLOUTS) -> None:
        self.town, self.life, self.fence = town, life, fence
        clock = town.clock
        self.kube = MortalKube(clock, life, town.kube)
        self.kube.latency = town.latency
        self.canaries = Cache(MODEL_CANARY, slim_canary, outlined=outlined_canary)
        self.called = asyncio.Event()
        """Set to let `stand_by` lead."""
        self._listed = asyncio.Event()
        self.tally = OperatorCounters()
        self.events = Events(self.kube, instance=f"operator-{fence}", now=clock.now, say=town.said.append)
        self.leadership = Leadership(fence)
        self.order: Callable[[Sequence[Key]], Sequence[Key]] = lambda keys: keys
        self.is_alarming: Callable[[Key], bool] = lambda _key: False
        """What the metrics say; tests change it."""
        self.promoted: list[Key] = []
        log, charges = (
            RolloutLog(lambda _key, sentence: town.said.append(sentence), self.tally),
            dict[Key, OperatorRollout](),
        )
        self.scheduler = Scheduler(
            Priority(
                is_urgent=partial(is_urgent, self.canaries, charges),
                order=self._ordered,
                is_alarming=self._is_alarming,
                promote=self.promoted.append,
            ),
            Ticker(self.tick, period=1.0, tally=self.tally, say=town.said.append),
            log.bug,
        )
        Pokes(self.canaries, charges, self.scheduler.add)
        self.controller = RolloutController(
            self.kube,
            self.canaries,
            self,
            clock=clock,
            interval=1.0,
            events=self.events,
            desks=AlertDispatchers(self.kube, clock=clock),
            tally=self.tally,
            log=log,
            scheduler=self.scheduler,
            charges=charges,
            leadership=self.leadership,
            most=most,
        )

    def _ordered(self, keys: Sequence[Key]) -> Sequence[Key]:
        return self.order(keys)

    def _is_alarming(self, key: Key) -> bool:
        return self.is_alarming(key)

    def open(self, plan: ModelCanary, namespace: str) -> Any:
        """The site of a plan, with the invariants checked at each decision."""
        site = DeskSite(self.town, self.life, plan)
        site.router = RouterOf(site)  # type: ignore[assignment]  # two ports in one hand
        return site

    async def tick(self) -> None:
        """In memory there is nothing to read ahead."""

    async def live(self) -> None:
        """Follow the server and carry out rollouts until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            await self._listed.wait()
            tasks.create_task(self.events.run())
            tasks.create_task(self._tick())
            tasks.create_task(self.controller.run())

    async def stand_by(self) -> None:
        """Follow the server and keep ready until called; then lead."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow())
            await self._listed.wait()
            tasks.create_task(self.controller.standby.run())
            await self.called.wait()
            await self.controller.standby.relieve()
            tasks.create_task(self.events.run())
            tasks.create_task(self._tick())
            tasks.create_task(self.controller.run())

    async def _follow(self) -> None:
        while True:
            try:
                listing = await self.kube.list(MODEL_CANARY)
                self.canaries.replace(list(listing.items))
                self._listed.set()
                async for event in self.kube.watch(MODEL_CANARY, None, listing.version):
                    if event.type == "DELETED":
                        self.canaries.drop((event.object["metadata"]["namespace"], event.object["metadata"]["name"]))
                    elif event.type != "BOOKMARK":
                        self.canaries.put(event.object)
            except ExternalError:
                await asyncio.sleep(0.5)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            for charge in self.controller.charges.values():
                charge.changed = True  # nothing in a place is an object that a cache could tell of
            await self.controller.tick()


class Town:
    """The cluster, and what tests want to know of it."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.kube = MemoryKube(self.clock)
        self.kube.seed(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
        self.places: dict[str, Place] = {}
        self.said: list[str] = []
        self.latency = 0.005
        self.terms = 0

    def place(self, name: str = NAME) -> Place:
        """What is true of a rollout's world."""
        return self.places.setdefault(name, Place(self.clock))

    async def apply(self, name: str = NAME, spec: Mapping[str, Any] | None = None) -> None:
        """What a person does with kubectl."""
        await self.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(name, spec))

    async def ask(self, verb: str, name: str = NAME) -> None:
        """Request this of a rollout, as a person does with kubectl alone."""
        asked = {"metadata": {"annotations": {f"requests.serinus.dev/{verb}": verb}}}
        await self.kube.acting_as("kubectl").patch(MODEL_CANARY, PLACE, name, asked)

    def status(self, name: str = NAME) -> Mapping[str, Any]:
        """The status as anybody reads it."""
        object_ = self.kube.objects(MODEL_CANARY).get((PLACE, name))
        return (object_ or {}).get("status") or {}

    def rollout(self, name: str = NAME) -> Rollout | None:
        """The state as it is saved."""
        stored = stored_in(self.kube.objects(MODEL_CANARY).get((PLACE, name)) or {})
        return stored.rollout if stored else None

    def office(self, fatal: int | None = None, *, after: bool = False, most: int = MOST_ROLLOUTS) -> Office:
        """A new operator in a new term."""
        self.terms += 1
        return Office(self, Life(fatal, after=after), self.terms, most)

    async def until(self, what: Callable[[], bool], seconds: float = 300.0) -> None:
        """Wait in virtual time; fails with what was said where it never comes."""
        end = self.clock.t + seconds
        while not what():
            if self.clock.t >= end:
                raise AssertionError(f"it never came: {dict(self.status())} {self.said[-10:]}")
            await asyncio.sleep(0.05)

    def at_rest(self, name: str = NAME) -> bool:
        """Whether the rollout is over, told and tidied."""
        object_ = self.kube.objects(MODEL_CANARY).get((PLACE, name))
        return object_ is not None and is_at_rest(object_)


def plays_alone(story: Callable[[Town], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of a story that starts its operators itself, in virtual time; a bug that was only logged fails it."""

    def test() -> None:
        async def played() -> None:
            town = Town()
            await story(town)
            assert not [each for each in town.said if "bug of ours" in each], town.said

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


def plays(story: Callable[[Town, Office], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test of a story with one operator at work, in virtual time; a bug that was only logged fails it."""

    def test() -> None:
        async def played() -> None:
            town = Town()
            office = town.office()
            async with asyncio.TaskGroup() as tasks:
                living = tasks.create_task(office.live())
                await story(town, office)
                living.cancel()
            assert office.tally.bugs == 0, town.said
            assert not [each for each in town.said if "bug of ours" in each]

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test
