"""The whole operator with its real adapters: reflectors, election, router and platform over an API server in memory.

KServe and the gateway's controller are played; the numbers come from a fleet that is told what the route says.
"""

import asyncio
import socket
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from canary.errors import BadInput
from canary.observation import Counters, PodCounters
from canary.spec.models import ModelCanary
from controlplane.adapters.system_clock import SystemClock
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Object, Resource, WatchEvent
from controlplane.kubernetes.memory import MemoryKube
from controlplane.kubernetes.names import labels
from controlplane.kubernetes.resources import (
    EVENT,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    LEASE,
    MODEL_CANARY,
    NAMESPACE,
    POD,
)
from controlplane.operator.modes import LOST
from controlplane.operator.operator import Operator
from controlplane.operator.reading import is_at_rest, read
from controlplane.operator.settings import LEASE_NAME, Settings
from controlplane.operator.world import ClusterWorld
from controlplane.simulation.clock import EPOCH, VirtualClock, play
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
        return Counters(now, {"stable": {"v1": stable}, "canary": {"v2": canary}})


class CountedWorld(ClusterWorld):
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

        def world(caches: Caches) -> ClusterWorld:
            counted = CountedWorld(client, caches, clock=self.clock, prometheus="http://prometheus:9090", interval=1.0)
            counted.numbers = self.numbers
            return counted

        operator = Operator(
            made, client, clock=self.clock, say=lambda _key, words: self.said.append(words), world=world
        )
        self.operators.append(operator)
        return operator

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


@plays
async def test_apply_is_all_that_a_promotion_needs(cluster: Cluster) -> None:
    """Variants, route, shifts, promotion, and nothing of the old variant left."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"
    assert cluster.services() == {"chat-v2"}
    assert cluster.shares() == {"v2": 1.0}
    assert cluster.status()["slots"][1]["variant"] == "v2"


@plays
async def test_a_canary_that_fails_is_rolled_back_and_its_gpus_are_free(cluster: Cluster) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.numbers.broken = True
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "rolled_back"
    assert cluster.services() == {"chat-v1"}
    assert cluster.shares() == {"v1": 1.0}


@plays
async def test_a_canary_that_cannot_start_fails_with_the_reason(cluster: Cluster) -> None:
    """A crash loop: stable keeps all traffic, and the status has the pod's own words."""
    cluster.kserve.modes["chat-v2"] = "crash"
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "failed"
    assert "no such quantization" in cluster.status()["message"]
    assert cluster.services() == {"chat-v1"}


@plays
async def test_a_standby_takes_over_at_once_from_a_leader_that_stops_in_order(cluster: Cluster) -> None:
    """And goes on where the other left: the canary's share does not fall meanwhile."""
    first, second = cluster.operator("first"), cluster.operator("second")
    stops = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first.run(stops[0]))
        await cluster.until(lambda: first.leading)
        tasks.create_task(second.run(stops[1]))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        assert not second.leading
        stops[0].set()
        await cluster.until(lambda: second.leading, seconds=2.0)
        await cluster.until(cluster.at_rest)
        stops[1].set()
    assert cluster.status()["result"] == "promoted"
    assert cluster.status()["fence"] == 2
    shares = [dict(split).get("chat-v2-predictor", 0) for split in cluster.gateway.splits]
    assert shares == sorted(shares)


def let_lag(operator: Operator, resource: Resource, seconds: float) -> None:
    """Let it hear of this kind so much later, one event after the other."""
    watch = operator._kube.watch

    async def late(kind: Resource, *place: Any, **how: Any) -> AsyncIterator[WatchEvent]:
        async for event in watch(kind, *place, **how):
            if kind is resource:
                await asyncio.sleep(seconds)
            yield event

    operator._kube.watch = late  # type: ignore[method-assign,assignment]  # its own client, and nobody else's


