"""The whole operator with its real adapters: reflectors, election, router and platform over an API server in memory.

KServe and the gateway's controller are played; the numbers come from a fleet that is told what the route says.
"""

import asyncio
import socket
import urllib.request

import pytest

from canary.errors import BadInput
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.names import labels
from controlplane.kubernetes.resources import (
    EVENT,
    GATEWAY,
    LEASE,
    MODEL_CANARY,
    POD,
)
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.modes import LOST
from controlplane.operator.operator import Operator
from controlplane.operator.settings import LEASE_NAME, Settings
from controlplane.operator.spec_reader import read
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.operator.cluster import PLACE, Cluster, a_canary, plays


@plays
async def test_apply_is_all_that_a_promotion_needs(cluster: Cluster) -> None:
    """Variants, route, shifts, promotion, and nothing of the old variant left."""
    async with cluster.operated():
        await cluster.until(cluster.at_rest)
    assert cluster.status()["result"] == "promoted"
    assert cluster.services() == {"chat-v2"}
    assert cluster.shares() == {"v2": 1.0}
    assert cluster.status()["slots"][1]["variant"] == "v2"


@plays
async def test_a_canary_that_fails_is_rolled_back_and_its_gpus_are_free(cluster: Cluster) -> None:
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.numbers.broken = True
    assert cluster.status()["result"] == "rolled_back"
    assert cluster.services() == {"chat-v1"}
    assert cluster.shares() == {"v1": 1.0}


@plays
async def test_a_canary_that_lost_its_traffic_answers_what_it_had_begun(cluster: Cluster) -> None:
    """Its place in the route stays as well, or its gateway would count for it no more."""
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.numbers.broken, cluster.numbers.open["canary"] = True, 3
        await cluster.until(lambda: cluster.status()["reason"] == "GateFailed" and "zero" in cluster.status())
        await asyncio.sleep(100)
        assert cluster.services() == {"chat-v1", "chat-v2"}
        assert [slot["variant"] for slot in cluster.status()["slots"]] == ["v1", "v2"]
        assert "Open requests of v2: 3." in cluster.status()["message"]
        cluster.numbers.open["canary"] = 0
    assert cluster.services() == {"chat-v1"}
    assert cluster.shares() == {"v1": 1.0}


@plays
async def test_a_stable_that_was_promoted_over_answers_what_it_had_begun(cluster: Cluster) -> None:
    cluster.numbers.open["stable"] = 2
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("reason") == "Draining")
        await asyncio.sleep(100)
        assert cluster.status()["phase"] == "Watching"
        assert cluster.services() == {"chat-v1", "chat-v2"}
        cluster.numbers.open["stable"] = 0
    assert cluster.services() == {"chat-v2"}


@plays
async def test_a_canary_that_cannot_start_fails_with_the_reason(cluster: Cluster) -> None:
    """A crash loop: stable keeps all traffic, and the status has the pod's own words."""
    cluster.kserve.modes["chat-v2"] = "crash"
    async with cluster.operated():
        await cluster.until(cluster.at_rest)
    assert cluster.status()["result"] == "failed"
    assert "no such quantization" in cluster.status()["message"]
    assert cluster.services() == {"chat-v1"}


@plays
async def test_a_standby_takes_over_at_once_from_a_leader_that_stops_in_order(cluster: Cluster) -> None:
    """And goes on where the other left: the canary's share does not fall meanwhile."""
    first, second = cluster.operator("first"), cluster.operator("second")
    async with cluster.led(first, second) as stop:
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        assert not second.leading
        stop.set()
        await cluster.until(lambda: second.leading, seconds=2.0)
    assert cluster.status()["result"] == "promoted"
    assert cluster.status()["fence"] == 2
    shares = [dict(split).get("chat-v2-predictor", 0) for split in cluster.gateway.splits]
    assert shares == sorted(shares)


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
async def test_the_lease_is_given_back_at_the_end(cluster: Cluster) -> None:
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.until(lambda: cluster.operators[0].leading)
        stop.set()
    [lease] = cluster.kube.objects(LEASE).values()
    assert (lease["metadata"]["name"], lease["spec"]["holderIdentity"]) == (LEASE_NAME, "")


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
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as answer:
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
    world = ClusterEnvironments(kube, operator.following.caches, clock=SystemClock(), prometheus=None, interval=1.0)
    plan = read(a_canary()).plan
    assert plan is not None
    with pytest.raises(BadInput, match="nobody says where Prometheus answers"):
        world.open(plan, PLACE)


@plays
async def test_what_was_rolled_back_is_not_begun_again_for_an_edited_gate(cluster: Cluster) -> None:
    """The condition says why and what to do; `retry` begins it with the new gate, and another engine flag at once."""
    person, stop = cluster.kube.acting_as("kubectl"), asyncio.Event()

    def attempt() -> int:
        return int(cluster.status()["state"]["attempt"])

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await person.apply(MODEL_CANARY, first := a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.numbers.broken = True
        await cluster.until(cluster.at_rest)
        await person.apply(MODEL_CANARY, a_canary(onBlind="rollback"))
        await cluster.until(lambda: cluster.accepted().get("status") == "False")
        assert "v2 runs what was rolled back in attempt 1" in cluster.accepted()["message"]
        assert f"kubectl canary retry chat -n {PLACE}" in cluster.accepted()["message"]
        assert attempt() == 1
        await cluster.ask("retry")
        await cluster.until(lambda: attempt() == 2)
        await cluster.until(cluster.at_rest)
        assert cluster.accepted()["status"] == "True"
        cluster.numbers.broken = False
        await person.apply(MODEL_CANARY, a_canary(canary={**first["spec"]["canary"], "engine": {"eager": True}}))
        await cluster.until(lambda: attempt() == 3)
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"
