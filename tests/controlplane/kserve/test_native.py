"""`spec.canary`: believed only where KServe's own route follows."""

import pytest

from canary.errors import BadInput, Conflict, ExternalError
from canary.weights import ALL_CANARY, ALL_STABLE, Weights
from controlplane.kserve.convergence import PATIENCE_S, POLL_S
from controlplane.kserve.native import FOLLOWS_S, MOVES_NOTHING
from controlplane.kserve.native_service import native_service
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import HTTP_ROUTE, INFERENCE_SERVICE, POD, SERVING_RUNTIME
from profiles.catalogue import builtin
from tests.controlplane.kserve.worlds import NAMESPACE, NativeWorld, plan

ONE = "runtime: serinus-sim, uri: 'hf://example/1'"
TWO = "runtime: serinus-sim, uri: 'hf://example/2'"


def service(world: NativeWorld) -> Object:
    return world.kube.objects(INFERENCE_SERVICE)[NAMESPACE, "chat"]


async def test_a_kserve_that_moves_nothing_is_found_out_before_any_traffic() -> None:
    """0.20 repeats 25 % in its status and sends 200 of 200 requests to stable."""
    world = NativeWorld(follows=False)
    await world.both_run()
    seen = (await world.platform.seen())["canary"]
    assert (seen.usable, seen.hopeless) == (False, False)
    world.settle(FOLLOWS_S)
    seen = (await world.platform.seen())["canary"]
    assert (seen.problem, seen.usable, seen.hopeless) == (MOVES_NOTHING, False, True)
    assert (await world.platform.seen())["stable"].complete


async def test_a_share_that_the_route_does_not_follow_is_taken_back_after_some_passes() -> None:
    """The status says that it was done. No pass waits for long: other rollouts and their numbers go on meanwhile."""
    world = NativeWorld(follows=False)
    await world.both_run()
    until = world.clock.now() + FOLLOWS_S
    while world.clock.now() < until:
        asked = world.clock.now()
        await world.router.set_weights(Weights(50_000))
        assert world.clock.now() - asked <= PATIENCE_S + POLL_S
        assert service(world)["spec"]["canary"][0]["trafficPercent"] == 5
        await world.clock.sleep(0.25)
    with pytest.raises(ExternalError, match="moves nothing"):
        await world.router.set_weights(Weights(50_000))
    assert service(world)["spec"]["canary"][0]["trafficPercent"] == 0
    assert (await world.router.seen()).weights == ALL_STABLE


async def test_a_route_that_is_late_is_waited_for_from_pass_to_pass() -> None:
    """KServe's controller is slow on a busy machine: the share stands, and is written once."""
    world = NativeWorld()
    await world.both_run()
    world.kserve.follows = False
    await world.router.set_weights(Weights(250_000))
    assert (await world.router.seen()).weights == ALL_STABLE
    written = service(world)["metadata"]["generation"]
    await world.router.set_weights(Weights(250_000))
    world.kserve.follows = True
    world.settle()
    await world.router.set_weights(Weights(250_000))
    assert (await world.router.seen()).weights == Weights(250_000)
    assert service(world)["metadata"]["generation"] == written


async def test_where_the_route_follows_the_weights_are_those_of_the_route() -> None:
    world = NativeWorld()
    await world.both_run()
    assert all(each.complete for each in (await world.platform.seen()).values())
    for percent in (5, 25, 75, 100, 0):
        await world.router.set_weights(Weights(percent * 10_000))
        seen = await world.router.seen()
        assert (seen.weights, seen.problem) == (Weights(percent * 10_000), "")


async def test_a_rolled_back_canary_is_taken_out_only_at_zero() -> None:
    """KServe deletes its Service before it changes the route: at half of the traffic half would fail."""
    world = NativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(500_000))
    await world.platform.stop("canary")
    assert "canary" in service(world)["spec"]
    await world.router.set_weights(ALL_STABLE)
    await world.platform.stop("canary")
    world.settle()
    assert "canary" not in service(world)["spec"]
    assert list(world.kube.objects(POD)) == [(NAMESPACE, "chat-v1-predictor-0")]
    assert world.platform.endpoints()["canary"] == {}


async def test_a_canary_that_cannot_be_waited_for_is_taken_out_with_its_share() -> None:
    world = NativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(250_000))
    await world.platform.drop("canary")
    assert "canary" not in service(world)["spec"]
    assert world.platform.gone("canary")


