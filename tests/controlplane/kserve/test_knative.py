"""One InferenceService, two revisions: the order of writes that KServe's Knative mode needs."""

import pytest

from canary.errors import BadInput, Conflict, ExternalError
from canary.spec.models import ModelCanary
from canary.weights import ALL_CANARY, ALL_STABLE, Arm, Weights
from controlplane.kserve.knative import FOLLOWS_S
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import INFERENCE_SERVICE, POD, SERVING_RUNTIME
from tests.controlplane.kserve.worlds import NAMESPACE, KnativeWorld, plan


def service(world: KnativeWorld) -> Object:
    return world.kube.objects(INFERENCE_SERVICE)[NAMESPACE, "chat"]


def share(world: KnativeWorld) -> object:
    return service(world)["spec"]["predictor"].get("canaryTrafficPercent", "none")


def status(world: KnativeWorld) -> Object:
    return dict(service(world)["status"]["components"]["predictor"])


async def test_stable_is_rolled_out_before_the_canary_is_written() -> None:
    """The first revision cannot be a canary: KServe ignores the share before anything was rolled out."""
    world = KnativeWorld()
    await world.pass_()
    assert share(world) == "none"
    seen = (await world.platform.seen())["canary"]
    assert (seen.ready, seen.problem) == (0, "waits until stable is rolled out: Knative cannot split before")
    await world.both_run()
    assert share(world) == 0
    assert [each.complete for each in (await world.platform.seen()).values()] == [True, True]
    assert (await world.router.seen()).weights == ALL_STABLE


@pytest.mark.parametrize("percent", [1, 5, 25, 75, 99])
async def test_the_share_is_seen_in_force_by_the_revisions(percent: int) -> None:
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(percent * 10_000))
    seen = await world.router.seen()
    assert (seen.weights, seen.problem) == (Weights(percent * 10_000), "")


async def test_a_rollback_is_zero_with_the_template_untouched() -> None:
    """The old template again would be a new revision, and a cold start of the old model."""
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(750_000))
    template = service(world)["spec"]["predictor"]["model"]
    await world.router.set_weights(ALL_STABLE)
    assert share(world) == 0
    assert service(world)["spec"]["predictor"]["model"] == template
    assert status(world)["latestCreatedRevision"] == "revision-00002"


async def test_a_rollback_from_all_of_the_traffic_finds_the_revision_before() -> None:
    """At 100 % the canary counts as rolled out, and Knative lets the old revision go to zero pods."""
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    seen = (await world.platform.seen())["stable"]
    assert (seen.usable, seen.problem) == (True, "scaled to zero by Knative; starts on demand")
    await world.router.set_weights(ALL_STABLE)
    assert (await world.router.seen()).weights == ALL_STABLE
    assert status(world)["latestRolledoutRevision"] == "revision-00001"


async def test_a_promotion_drops_the_share() -> None:
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    await world.platform.run("canary", world.plan.spec.canary)
    await world.platform.stop("stable")
    world.settle()
    assert share(world) == "none"
    assert status(world)["latestCreatedRevision"] == "revision-00002", "nothing was restarted"
    assert (await world.router.seen()).weights == ALL_CANARY


async def test_a_promoted_variant_is_the_next_plans_stable() -> None:
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    await world.platform.stop("stable")
    world.settle()
    world.begin(
        plan("{name: v2, runtime: serinus-sim}", "{name: v3, runtime: serinus-sim, env: {A: b}}", mode="knative")
    )
    await world.both_run()
    assert (await world.router.seen()).weights == ALL_STABLE
    await world.router.set_weights(Weights(50_000))
    assert (await world.router.seen()).weights == Weights(50_000)


async def test_a_rolled_back_canary_gives_its_pods_back_and_stable_is_not_restarted() -> None:
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(50_000))
    await world.router.set_weights(ALL_STABLE)
    stable = world.platform.endpoints()["stable"]
    await world.platform.stop("canary")
    world.settle()
    assert world.platform.endpoints() == {"stable": stable, "canary": {}}
    assert len(world.kube.objects(POD)) == 1
    assert (await world.router.seen()).weights == ALL_STABLE


