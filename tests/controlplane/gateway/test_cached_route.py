"""What the router sees of its route in memory and virtual time, and what it makes of everybody who disturbs it."""

import copy

import pytest

from canary.errors import ExternalError
from canary.weights import ALL_STABLE, WHOLE, Weights
from controlplane.gateway.router import GatewayRouter
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import GATEWAY
from tests.controlplane.gateway.world import NAMESPACE, World, edit, plan, settled, started, told

FIVE, QUARTER = Weights(50_000), Weights(250_000)
V1, V2 = "chat-v1-predictor", "chat-v2-predictor"
WEIGHT = "/spec/rules/0/backendRefs/{}/weight"


@told
async def test_before_there_is_a_route_no_weights_are_in_force(world: World) -> None:
    """So the loop asks for those that it wants, and the route is made."""
    seen = await world.router().seen()
    assert seen.weights is None
    assert seen.problem == "HTTPRoute models/chat does not exist"


@told
async def test_each_slot_says_since_when_it_is_whose(world: World) -> None:
    began = world.clock.now()
    router = await started(world)
    assert router.slots() == {"stable": (0, began)}
    await world.clock.sleep(10.0)
    await router.set_weights(FIVE)
    place, since = router.slots()["canary"]
    assert (place, router.slots()["stable"]) == (1, (0, began))
    assert began + 10.0 <= since < world.clock.now()
    await router.set_weights(QUARTER)
    assert router.slots()["canary"] == (1, since)


@told
async def test_a_route_that_is_refused_by_its_gateway_serves_nobody(world: World) -> None:
    world.controller.accepted = ("False", "NoMatchingListenerHostname")
    router = world.router()
    with pytest.raises(ExternalError, match="does not accept it: NoMatchingListenerHostname"):
        await router.set_weights(ALL_STABLE)
    seen = await router.seen()
    assert seen.weights is None
    assert "NoMatchingListenerHostname" in seen.problem
    assert "does not accept it: NoMatchingListenerHostname" in router.refused()


@told
async def test_a_service_that_is_missing_is_a_problem_and_the_weights_stay_known(world: World) -> None:
    router = await started(world, FIVE)
    world.controller.resolved = ("False", "BackendNotFound")
    await router.set_weights(QUARTER)
    seen = await router.seen()
    assert seen.weights == QUARTER
    assert "BackendNotFound" in seen.problem


@told
async def test_a_gateway_that_is_not_there_is_said_to_be(world: World) -> None:
    world.controller.gateway = ("edge", "public")
    router = world.router()
    with pytest.raises(ExternalError):
        await router.set_weights(ALL_STABLE)
    assert "gateway kserve/kserve-ingress-gateway may be missing" in (await router.seen()).problem


@told
async def test_a_canary_that_never_was_in_the_route_may_go_whatever_the_gateway_says(world: World) -> None:
    """Its GPUs are not kept for a route that nobody serves."""
    world.controller.accepted = ("False", "NotAllowedByListeners")
    router = world.router()
    with pytest.raises(ExternalError):
        await router.set_weights(ALL_STABLE)
    assert router.idle("canary")
    assert not router.idle("stable")


@told
async def test_a_gateway_that_serves_nothing_keeps_no_canary(world: World) -> None:
    router = await started(world, FIVE)
    world.controller.accepted = ("False", "NoMatchingParent")
    await router.set_weights(ALL_STABLE)
    await settled(world, router)
    assert world.split == [(V1, WHOLE), (V1, 0)]
    assert router.idle("canary")


@told
async def test_a_gateway_that_may_still_serve_the_canary_keeps_it(world: World) -> None:
    router = await started(world, FIVE)
    world.controller.silent = True
    await router.set_weights(ALL_STABLE)
    await world.clock.sleep(5.0)
    assert not await router.settle()
    assert world.split == [(V1, 999_999), (V2, 1)]
    assert not router.idle("canary")


