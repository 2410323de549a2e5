"""What every router promises, asked of the one in memory, of the real Envoy, of an HTTPRoute and a group in memory.

`tests/cluster/test_gateway.py` asks the promises of all routers of a real gateway as well. Those of the routers of this
machine, which know addresses of replicas, come after them.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import pytest

from canary.errors import ExternalError
from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Arm, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.kserve.llm_router import LlmRouter
from controlplane.ports import Router
from testing.memory_adapters import MemoryRouter
from tests.controlplane.adapters.upstreams import Stream, ask, upstream
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.gateway.world import world
from tests.controlplane.kserve.worlds import NAMESPACE, LlmWorld, RealTime
from tests.patience import now

LocalRouter = MemoryRouter | EnvoyRouter
Endpoints = dict[Arm, dict[str, str]]
LOCAL = ["memory", pytest.param("envoy", marks=pytest.mark.real)]


class Member(LlmRouter):
    """The router of a group in a cluster in memory, which goes on whenever the router waits."""

    def __init__(self, world: LlmWorld) -> None:
        self.world = world
        clock = RealTime(world.settle)
        super().__init__(world.kube, world.caches, world.plan, namespace=NAMESPACE, clock=clock)


@asynccontextmanager
async def opened(adapter: str, folder: Path) -> AsyncIterator[LocalRouter]:
    if adapter == "memory":
        yield MemoryRouter(now)
        return
    async with EnvoyRouter(folder, listen="127.0.0.1:0", now=now, patience_s=PATIENCE_S) as envoy:
        yield envoy
        await envoy.close(grace_s=0.0)


@pytest.fixture(params=[*LOCAL, "gateway", "kserve-llm"])
async def router(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Router]:
    if request.param == "kserve-llm":
        yield Member(LlmWorld())
        return
    if request.param == "gateway":
        async with world(RealTime()) as gateway:
            yield gateway.router()
        return
    async with opened(request.param, tmp_path) as local:
        yield local


@pytest.fixture(params=LOCAL)
async def local(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[LocalRouter]:
    async with opened(request.param, tmp_path) as router:
        yield router


@pytest.fixture
async def serving(router: Router) -> AsyncIterator[None]:
    """Both arms can serve, the router knows it, and everything is on stable."""
    async with two_replicas() as endpoints:
        if isinstance(router, LocalRouter):
            await router.set_endpoints(endpoints, endpoints)
        if isinstance(router, Member):
            await router.world.both_run()
        await router.set_weights(ALL_STABLE)
        yield


@pytest.fixture
async def both(local: LocalRouter) -> AsyncIterator[Endpoints]:
    """Both arms have a replica, and the router knows them."""
    async with two_replicas() as endpoints:
        await local.set_endpoints(endpoints, endpoints)
        yield endpoints


@asynccontextmanager
async def two_replicas() -> AsyncIterator[Endpoints]:
    async with upstream("stable") as stable, upstream("canary") as canary:
        yield {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}


async def test_a_new_router_sends_the_canary_nothing(router: Router) -> None:
    """And says that nobody is served yet."""
    seen = await router.seen()
    assert seen.weights in {ALL_STABLE, None}
    assert seen.problem


async def test_everything_on_stable_may_be_asked_for_before_anything_is_known(router: Router) -> None:
    """It is where every rollout begins."""
    await router.set_weights(ALL_STABLE)
    assert (await router.seen()).weights == ALL_STABLE


async def test_the_weights_that_were_set_are_the_ones_seen(router: Router, serving: None) -> None:
    for millionths in (50_000, 250_000, 1, 750_000, WHOLE, 999_999, 0):
        await router.set_weights(Weights(millionths))
        seen = await router.seen()
        assert (seen.weights, seen.problem) == (Weights(millionths), "")


async def test_setting_the_same_weights_again_changes_nothing(router: Router, serving: None) -> None:
    await router.set_weights(Weights(250_000))
    await router.set_weights(Weights(250_000))
    assert (await router.seen()).weights == Weights(250_000)


async def test_what_is_seen_carries_its_time(router: Router) -> None:
    before = now()
    assert before <= (await router.seen()).at <= now()


async def test_a_new_router_of_this_machine_knows_its_weights(local: LocalRouter) -> None:
    seen = await local.seen()
    assert seen.weights == ALL_STABLE
    assert "no replica is known" in seen.problem


async def test_an_arm_without_a_replica_gets_no_traffic(local: LocalRouter) -> None:
    """The error says so, and the weights stay as they were."""
    async with upstream("stable") as stable:
        only_stable: Endpoints = {"stable": {"stable-0": stable}, "canary": {}}
        await local.set_endpoints(only_stable, only_stable)
        with pytest.raises(ExternalError, match="canary arm has an address"):
            await local.set_weights(Weights(50_000))
    assert (await local.seen()).weights == ALL_STABLE


async def test_stable_without_a_replica_is_not_given_what_the_canary_serves(local: LocalRouter) -> None:
    """Even a rollback does not trade a canary that answers for nobody who does."""
    async with upstream("canary") as canary:
        only_canary: Endpoints = {"stable": {}, "canary": {"canary-0": canary}}
        await local.set_endpoints(only_canary, only_canary)
        await local.set_weights(ALL_CANARY)
        with pytest.raises(ExternalError, match="stable arm has an address"):
            await local.set_weights(ALL_STABLE)
    assert (await local.seen()).weights == ALL_CANARY


async def test_an_arm_with_traffic_keeps_its_addresses_when_none_are_left(local: LocalRouter, both: Endpoints) -> None:
    """Losing sight of a replica is no reason to move anybody's traffic."""
    await local.set_weights(Weights(250_000))
    await local.set_endpoints({"stable": both["stable"]}, {"stable": both["stable"]})
    assert (await local.seen()).weights == Weights(250_000)


