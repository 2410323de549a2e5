"""The router in memory and virtual time: every way that traffic moves, and everybody who disturbs it."""

import asyncio
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import Conflict, ExternalError, Unavailable
from canary.weights import ALL_CANARY, ALL_STABLE, WHOLE, Weights
from controlplane.gateway.claims import Claims
from controlplane.gateway.router import FALL_PATIENCE_S, PATIENCE_S, GatewayRouter
from controlplane.gateway.slots import SETTLED_S
from controlplane.kubernetes.api import Rejected
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import HTTP_ROUTE
from controlplane.simulation.clock import VirtualClock, play
from tests.controlplane.gateway.world import NAMESPACE, Split, World, edit, plan, settled, started, told, world

FIVE, QUARTER = Weights(50_000), Weights(250_000)
V1, V2 = "chat-v1-predictor", "chat-v2-predictor"
WEIGHT = "/spec/rules/0/backendRefs/{}/weight"


@told
async def test_a_route_begins_with_everything_on_stable(world: World) -> None:
    router = await started(world)
    assert world.split == [(V1, WHOLE), (V1, 0)]
    assert (await router.seen()).weights == ALL_STABLE
    assert router.idle("canary")
    assert not router.idle("stable")


@told
async def test_a_canary_gets_its_share_only_after_half_a_second_at_one_in_a_million(world: World) -> None:
    router = await started(world)
    began = world.clock.now()
    await router.set_weights(FIVE)
    assert world.controller.splits[-2:] == [[(V1, 999_999), (V2, 1)], [(V1, 950_000), (V2, 50_000)]]
    assert world.clock.now() - began >= SETTLED_S
    assert (await router.seen()).weights == FIVE


@told
async def test_a_rollback_is_one_write(world: World) -> None:
    router = await started(world, FIVE, QUARTER)
    before = world.writes()
    await router.set_weights(ALL_STABLE)
    assert world.writes() == before + 1
    assert world.split == [(V1, 999_999), (V2, 1)]
    assert (await router.seen()).weights == ALL_STABLE


@told
async def test_r5_a_rollback_does_not_wait_for_a_gateway_that_is_silent(world: World) -> None:
    """It is written, and returns; the weights in force are not known until the gateway speaks."""
    router = await started(world, FIVE)
    world.controller.silent = True
    began = world.clock.now()
    await router.set_weights(ALL_STABLE)
    assert world.clock.now() - began <= FALL_PATIENCE_S + 0.05
    assert world.split == [(V1, 999_999), (V2, 1)]
    seen = await router.seen()
    assert seen.weights is None
    assert "has not taken the last change yet" in seen.problem


@told
async def test_r5_a_rollback_overwrites_whatever_somebody_else_is_writing(world: World) -> None:
    router = await started(world, FIVE)
    somebody = world.kube.acting_as("kubectl-edit")
    await somebody.patch(HTTP_ROUTE, NAMESPACE, "chat", [{"op": "replace", "path": WEIGHT.format(1), "value": 500_000}])
    await router.set_weights(ALL_STABLE)  # the cache has not heard of the edit
    assert world.split == [(V1, 999_999), (V2, 1)]


@told
async def test_a_rise_does_not_overwrite_a_change_that_it_has_not_seen(world: World) -> None:
    router = await started(world, FIVE)
    somebody = world.kube.acting_as("kubectl-edit")
    await somebody.patch(HTTP_ROUTE, NAMESPACE, "chat", [{"op": "replace", "path": WEIGHT.format(1), "value": 0}])
    with pytest.raises(Conflict):
        await router.set_weights(QUARTER)
    assert world.split == [(V1, 950_000), (V2, 0)]


@told
async def test_a_rollback_is_tidied_up_later_and_then_the_canary_may_go(world: World) -> None:
    router = await started(world, FIVE)
    await router.set_weights(ALL_STABLE)
    assert not await router.settle()
    assert not router.idle("canary")
    await settled(world, router)
    assert world.split == [(V1, WHOLE), (V1, 0)]
    assert router.idle("canary")