async def test_after_a_rollback_the_next_canary_begins_beside_the_same_stable() -> None:
    world = KnativeWorld()
    await world.both_run()
    stable = world.platform.endpoints()["stable"]
    await world.platform.stop("canary")
    world.settle()
    world.begin(plan(canary="{name: v3, runtime: serinus-sim, env: {A: b}}", mode="knative"))
    await world.both_run()
    assert world.platform.endpoints()["stable"] == stable
    await world.router.set_weights(Weights(250_000))
    assert (await world.router.seen()).weights == Weights(250_000)


def runtimes(world: KnativeWorld) -> set[str]:
    return {name for _, name in world.kube.objects(SERVING_RUNTIME)}


async def put_away(world: KnativeWorld, arm: Arm) -> None:
    """What the operator says after the end, until nothing is left."""
    for _ in range(5):
        await world.platform.stop(arm)
        world.settle(world.load_s)
    assert world.platform.gone(arm)


def served_by_vllm(stable: str, canary: str) -> ModelCanary:
    """Variants without a runtime of their own: each gets one."""
    text = "{name: NAME, uri: 'hf://example/NAME', profile: {gpu: L40S}}"
    return plan(text.replace("NAME", stable), text.replace("NAME", canary), mode="knative")


async def test_a_promoted_variant_leaves_no_runtime_but_its_own() -> None:
    world = KnativeWorld(served_by_vllm("v1", "v2"))
    await world.both_run()
    await world.router.set_weights(ALL_CANARY)
    assert not world.platform.gone("stable")
    await put_away(world, "stable")
    assert runtimes(world) == {"chat-v2"}
    assert share(world) == "none"


async def test_the_runtime_of_a_canary_at_rest_stays_until_another_template_takes_its_place() -> None:
    """KServe carries out nothing more of an InferenceService whose runtime is gone."""
    world = KnativeWorld(served_by_vllm("v1", "v2"))
    await world.both_run()
    await put_away(world, "canary")
    assert runtimes(world) == {"chat-v1", "chat-v2"}
    world.begin(served_by_vllm("v1", "v3"))
    await world.both_run()
    await put_away(world, "canary")
    assert runtimes(world) == {"chat-v1", "chat-v3"}


async def test_a_canary_that_never_became_the_template_takes_its_runtime_along() -> None:
    world = KnativeWorld(served_by_vllm("v1", "v2"))
    await world.pass_()
    assert runtimes(world) == {"chat-v1", "chat-v2"}
    await put_away(world, "canary")
    assert runtimes(world) == {"chat-v1"}


async def test_a_canary_that_cannot_be_waited_for_loses_share_and_pods_in_one_write() -> None:
    world = KnativeWorld()
    await world.both_run()
    await world.router.set_weights(Weights(250_000))
    await world.platform.stop("canary")
    assert not world.platform.gone("canary")
    await world.platform.drop("canary")
    assert world.platform.gone("canary")
    world.settle()
    assert (await world.router.seen()).weights == ALL_STABLE
    assert world.platform.endpoints()["canary"] == {}


async def test_a_runtime_of_somebody_else_is_left_alone() -> None:
    world = KnativeWorld(served_by_vllm("v1", "v2"))
    theirs = {"metadata": {"name": "chat-old", "namespace": NAMESPACE, "labels": {}}, "spec": {}}
    world.kube.seed(SERVING_RUNTIME, theirs)
    await world.both_run()
    await put_away(world, "canary")
    assert "chat-old" in runtimes(world)