@told
async def test_a_gateway_that_was_deleted_serves_nobody_whatever_the_route_says(world: World) -> None:
    """Its controller leaves the route's status as it was; the canary is not kept for that."""
    gateways = Cache(GATEWAY)
    there = {"metadata": {"namespace": "kserve", "name": "kserve-ingress-gateway", "resourceVersion": "1"}}
    gateways.replace([there])
    router = GatewayRouter(world.kube, world.routes, plan(), namespace=NAMESPACE, clock=world.clock, gateways=gateways)
    await router.set_weights(ALL_STABLE)
    await router.set_weights(FIVE)
    gateways.replace([])
    seen = await router.seen()
    assert seen.weights is None
    assert "gateway kserve/kserve-ingress-gateway does not exist, so nobody is served through it" in seen.problem
    world.controller.silent = True
    await router.set_weights(ALL_STABLE)
    await settled(world, router)
    assert world.split == [(V1, WHOLE), (V1, 0)]


@told
async def test_a_change_by_somebody_else_is_named_and_put_right_by_asking_again(world: World) -> None:
    router = await started(world, FIVE)
    await edit(world, WEIGHT.format(1), 500_000)
    assert router.drift() == "kubectl-edit changed spec.rules[0].backendRefs[1].weight from 50000 to 500000"
    assert (await router.seen()).weights == Weights(344_828)
    await router.set_weights(FIVE)
    assert (router.drift(), (await router.seen()).weights) == ("", FIVE)


@told
async def test_a_change_beside_the_weights_is_put_right_too(world: World) -> None:
    router = await started(world, FIVE)
    await edit(world, "/spec/hostnames", ["elsewhere.example.com"], "argocd-controller")
    assert router.drift() == (
        "argocd-controller changed spec.hostnames[0] from chat.example.com to elsewhere.example.com"
    )
    await router.set_weights(FIVE)
    assert world.route["spec"]["hostnames"] == ["chat.example.com"]
    assert router.drift() == ""


@told
async def test_a_match_that_somebody_adds_is_a_change_though_we_had_none(world: World) -> None:
    router = await started(world, FIVE)
    header = [{"type": "Exact", "name": "x-team", "value": "blue"}]
    await edit(world, "/spec/rules/0/matches/0", {"path": {"type": "PathPrefix", "value": "/"}, "headers": header})
    assert router.drift().startswith("kubectl-edit changed spec.rules[0].matches[0].headers from nothing to [{")
    await router.set_weights(FIVE)
    assert "headers" not in world.route["spec"]["rules"][0]["matches"][0]


@told
async def test_a_new_plan_without_a_host_name_takes_the_old_one_away(world: World) -> None:
    await started(world, FIVE)
    newer = world.router(plan(kserve={"hostname": None}))
    await newer.set_weights(FIVE)
    assert "hostnames" not in world.route["spec"]


@told
async def test_a_new_plans_own_change_of_the_route_is_no_drift(world: World) -> None:
    await started(world, FIVE)
    newer = world.router(plan(kserve={"hostname": "new.example.com"}))
    assert newer.drift() == ""
    await newer.set_weights(ALL_STABLE)
    assert world.route["spec"]["hostnames"] == ["new.example.com"]


@told
async def test_a_slot_that_somebody_pointed_elsewhere_has_no_counters_to_read(world: World) -> None:
    router = await started(world, FIVE)
    await edit(world, "/spec/rules/0/backendRefs/1/name", "somebodys")
    assert set(router.slots()) == {"stable"}
    assert (await router.seen()).weights is None
    await router.set_weights(ALL_STABLE)
    assert world.split == [(V1, 999_999), ("somebodys", 1)]
    await settled(world, router)
    assert world.split == [(V1, WHOLE), (V1, 0)]


@told
async def test_a_stage_of_one_in_a_million_is_what_it_asks_for(world: World) -> None:
    router = await started(world, Weights(1))
    assert (await router.seen()).weights == Weights(1)
    await world.clock.sleep(1.0)
    await router.settle()
    assert world.split == [(V1, 999_999), (V2, 1)]


@told
async def test_a_route_that_looks_lowered_in_an_old_copy_is_read_anew(world: World) -> None:
    """The cache of a new process may be behind: it has the route of before the last write."""
    router = await started(world, FIVE)
    before = copy.deepcopy(world.route)
    await router.set_weights(QUARTER)
    world.routes.replace([before])
    late = world.router()
    assert (await late.seen()).weights == FIVE
    await late.confirm()
    assert (await late.seen()).weights == QUARTER