@plays
async def test_a_new_leader_whose_copy_of_the_route_lags_takes_that_for_nobodys_doing(cluster: Cluster) -> None:
    """It knows from the status that the canary has 50 %, and its cache still says 5 %: the route itself is asked."""
    first, second = cluster.operator("first"), cluster.operator("second")
    let_lag(second, HTTP_ROUTE, 2.0)
    stops = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(first.run(stops[0]))
        await cluster.until(lambda: first.leading)
        tasks.create_task(second.run(stops[1]))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        stops[0].set()
        await cluster.until(lambda: second.leading, seconds=2.0)
        await cluster.until(cluster.at_rest, 120)
        stops[1].set()
    assert cluster.status()["result"] == "promoted", cluster.status()["message"]


@plays
async def test_a_leader_that_vanishes_is_replaced_once_its_lease_is_over(cluster: Cluster) -> None:
    """A canary that breaks meanwhile is rolled back by the standby within ten seconds."""
    first, second = cluster.operator("first"), cluster.operator("second")
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(first.run(asyncio.Event()))
        await cluster.until(lambda: first.leading)
        tasks.create_task(second.run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        first._kube.down = True  # type: ignore[attr-defined]  # the memory's own switch: as if the machine had gone
        cluster.numbers.broken = True
        vanished = cluster.clock.now()
        running.cancel()
        await cluster.until(lambda: cluster.shares().get("v2", 0.0) < 0.01, seconds=30)
        assert cluster.clock.now() - vanished <= 10.0
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "rolled_back"


@plays
async def test_a_gateway_that_never_was_is_said_at_once_and_ends_the_attempt_at_its_deadline(cluster: Cluster) -> None:
    """Its controller never answers. Stable runs on, and what the canary held is free."""
    stop, gateway = asyncio.Event(), ("kserve", "kserve-ingress-gateway")
    await cluster.kube.acting_as("kubectl").delete(GATEWAY, *gateway)
    cluster.gateway.silent = True
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(progressDeadline="40s"))
        await cluster.until(lambda: cluster.services() == {"chat-v1", "chat-v2"}, 15)
        await asyncio.sleep(10)
        told = {each["type"]: each for each in cluster.status()["conditions"]}
        assert (told["Drifted"]["status"], told["Drifted"]["message"]) == ("True", LOST.format("/".join(gateway)))
        assert cluster.status()["phase"] == "Preparing"
        await cluster.until(cluster.at_rest, 60)
        stop.set()
    assert (cluster.status()["result"], cluster.services()) == ("failed", {"chat-v1"})
    reason = {each["type"]: each["reason"] for each in cluster.status()["conditions"]}["Degraded"]
    assert reason == "RouteNotReady"


@plays
async def test_what_somebody_takes_away_at_the_route_is_not_written_over_before_its_gateway_has_heard(
    cluster: Cluster,
) -> None:
    """The gateway takes seconds, and until then has no weights in force that could be compared."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        cluster.gateway.delay_s = 3.0
        weights = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": value}
            for place, value in ((0, 950_000), (1, 50_000))
        ]
        await cluster.kube.acting_as("kubectl-edit").patch(HTTP_ROUTE, PLACE, NAME, weights)
        most = 0.0

        def taken_back() -> bool:
            nonlocal most
            most = max(most, cluster.shares().get("v2", 0.0))
            return cluster.at_rest()

        await cluster.until(taken_back, 60)
        stop.set()
    assert most <= 0.05
    story = [each["reason"] for each in cluster.status()["history"] if each["event"] == "phase"]
    assert story[-2:] == ["RouteLowered", "TrafficBack"]


@plays
async def test_the_lease_is_given_back_at_the_end(cluster: Cluster) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.until(lambda: cluster.operators[0].leading)
        stop.set()
    [lease] = cluster.kube.objects(LEASE).values()
    assert (lease["metadata"]["name"], lease["spec"]["holderIdentity"]) == (LEASE_NAME, "")


@plays
async def test_a_route_that_somebody_else_edits_is_put_back_and_the_culprit_named(cluster: Cluster) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        meddling = [{"op": "replace", "path": "/spec/hostnames", "value": ["other.example.com"]}]
        await cluster.kube.acting_as("argocd-controller").patch(HTTP_ROUTE, PLACE, NAME, meddling)
        mended = ["chat.example.com"]
        await cluster.until(lambda: cluster.kube.objects(HTTP_ROUTE)[PLACE, NAME]["spec"]["hostnames"] == mended, 3.0)
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"


@plays
async def test_a_gateway_that_is_deleted_holds_the_rollout_and_is_named(cluster: Cluster) -> None:
    """Its controller leaves the route's status as it was. Nothing moves until it is there again; then it goes on."""
    stop, gateway = asyncio.Event(), ("kserve", "kserve-ingress-gateway")
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        await cluster.kube.acting_as("kubectl").delete(GATEWAY, *gateway)
        await asyncio.sleep(30)
        assert (cluster.status()["stage"], cluster.shares()) == (1, {"v1": 0.5, "v2": 0.5})
        notes = [each["note"] for each in cluster.kube.objects(EVENT).values() if each["reason"] == "Drift"]
        assert notes == [LOST.format("/".join(gateway))]
        told = {each["type"]: each for each in cluster.status()["conditions"]}
        assert (told["Drifted"]["status"], told["Drifted"]["message"]) == ("True", notes[0])
        cluster.kube.seed(GATEWAY, {"metadata": dict(zip(("namespace", "name"), gateway, strict=True))})
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"
    assert cluster.services() == {"chat-v2"}