async def test_a_third_revision_that_somebody_made_of_the_canary_is_named() -> None:
    """Its label says v2, and KServe gives it the canary's share: only the fields' owner tells."""
    world = KnativeWorld()
    await world.both_run()
    assert world.platform.drift() == ()
    patch = {"spec": {"predictor": {"model": {"storageUri": "hf://example/other"}}}}
    await world.kube.acting_as("kubectl-edit").patch(INFERENCE_SERVICE, NAMESPACE, "chat", patch)
    world.settle()
    (drift,) = world.platform.drift()
    assert (drift.arm, drift.manager, drift.repairable) == ("canary", "kubectl-edit", False)
    assert drift.sentence == (
        "InferenceService chat was changed by kubectl-edit (spec.predictor.model.storageUri); "
        "it is left as it is, because putting it back would be one more revision."
    )


async def test_a_canary_that_is_not_ready_gets_nothing() -> None:
    """KServe shows the old revision twice then: 5 % and 95 %."""
    world = KnativeWorld()
    for _ in range(2):
        await world.pass_(world.load_s)
    world.knative.load_s = 1e9
    await world.pass_()
    await world.router.set_weights(Weights(50_000))
    world.settle(FOLLOWS_S)
    with pytest.raises(ExternalError, match="not in force"):
        await world.router.set_weights(Weights(50_000))
    assert (await world.router.seen()).weights == ALL_STABLE


async def test_a_share_that_is_no_whole_percent_is_refused() -> None:
    world = KnativeWorld()
    await world.both_run()
    with pytest.raises(ExternalError, match="whole percents"):
        await world.router.set_weights(Weights(12_345))
    whole = plan(mode="knative")
    stages = (whole.spec.stages[0].model_copy(update={"traffic": 0.005}), whole.spec.stages[1])
    with pytest.raises(BadInput, match=r"a stage asks for 0\.5 %"):
        KnativeWorld(plan=whole.model_copy(update={"spec": whole.spec.model_copy(update={"stages": stages})}))


async def test_a_canary_that_is_not_there_gets_nothing() -> None:
    world = KnativeWorld()
    await world.router.set_weights(ALL_STABLE)
    with pytest.raises(ExternalError, match="not in InferenceService chat yet"):
        await world.router.set_weights(Weights(50_000))


async def test_what_is_written_and_not_in_force_is_an_error() -> None:
    world = KnativeWorld()
    await world.both_run()
    world.knative.ignores_shares = True
    await world.router.set_weights(Weights(50_000))
    assert (await world.router.seen()).weights == ALL_STABLE, "Knative may take its time, and nobody says it has"
    world.settle(FOLLOWS_S)
    with pytest.raises(ExternalError, match="is written and not in force"):
        await world.router.set_weights(Weights(50_000))


async def test_a_revision_of_somebody_else_is_noticed() -> None:
    """Any change of the template is a third revision that takes the canary's share over."""
    world = KnativeWorld()
    await world.both_run()
    patch = {"spec": {"predictor": {"labels": {"serinus.dev/variant": "theirs"}, "canaryTrafficPercent": 5}}}
    await world.kube.acting_as("kubectl").patch(INFERENCE_SERVICE, NAMESPACE, "chat", patch)
    world.settle(world.load_s)
    seen = await world.router.seen()
    assert seen.weights is None
    assert seen.problem == "it serves theirs: neither variant of this rollout"


async def test_a_rise_over_a_change_of_somebody_else_is_not_written() -> None:
    world = KnativeWorld()
    await world.both_run()
    world.kube.fail_next(Conflict("the object has been modified"), verb="patch")
    with pytest.raises(ExternalError, match="changed meanwhile"):
        await world.router.set_weights(Weights(50_000))
    assert share(world) == 0


async def test_running_again_writes_nothing() -> None:
    world = KnativeWorld()
    await world.both_run()
    before = world.kube.counts.total()
    for _ in range(5):
        await world.pass_(1)
        await world.router.set_weights(ALL_STABLE)
    assert world.kube.counts.total() == before


async def test_who_is_idle_is_read_from_the_revisions() -> None:
    world = KnativeWorld()
    await world.both_run()
    assert (world.router.idle("stable"), world.router.idle("canary")) == (False, True)
    await world.router.set_weights(Weights(50_000))
    assert not world.router.idle("canary")
