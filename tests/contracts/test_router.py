"""What every router promises, asked of the one in memory and of the real Envoy."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.errors import WorldError
from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Arm, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.memory import MemoryRouter
from tests.controlplane.adapters.upstreams import upstream

Router = MemoryRouter | EnvoyRouter
Endpoints = dict[Arm, dict[str, str]]


@pytest.fixture(params=["memory", pytest.param("envoy", marks=pytest.mark.real)])
async def router(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Router]:
    if request.param == "memory":
        yield MemoryRouter(time.time)
        return
    async with EnvoyRouter(tmp_path, listen="127.0.0.1:0", now=time.time) as envoy:
        yield envoy
        await envoy.close(grace_s=0.0)


@pytest.fixture
async def both(router: Router) -> AsyncIterator[Endpoints]:
    """Both arms have a replica, and the router knows them."""
    async with upstream("stable") as stable, upstream("canary") as canary:
        endpoints: Endpoints = {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}}
        await router.set_endpoints(endpoints, endpoints)
        yield endpoints


async def test_a_new_router_sends_the_canary_nothing(router: Router) -> None:
    seen = await router.seen()
    assert seen.weights == ALL_STABLE
    assert "no replica is known" in seen.problem


async def test_everything_on_stable_may_be_asked_for_before_anything_is_known(router: Router) -> None:
    """It is where every rollout begins."""
    await router.set_weights(ALL_STABLE)
    assert (await router.seen()).weights == ALL_STABLE


async def test_the_weights_that_were_set_are_the_ones_seen(router: Router, both: Endpoints) -> None:
    for millionths in (50_000, 250_000, 1, 750_000, WHOLE, 999_999, 0):
        await router.set_weights(Weights(millionths))
        seen = await router.seen()
        assert (seen.weights, seen.problem) == (Weights(millionths), "")


async def test_setting_the_same_weights_again_changes_nothing(router: Router, both: Endpoints) -> None:
    await router.set_weights(Weights(250_000))
    await router.set_weights(Weights(250_000))
    assert (await router.seen()).weights == Weights(250_000)


async def test_an_arm_without_a_replica_gets_no_traffic(router: Router) -> None:
    """The error says so, and the weights stay as they were."""
    async with upstream("stable") as stable:
        only_stable: Endpoints = {"stable": {"stable-0": stable}, "canary": {}}
        await router.set_endpoints(only_stable, only_stable)
        with pytest.raises(WorldError, match="canary arm has an address"):
            await router.set_weights(Weights(50_000))
    assert (await router.seen()).weights == ALL_STABLE


async def test_stable_without_a_replica_is_not_given_what_the_canary_serves(router: Router) -> None:
    """Even a rollback does not trade a canary that answers for nobody who does."""
    async with upstream("canary") as canary:
        only_canary: Endpoints = {"stable": {}, "canary": {"canary-0": canary}}
        await router.set_endpoints(only_canary, only_canary)
        await router.set_weights(ALL_CANARY)
        with pytest.raises(WorldError, match="stable arm has an address"):
            await router.set_weights(ALL_STABLE)
    assert (await router.seen()).weights == ALL_CANARY


async def test_an_arm_with_traffic_keeps_its_addresses_when_none_are_left(router: Router, both: Endpoints) -> None:
    """Losing sight of a replica is no reason to move anybody's traffic."""
    await router.set_weights(Weights(250_000))
    await router.set_endpoints({"stable": both["stable"]}, {"stable": both["stable"]})
    assert (await router.seen()).weights == Weights(250_000)


async def test_an_idle_arm_goes_when_its_replicas_go(router: Router, both: Endpoints) -> None:
    await router.set_endpoints({"stable": both["stable"]}, {"stable": both["stable"]})
    with pytest.raises(WorldError, match="canary arm has an address"):
        await router.set_weights(Weights(50_000))


async def test_what_is_seen_carries_its_time(router: Router) -> None:
    before = time.time()
    assert before <= (await router.seen()).at <= time.time()