async def test_a_promoted_canary_becomes_the_predictor_with_its_own_pods() -> None:
    world = NativeWorld()
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    pods = world.platform.endpoints()["canary"]
    await world.platform.stop("stable")
    world.settle()
    spec = service(world)["spec"]
    assert spec["predictor"]["name"] == "v2"
    assert "canary" not in spec
    assert world.platform.endpoints()["canary"] == pods
    assert (await world.router.seen()).weights == ALL_CANARY


async def test_the_canary_waits_for_stable() -> None:
    world = NativeWorld()
    await world.platform.run("canary", world.plan.spec.canary)
    assert not world.kube.objects(INFERENCE_SERVICE)
    await world.router.set_weights(ALL_STABLE)
    with pytest.raises(ExternalError, match="not in InferenceService chat yet"):
        await world.router.set_weights(Weights(50_000))


async def test_running_again_writes_nothing() -> None:
    world = NativeWorld()
    await world.both_run()
    before = world.kube.counts.total()
    await world.both_run()
    assert world.kube.counts.total() == before


async def test_a_service_that_somebody_put_into_the_route_is_noticed() -> None:
    world = NativeWorld()
    await world.both_run()
    rules = [{"backendRefs": [{"name": "theirs", "weight": 10}]}]
    world.kube.seed(HTTP_ROUTE, {"metadata": {"name": "chat", "namespace": NAMESPACE}, "spec": {"rules": rules}})
    world.kserve.feed(world.caches)
    seen = await world.router.seen()
    assert (seen.weights, seen.problem) == (None, "theirs serves as well: neither variant of this rollout")


async def test_another_canary_under_our_hands_is_not_given_our_share() -> None:
    world = NativeWorld()
    await world.both_run()
    world.kube.fail_next(Conflict("the test failed"), verb="patch")
    with pytest.raises(ExternalError, match="changed meanwhile"):
        await world.router.set_weights(Weights(50_000))


@pytest.mark.parametrize(
    ("stable", "canary", "why"),
    [
        (f"{{name: v1, {ONE}}}", f"{{name: v2, {ONE}, env: {{A: b}}}}", "refuses to promote"),
        (f"{{name: v1, {ONE}}}", f"{{name: v2, {TWO}, replicas: 2}}", "more replicas"),
        (f"{{name: v1, {ONE}}}", f"{{name: 2v, {TWO}}}", "begin with a letter"),
        (f"{{name: v1, {ONE}, engine: {{a: 1}}}}", f"{{name: v2, {TWO}}}", "says nothing of model.args"),
        (f"{{name: v1, {ONE}, nodeSelector: {{a: b}}}}", f"{{name: v2, {TWO}}}", "says nothing of nodeSelector"),
    ],
)
def test_what_spec_canary_cannot_say_is_refused(stable: str, canary: str, why: str) -> None:
    """KServe merges stable into the canary; what is left out is inherited, and nothing can be unset."""
    with pytest.raises(BadInput, match=why):
        native_service(plan(stable, canary, mode="native"), namespace=NAMESPACE, known=builtin(), percent=0)


def test_the_canary_has_its_own_name_labels_and_fixed_replicas() -> None:
    made = native_service(plan(mode="native"), namespace=NAMESPACE, known=builtin(), percent=25)[0].service
    (entry,) = made["spec"]["canary"]
    assert (entry["trafficPercent"], entry["predictor"]["name"]) == (25, "v2")
    assert entry["predictor"]["model"]["name"] == "", "the full CRD wants it where no webhook adds it"
    assert "maxReplicas" not in entry["predictor"]
    assert entry["predictor"]["labels"]["serinus.dev/variant"] == "v2"
    assert "networking.kserve.io/visibility" not in made["metadata"]["labels"], "here KServe's route is the way in"


async def test_the_runtime_of_a_canary_that_was_taken_out_goes_as_well() -> None:
    """First the canary, a look later its runtime: pods that are leaving have no use for it."""
    own = "profile: {gpu: L40S}"
    both = plan(f"{{name: v1, uri: 'hf://a/v1', {own}}}", f"{{name: v2, uri: 'hf://a/v2', {own}}}", mode="native")
    world = NativeWorld(plan=both)
    await world.both_run()
    assert {name for _, name in world.kube.objects(SERVING_RUNTIME)} == {"chat-v1", "chat-v2"}
    for _ in range(3):
        await world.platform.stop("canary")
        world.settle(1.0)
    assert world.platform.gone("canary")
    assert {name for _, name in world.kube.objects(SERVING_RUNTIME)} == {"chat-v1"}