@told
async def test_a_killed_process_leaves_what_the_next_one_tidies_up(world: World) -> None:
    router = await started(world, FIVE)
    await router.set_weights(ALL_STABLE)
    await settled(world, world.router())
    assert world.split == [(V1, WHOLE), (V1, 0)]


@told
async def test_a_process_killed_while_the_canary_started_is_followed_by_one_that_goes_on(world: World) -> None:
    router = await started(world)
    await world.clock.sleep(1.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(SETTLED_S / 2):
            await router.set_weights(FIVE)
    assert world.split == [(V1, 999_999), (V2, 1)]
    after = world.router()
    assert (await after.seen()).weights == ALL_STABLE
    await after.set_weights(FIVE)
    assert world.split == [(V1, 950_000), (V2, 50_000)]


@told
async def test_tidying_up_leaves_a_canary_alone_that_is_about_to_start(world: World) -> None:
    router = await started(world)
    async with asyncio.TaskGroup() as group:
        rise = group.create_task(router.set_weights(FIVE))
        while not rise.done():
            await router.settle()
            await world.clock.sleep(0.05)
    assert world.split == [(V1, 950_000), (V2, 50_000)]


@told
async def test_at_a_hundred_percent_the_way_back_stays_warm(world: World) -> None:
    router = await started(world, FIVE, ALL_CANARY)
    assert world.split == [(V1, 1), (V2, 999_999)]
    assert (await router.seen()).weights == ALL_CANARY
    await world.clock.sleep(2.0)
    await router.settle()
    assert world.split == [(V1, 1), (V2, 999_999)]


@told
async def test_after_a_promotion_stable_goes_to_rest_when_it_is_asked_to(world: World) -> None:
    router = await started(world, FIVE, ALL_CANARY)
    while not await router.settle("stable"):
        await world.clock.sleep(0.1)
    assert world.split == [(V2, 0), (V2, WHOLE)]
    assert router.idle("stable")
    assert (await router.seen()).weights == ALL_CANARY


@told
async def test_stable_does_not_go_to_rest_while_it_is_wanted(world: World) -> None:
    router = await started(world, FIVE)
    await world.clock.sleep(1.0)
    assert not await router.settle("stable")
    assert world.split == [(V1, 950_000), (V2, 50_000)]


@told
async def test_the_next_rollout_begins_in_the_other_slot(world: World) -> None:
    """The winner keeps its place, so its cluster keeps its name and its counters."""
    router = await started(world, FIVE, ALL_CANARY)
    while not await router.settle("stable"):
        await world.clock.sleep(0.1)
    following = world.router(plan("v2", "v3"))
    assert (await following.seen()).weights == ALL_STABLE
    await following.set_weights(FIVE)
    assert world.split == [("chat-v3-predictor", 50_000), (V2, 950_000)]
    assert {arm: place for arm, (place, _) in following.slots().items()} == {"stable": 1, "canary": 0}


@told
async def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    router = await started(world, FIVE)
    before = world.writes()
    for _ in range(10):
        await router.set_weights(FIVE)
        await router.settle()
        await router.seen()
    assert world.writes() == before


@told
async def test_r5_a_rise_that_the_gateway_does_not_take_raises_in_time(world: World) -> None:
    router = await started(world, FIVE)
    world.controller.silent = True
    began = world.clock.now()
    with pytest.raises(
        ExternalError, match=r"models/chat is written and not in force: gateway kserve/.* has not taken"
    ):
        await router.set_weights(QUARTER)
    assert world.clock.now() - began <= PATIENCE_S + 0.1


@told
async def test_r5_somebody_elses_route_of_this_name_is_left_as_it_is(world: World) -> None:
    theirs = {
        "apiVersion": HTTP_ROUTE.api_version,
        "kind": "HTTPRoute",
        "metadata": {"name": "chat", "namespace": NAMESPACE},
        "spec": {"rules": [{"backendRefs": [{"name": "theirs", "port": 80}]}]},
    }
    await world.kube.acting_as("somebody").create(HTTP_ROUTE, theirs)
    await world.clock.sleep(0.1)
    router = world.router()
    for weights in (ALL_STABLE, FIVE):
        with pytest.raises(Rejected, match="models/chat was not made by Serinus and is left as it is"):
            await router.set_weights(weights)
    assert not await router.settle()
    assert (await router.seen()).weights is None
    assert world.route["spec"] == theirs["spec"]


@told
async def test_r5_a_route_that_was_deleted_comes_back_with_everything_on_stable(world: World) -> None:
    """What was taken away is not given back: the loop sees less than it had, and rolls back."""
    router = await started(world, FIVE)
    await world.kube.acting_as("kubectl").delete(HTTP_ROUTE, NAMESPACE, "chat")
    await world.clock.sleep(0.1)
    assert (await router.seen()).weights is None
    with pytest.raises(ExternalError, match="was not there any more; it has been made again with everything on v1"):
        await router.set_weights(FIVE)
    await world.clock.sleep(0.1)
    assert world.split == [(V1, WHOLE), (V1, 0)]
    assert (await router.seen()).weights == ALL_STABLE


@told
async def test_a_rollback_of_a_route_that_was_just_deleted_makes_it_again(world: World) -> None:
    router = await started(world, FIVE)
    await world.kube.acting_as("kubectl").delete(HTTP_ROUTE, NAMESPACE, "chat")
    await router.set_weights(ALL_STABLE)  # the cache has not heard of it
    assert world.split[0] == (V1, 999_999)


@told
async def test_a_cache_that_was_never_filled_is_no_reason_to_make_a_second_route(world: World) -> None:
    router = await started(world, FIVE)
    world.routes.drop((NAMESPACE, "chat"))
    world.routes.synced = False
    assert (await router.seen()).problem == "HTTPRoute models/chat has not been read yet"
    assert not router.idle("canary")
    await router.set_weights(ALL_STABLE)
    assert world.split == [(V1, 999_999), (V2, 1)]


@told
async def test_a_write_that_fails_leaves_the_route_and_is_asked_for_again(world: World) -> None:
    router = await started(world, FIVE)
    world.kube.fail_next(Unavailable("the API server does not answer"), verb="patch")
    with pytest.raises(Unavailable):
        await router.set_weights(ALL_STABLE)
    assert (await router.seen()).weights == FIVE
    await router.set_weights(ALL_STABLE)
    assert (await router.seen()).weights == ALL_STABLE


@told
async def test_a_rollback_overtakes_a_rise_that_waits(world: World) -> None:
    router = await started(world)
    await world.clock.sleep(1.0)

    async def rise() -> None:
        with pytest.raises(ExternalError, match="other weights were asked for meanwhile"):
            await router.set_weights(FIVE)

    async with asyncio.TaskGroup() as group:
        group.create_task(rise())
        await world.clock.sleep(SETTLED_S / 2)
        await router.set_weights(ALL_STABLE)
    assert world.split == [(V1, 999_999), (V2, 1)]
    await settled(world, router)
    assert world.split == [(V1, WHOLE), (V1, 0)]


@told
async def test_both_rules_of_a_cohort_follow(world: World) -> None:
    """The weighted rule stands first whoever takes part; the others change over only when stable goes."""
    router = world.router(plan(cohort={"header": "x-team", "in": ["blue"]}))
    for weights in (ALL_STABLE, FIVE, ALL_CANARY):
        await router.set_weights(weights)
        assert [each["name"] for each in world.route["spec"]["rules"][1]["backendRefs"]] == [V1]
    while not await router.settle("stable"):
        await world.clock.sleep(0.1)
    assert [each["name"] for each in world.route["spec"]["rules"][1]["backendRefs"]] == [V2]


SHARES = st.sampled_from([ALL_STABLE, FIVE, QUARTER, Weights(750_000), ALL_CANARY])
DEEDS = st.one_of(
    st.tuples(st.just("ask"), SHARES),
    st.tuples(st.just("ask, and be killed"), SHARES),
    st.tuples(st.just("tidy up"), st.sampled_from(["canary", "stable"])),
    st.tuples(st.just("restart"), st.none()),
    st.tuples(st.just("lose a write"), st.booleans()),
    st.tuples(st.just("gateway takes so long"), st.sampled_from([0.0, 0.03, 0.4, 1.5])),
    st.tuples(st.just("let time pass"), st.sampled_from([0.1, 0.7, 6.0])),
)


async def do(world: World, router: GatewayRouter, deed: str, what: Any) -> GatewayRouter:
    """One deed of a story; what the world refuses is asked for again by later ones, or never."""
    match deed:
        case "ask" | "ask, and be killed":
            patience = 5.0 if deed == "ask" else 0.3
            with suppress(ExternalError, TimeoutError):
                async with asyncio.timeout(patience):
                    await router.set_weights(what)
        case "tidy up":
            for _ in range(8):
                with suppress(ExternalError):
                    await router.settle(what)
                await world.clock.sleep(0.1)
        case "restart":
            return world.router()
        case "lose a write":
            world.kube.fail_next(Unavailable("no answer"), verb="patch", after=what)
        case "gateway takes so long":
            world.controller.delay_s = what
        case _:
            await world.clock.sleep(what)
    return router


def share(split: Split) -> int:
    return sum(weight for service, weight in split if service == V2)


@settings(max_examples=40, deadline=None)
@given(st.lists(DEEDS, max_size=10))
def test_r5_whatever_happens_the_gateway_never_has_a_gap_to_serve(deeds: list[tuple[str, Any]]) -> None:
    """Kills, lost answers, a slow gateway, in any order: what is in force never jumps to or from nothing.

    And the canary never gets more than it had or was asked to get.
    """

    async def story() -> None:
        async with world(VirtualClock()) as here:
            router = await started(here)
            for deed, what in deeds:
                most = max(share(here.split), what.canary if isinstance(what, Weights) else 0, 1)
                router = await do(here, router, deed, what)
                assert share(here.split) <= most + 1
            here.controller.delay_s = 0.03
            await here.clock.sleep(5.0)
            deeds.append(("ask", ALL_STABLE))
            for _ in range(len(deeds)):  # writes that are still to be lost
                with suppress(ExternalError):
                    await router.set_weights(ALL_STABLE)
                    await settled(here, router)
            assert here.split in ([(V1, WHOLE), (V1, 0)], [(V1, 0), (V1, WHOLE)])
            for before, after in pairwise(here.controller.splits):
                for (was, weight), (becomes, then) in zip(before, after, strict=True):
                    assert not (weight == 0 and then > 1), (before, after)
                    assert not (weight > 1 and then == 0), (before, after)
                    assert was == becomes or weight <= 1, (before, after)

    play(story())


@told
async def test_s14_a_route_lets_go_of_its_gateway_for_an_older_one_at_any_pass(world: World) -> None:
    """Whatever the rollout does just then; and hangs on it again, unless somebody else has taken it off."""
    router = GatewayRouter(
        world.kube,
        world.routes,
        plan(),
        namespace=NAMESPACE,
        clock=world.clock,
        claims=Claims(world.routes, Cache(HTTP_ROUTE)),
    )
    await router.set_weights(ALL_STABLE)
    parents = world.route["spec"]["parentRefs"]
    older = {"name": "shop", "namespace": "team-b", "creationTimestamp": "2000-01-01T00:00:00Z"}
    rules = [{"backendRefs": [{"name": "shop"}]}]
    world.kube.seed(
        HTTP_ROUTE, {"metadata": older, "spec": {"parentRefs": parents, "hostnames": ["*.example.com"], "rules": rules}}
    )
    await world.clock.sleep(0.1)
    await router.attach()
    assert world.route["spec"]["parentRefs"] == []
    seen = await router.seen()
    assert seen.weights is None
    assert "HTTPRoute team-b/shop has chat.example.com (as *.example.com)" in seen.problem
    before = world.writes()
    await router.attach()
    assert world.writes() == before
    await world.kube.acting_as("kubectl").delete(HTTP_ROUTE, "team-b", "shop")
    await world.clock.sleep(0.1)
    await router.attach()
    assert world.route["spec"]["parentRefs"] == parents
    await edit(world, "/spec/parentRefs", [])
    await router.attach()
    assert world.route["spec"]["parentRefs"] == [], "what somebody else changes is drift"