@plays
async def test_only_what_belongs_to_a_rollout_pokes_it(cluster: Cluster) -> None:
    """Another team's pods cost nothing."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        operator = cluster.operator()
        tasks.create_task(operator.run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(cluster.at_rest)
        await asyncio.sleep(5)
        passes = operator.tally.passes
        for number in range(20):
            metadata = {"name": f"p{number}", "namespace": PLACE, "labels": {"app": "x", **labels("other")}}
            cluster.kube.seed(POD, {"metadata": metadata, "spec": {"containers": []}})
        await asyncio.sleep(5)
        assert operator.tally.passes == passes
        stop.set()


def test_metrics_and_health_are_served_while_it_runs() -> None:
    """Over a real socket, in real time."""

    async def story() -> None:
        kube = MemoryKube(SystemClock())
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = Settings(identity="one", home="serinus", listen=f"127.0.0.1:{port}")
        operator = Operator(settings, kube, clock=SystemClock(), say=lambda _key, _words: None)
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(operator.run(stop))
            async with asyncio.timeout(20):
                while not operator.leading:  # noqa: ASYNC110  # there is no event for it
                    await asyncio.sleep(0.05)
            pages = [await asyncio.to_thread(_get, port, path) for path in ("/healthz", "/readyz", "/metrics")]
            stop.set()
        assert pages[:2] == ["ok\n", "ok\n"]
        assert "canary_operator_leading 1.0" in pages[2]
        assert 'canary_rollbacks_total{reason="GateFailed"} 0.0' in pages[2]

    asyncio.run(story())


def _get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
        return str(answer.read().decode())


def test_an_address_that_cannot_be_had_is_said_before_anything_starts() -> None:
    kube = MemoryKube(SystemClock())
    settings = Settings(identity="one", home="serinus", listen="203.0.113.1:1")
    operator = Operator(settings, kube, clock=SystemClock(), say=lambda _key, _words: None)
    with pytest.raises(BadInput, match=r"cannot listen on 203\.0\.113\.1:1"):
        asyncio.run(operator.run(asyncio.Event()))
    assert not kube.counts


def test_a_plan_that_nobody_says_the_prometheus_of_is_refused() -> None:
    kube = MemoryKube(SystemClock())
    operator = Operator(
        Settings(identity="one", home="serinus"), kube, clock=SystemClock(), say=lambda _key, _words: None
    )
    world = ClusterWorld(kube, operator.following.caches, clock=SystemClock(), prometheus=None, interval=1.0)
    plan = read(a_canary()).plan
    assert plan is not None
    with pytest.raises(BadInput, match="nobody says where Prometheus answers"):
        world.open(plan, PLACE)