async def test_an_idle_arm_goes_when_its_replicas_go(local: LocalRouter, both: Endpoints) -> None:
    await local.set_endpoints({"stable": both["stable"]}, {"stable": both["stable"]})
    with pytest.raises(ExternalError, match="canary arm has an address"):
        await local.set_weights(Weights(50_000))


@asynccontextmanager
async def answering(local: LocalRouter, arm: Arm, stream: Stream) -> AsyncIterator[None]:
    """One request is under way on this arm inside the block, and is answered at its end."""
    if isinstance(local, MemoryRouter):
        local.begin(arm)
        yield
        local.end(arm)
        return
    async with asyncio.TaskGroup() as clients:
        clients.create_task(ask(local.address, "/stream"))
        await stream.begun.wait()
        yield
        stream.go_on.set()


async def until_open(local: LocalRouter, **wanted: float) -> None:
    """Wait until so many requests are open on these arms."""
    async with asyncio.timeout(PATIENCE_S):
        while {arm: count.open for arm, count in (await local.in_flight()).items()} != wanted:  # noqa: ASYNC110 - told by none
            await asyncio.sleep(0.01)


async def test_open_requests_are_counted_by_arm_whatever_the_weights_are(local: LocalRouter) -> None:
    stream = Stream()
    async with upstream("stable") as stable, upstream("canary", stream=stream) as canary:
        both: Endpoints = {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}
        await local.set_endpoints(both, both)
        await local.set_weights(ALL_CANARY)
        await until_open(local, stable=0, canary=0)
        before = now()
        async with answering(local, "canary", stream):
            await local.set_weights(ALL_STABLE)
            await until_open(local, stable=0, canary=1)
            assert (await local.in_flight())["canary"].at >= before
        await until_open(local, stable=0, canary=0)
        assert (await local.in_flight())["canary"].broken == 0


async def test_an_answer_that_breaks_off_is_counted_as_broken(local: LocalRouter) -> None:
    stream = Stream()
    async with AsyncExitStack() as stack:
        stable = await stack.enter_async_context(upstream("stable"))
        async with upstream("canary", stream=stream) as canary:
            both: Endpoints = {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}
            await local.set_endpoints(both, both)
            await local.set_weights(ALL_CANARY)
            if isinstance(local, MemoryRouter):
                local.begin("canary")
                local.end("canary", broken=True)
            else:
                host, port = local.address.rsplit(":", 1)
                _, writer = await asyncio.open_connection(host, int(port))
                stack.enter_context(closing(writer))
                writer.write(b"GET /stream HTTP/1.1\r\nhost: test\r\n\r\n")
                await until_open(local, stable=0, canary=1)
                await stream.begun.wait()  # Envoy counts the request before the server has taken the connection
        await until_open(local, stable=0, canary=0)
        assert (await local.in_flight())["canary"].broken == 1


async def test_an_arm_without_traffic_can_be_put_out_of_reach(local: LocalRouter, both: Endpoints) -> None:
    await local.set_weights(Weights(250_000))
    assert not local.idle("stable")
    await local.set_weights(ALL_CANARY)
    await local.retire("stable")
    assert local.idle("stable")
    assert not local.idle("canary")
    await local.set_weights(ALL_STABLE)
    assert not local.idle("stable")
    assert (await local.seen()).weights == ALL_STABLE
