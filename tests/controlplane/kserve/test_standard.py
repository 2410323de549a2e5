"""Variants as InferenceServices: what is created, what is never touched, what a person is told."""

from typing import Any

import pytest

from canary.errors import Conflict, ExternalError, Unavailable
from controlplane.kserve.caches import Caches
from controlplane.kserve.object_writer import REPAIRS
from controlplane.kserve.pods import MOMENT
from controlplane.kserve.standard import PAUSE, KServeStandard
from controlplane.kubernetes.api import Object, Rejected, TooManyRequests
from controlplane.kubernetes.resources import DEPLOYMENT, INFERENCE_SERVICE, POD, SERVING_RUNTIME
from testing.fake_apiserver.kube import Admission
from tests.controlplane.kserve.fake_kserve import Mode
from tests.controlplane.kserve.worlds import NAMESPACE, World, plan

VLLM = "{name: v2, uri: 'hf://example/v2', profile: {gpu: L40S}}"


def service(world: World, name: str) -> Object:
    return world.kube.objects(INFERENCE_SERVICE)[NAMESPACE, name]


async def edit(world: World, name: str, value: Any, field: str = "args", by: str = "kubectl-edit") -> None:
    """Somebody else changes a field of an InferenceService's model."""
    patch = [{"op": "add", "path": f"/spec/predictor/model/{field}", "value": value}]
    await world.kube.acting_as(by).patch(INFERENCE_SERVICE, NAMESPACE, name, patch)
    world.kserve.feed(world.caches)


async def test_a_variant_is_an_inference_service_that_only_our_route_reaches() -> None:
    world = World()
    await world.both_run()
    labels = service(world, "chat-v2")["metadata"]["labels"]
    assert labels["networking.kserve.io/visibility"] == "cluster-local"
    assert labels["serinus.dev/rollout"] == "chat"
    assert "ownerReferences" not in service(world, "chat-v1")["metadata"]


async def test_both_arms_become_ready() -> None:
    world = World()
    await world.both_run()
    seen = await world.platform.seen()
    assert {arm: (each.wanted, each.ready, each.problem) for arm, each in seen.items()} == {
        "stable": (1, 1, ""),
        "canary": (1, 1, ""),
    }


async def test_running_again_writes_nothing() -> None:
    """While nothing changes there is nothing to be written, however often the loop says it."""
    world = World()
    await world.both_run()
    before = world.kube.counts.total()
    for _ in range(20):
        await world.platform.run("stable", world.plan.spec.stable)
        await world.platform.run("canary", world.plan.spec.canary)
        await world.platform.seen()
        world.settle(1)
    assert world.kube.counts.total() == before


async def test_one_pass_after_the_other_does_not_create_twice_while_the_cache_is_late() -> None:
    world = World()
    await world.platform.run("canary", world.plan.spec.canary)
    before = world.kube.counts.total()
    await world.platform.run("canary", world.plan.spec.canary)
    assert world.kube.counts.total() == before


async def test_nothing_is_created_before_the_cluster_has_been_read() -> None:
    """An object that is not in the cache may well exist."""
    world = World()
    world.platform = KServeStandard(
        world.kube, Caches(), world.plan, namespace=NAMESPACE, now=world.clock.now, may_stop=lambda _arm: True
    )
    await world.platform.run("canary", world.plan.spec.canary)
    assert not world.kube.objects(INFERENCE_SERVICE)
    with pytest.raises(Unavailable, match="not been read"):
        await world.platform.seen()


async def test_a_variant_without_a_runtime_gets_one_of_its_own_and_takes_it_along() -> None:
    world = World(plan=plan(canary=VLLM))
    await world.both_run()
    assert list(world.kube.objects(SERVING_RUNTIME)) == [(NAMESPACE, "chat-v2")]
    assert (await world.platform.seen())["canary"].complete
    await world.platform.stop("canary")
    assert not world.kube.objects(SERVING_RUNTIME)


async def test_a_running_stable_is_never_written_to() -> None:
    """Neither for another plan nor for an edit by somebody else: its pods would restart."""
    world = World()
    await world.both_run()
    await edit(world, "chat-v1", ["--max-num-seqs=1"])
    before = service(world, "chat-v1")
    stable = world.plan.spec.stable.model_copy(update={"engine": {"maxNumSeqs": 8}})
    for _ in range(5):
        await world.platform.run("stable", stable)
        world.settle(1)
    assert service(world, "chat-v1")["spec"] == before["spec"]


async def test_a_canary_that_somebody_changed_is_put_back_and_the_one_who_did_it_named() -> None:
    world = World()
    await world.both_run()
    await edit(world, "chat-v2", "hf://example/other", "storageUri")
    (drift,) = world.platform.drift()
    assert drift.sentence == (
        "InferenceService chat-v2 was changed by kubectl-edit (spec.predictor.model.storageUri); it is put back."
    )
    assert (drift.arm, drift.manager, drift.repairable) == ("canary", "kubectl-edit", True)
    await world.platform.run("canary", world.plan.spec.canary)
    assert service(world, "chat-v2")["spec"]["predictor"]["model"]["storageUri"] == "hf://example/v2"
    assert world.platform.drift() == ()


async def test_a_field_that_somebody_added_is_taken_out_again() -> None:
    world = World()
    await world.both_run()
    await edit(world, "chat-v2", "2.0", "runtimeVersion")
    await world.platform.run("canary", world.plan.spec.canary)
    assert "runtimeVersion" not in service(world, "chat-v2")["spec"]["predictor"]["model"]


async def test_a_changed_canary_is_left_where_the_plan_says_pause() -> None:
    world = World(plan=plan(on_drift="pause"))
    await world.both_run()
    await edit(world, "chat-v2", ["--x"])
    await world.platform.run("canary", world.plan.spec.canary)
    assert service(world, "chat-v2")["spec"]["predictor"]["model"]["args"] == ["--x"]
    (drift,) = world.platform.drift()
    assert not drift.repairable
    assert "left as it is" in drift.sentence


async def test_somebody_who_insists_wins_after_a_few_times() -> None:
    """Two controllers that put the same field back for ever would restart the pods for ever."""
    world = World()
    await world.both_run()
    for _ in range(REPAIRS):
        await edit(world, "chat-v2", ["--x"], by="argocd")
        await world.platform.run("canary", world.plan.spec.canary)
    await edit(world, "chat-v2", ["--x"], by="argocd")
    await world.platform.run("canary", world.plan.spec.canary)
    assert service(world, "chat-v2")["spec"]["predictor"]["model"]["args"] == ["--x"]
    assert "was put back 3 times" in world.platform.drift()[0].sentence


async def test_a_repair_that_meets_another_write_is_left_to_the_next_look() -> None:
    world = World()
    await world.both_run()
    await edit(world, "chat-v2", ["--x"])
    world.kube.fail_next(Conflict("the object has been modified"), verb="patch")
    await world.platform.run("canary", world.plan.spec.canary)
    await world.platform.run("canary", world.plan.spec.canary)
    assert "args" not in service(world, "chat-v2")["spec"]["predictor"]["model"]


async def test_a_canary_of_an_earlier_plan_is_replaced_once_nothing_reaches_it() -> None:
    """Deleted first and made anew after, because a rolling update would need a second set of GPUs."""
    world = World()
    await world.both_run()
    other = world.plan.spec.canary.model_copy(update={"engine": {"maxNumSeqs": 8}})
    world.off.discard("canary")
    await world.platform.run("canary", other)
    assert "args" not in service(world, "chat-v2")["spec"]["predictor"]["model"]
    world.off.add("canary")
    await world.platform.run("canary", other)
    world.settle()
    await world.platform.run("canary", other)
    assert service(world, "chat-v2")["spec"]["predictor"]["model"]["args"] == ["--max-num-seqs=8"]


async def test_nothing_is_stopped_as_long_as_the_route_leads_to_it() -> None:
    world = World(off=set())
    await world.both_run()
    await world.platform.stop("canary")
    assert not world.platform.gone("canary")
    assert (await world.platform.seen())["canary"].ready == 1
    world.off.add("canary")
    await world.platform.stop("canary")
    world.settle()
    assert world.platform.gone("canary")
    assert list(world.kube.objects(POD)) == [(NAMESPACE, "chat-v1-predictor-1")]


async def test_what_an_earlier_process_made_is_known_after_a_restart() -> None:
    world = World()
    await world.both_run()
    world.platform = world.restarted()
    assert (await world.platform.seen())["canary"].complete
    await world.platform.stop("canary")
    world.settle()
    assert (await world.platform.seen())["canary"].problem == "not running"


async def test_an_inference_service_that_the_plan_names_is_used_as_it_is() -> None:
    world = World()
    await world.both_run()
    given = World(plan=plan(stable="{name: old, inferenceService: chat-v1, uri: 'hf://example/v1'}"))
    given.kube.server = world.kube.server
    given.kserve.feed(given.caches)
    before = world.kube.objects(INFERENCE_SERVICE)
    await given.platform.run("stable", given.plan.spec.stable)
    await given.platform.stop("stable")
    assert world.kube.objects(INFERENCE_SERVICE) == before
    seen = (await given.platform.seen())["stable"]
    assert (seen.ready, seen.problem) == (1, "")
    assert given.platform.gone("stable")


async def test_a_named_inference_service_that_is_missing_is_not_made() -> None:
    world = World(plan=plan(stable="{name: old, inferenceService: nobody}"))
    await world.platform.run("stable", world.plan.spec.stable)
    seen = (await world.platform.seen())["stable"]
    assert seen.problem == "InferenceService nobody is not there; Serinus does not make it"
    assert not world.kube.objects(INFERENCE_SERVICE)


async def test_an_inference_service_of_somebody_else_is_no_canary_of_ours() -> None:
    world = World()
    world.kube.seed(
        INFERENCE_SERVICE,
        {
            "metadata": {"name": "chat-v2", "namespace": NAMESPACE, "labels": {}},
            "spec": {"predictor": {"minReplicas": 1, "model": {"runtime": "serinus-sim"}}},
        },
    )
    world.settle()
    before = service(world, "chat-v2")
    await world.platform.run("canary", world.plan.spec.canary)
    await world.platform.stop("canary")
    assert service(world, "chat-v2") == before
    seen = (await world.platform.seen())["canary"]
    assert "Serinus did not make it" in seen.problem
    assert (seen.usable, seen.hopeless) == (False, True)


async def test_what_a_webhook_refuses_is_said_at_once_and_not_asked_for_all_the_time() -> None:
    world = World()

    def webhook(admission: Admission) -> None:
        if admission.resource == INFERENCE_SERVICE:
            raise Rejected('admission webhook "inferenceservice.kserve" denied the request: the name is invalid')

    world.kube.admit.append(webhook)
    with pytest.raises(ExternalError, match="the name is invalid"):
        await world.platform.run("canary", world.plan.spec.canary)
    seen = (await world.platform.seen())["canary"]
    assert (seen.wanted, seen.ready, seen.hopeless) == (1, 0, True)
    assert "the name is invalid" in seen.problem
    before = world.kube.counts.total()
    await world.platform.run("canary", world.plan.spec.canary)
    assert world.kube.counts.total() == before
    world.kube.admit.clear()
    world.clock.at += PAUSE
    await world.platform.run("canary", world.plan.spec.canary)
    assert not (await world.platform.seen())["canary"].hopeless


async def test_a_webhook_that_does_not_answer_is_waited_for() -> None:
    """KServe's manager may be restarting; that is no fault of the variant."""
    world = World()
    world.kube.fail_next(TooManyRequests("failed calling webhook: connection refused", after=1.0), verb="create")
    with pytest.raises(TooManyRequests):
        await world.platform.run("canary", world.plan.spec.canary)
    seen = (await world.platform.seen())["canary"]
    assert "failed calling webhook" in seen.problem
    assert not seen.hopeless
    world.clock.at += 1
    await world.platform.run("canary", world.plan.spec.canary)
    assert (NAMESPACE, "chat-v2") in world.kube.objects(INFERENCE_SERVICE)


async def test_a_plan_that_no_server_can_carry_out_is_said_and_nothing_is_made() -> None:
    world = World(plan=plan(canary="{name: v2, quantization: awq}"))
    with pytest.raises(ExternalError, match="no GPU"):
        await world.platform.run("canary", world.plan.spec.canary)
    assert (await world.platform.seen())["canary"].hopeless
    assert not world.kube.objects(INFERENCE_SERVICE)


@pytest.mark.parametrize(
    ("mode", "clause", "hopeless"),
    [
        ("hang", "loading for 12 s", False),
        ("crash", "crashed 4 times (exit code 1: ValueError: no such quantization)", True),
        ("oom", "killed for memory 3 times (OOMKilled)", True),
        ("image", "the image sim:1 cannot be pulled (ImagePullBackOff: Back-off pulling image)", False),
        ("config", 'its container cannot be made: secret "hf-token" not found', False),
        ("quota", "its pods may not be made: pods", False),
    ],
)
async def test_trouble_is_told_apart_from_loading(mode: Mode, clause: str, *, hopeless: bool) -> None:
    """KServe says MinimumReplicasUnavailable for all of it."""
    world = World()
    world.kserve.modes["chat-v2"] = mode
    await world.both_run()
    world.settle(7)
    seen = await world.platform.seen()
    assert seen["canary"].problem.startswith(clause)
    assert seen["canary"].hopeless is hopeless
    assert seen["stable"].complete, "a canary's crash is not stable's"


async def test_no_gpu_left_is_said_at_once_and_given_up_after_a_minute() -> None:
    canary = "{name: v2, runtime: serinus-sim, profile: {gpu: L40S, count: 2}}"
    stable = "{name: v1, runtime: serinus-sim, profile: {gpu: L40S, count: 1}}"
    world = World(plan=plan(stable=stable, canary=canary), gpus=2)
    await world.both_run()
    seen = (await world.platform.seen())["canary"]
    assert seen.problem.startswith("no GPU left (asks for 2, at most 1 of 2 free on node): 0/1 nodes are available")
    assert not seen.hopeless
    world.settle(60)
    assert (await world.platform.seen())["canary"].hopeless


async def test_a_canary_begins_no_rollout_in_the_moment_in_which_it_becomes_ready() -> None:
    """It may crash in the next; stable, which serves anyway, is asked for nothing of the kind."""
    world = World()
    for _ in range(3):
        await world.pass_(world.load_s)
    seen = await world.platform.seen()
    assert seen["stable"].complete
    assert (seen["canary"].usable, seen["canary"].complete) == (True, False)
    assert seen["canary"].problem == "only just ready"
    world.settle(MOMENT)
    assert (await world.platform.seen())["canary"].complete


async def test_a_canary_that_serves_other_weights_than_the_plan_says_is_not_usable() -> None:
    world = World(plan=plan(on_drift="pause"))
    await world.both_run()
    await edit(world, "chat-v2", "hf://example/other", "storageUri")
    world.settle()
    world.settle(world.load_s)
    seen = (await world.platform.seen())["canary"]
    assert seen.problem == "it serves hf://example/other, and the plan says hf://example/v2"
    assert not seen.usable
    assert world.platform.served("canary") is not None


async def test_a_stable_with_other_weights_begins_no_rollout_and_is_still_the_way_back() -> None:
    world = World()
    await world.both_run()
    await edit(world, "chat-v1", "hf://example/other", "storageUri")
    world.settle()
    world.settle(world.load_s)
    seen = (await world.platform.seen())["stable"]
    assert (seen.usable, seen.complete) == (True, False)
    assert "hf://example/other" in seen.problem


async def test_a_restart_of_pods_that_nobody_asked_for_is_noticed() -> None:
    """An annotation on an InferenceService, or an edited runtime, restarts every pod of it."""
    world = World()
    await world.both_run()
    client = world.kube.acting_as("kubectl-annotate")
    await client.patch(INFERENCE_SERVICE, NAMESPACE, "chat-v2", {"metadata": {"annotations": {"phase": "25"}}})
    world.settle()
    assert [each.kind for each in world.platform.drift()] == ["Deployment"]
    seen = (await world.platform.seen())["canary"]
    assert (seen.usable, seen.complete) == (True, False)


async def test_a_deleted_canary_is_made_again() -> None:
    world = World()
    await world.both_run()
    await world.kube.acting_as("kubectl").delete(INFERENCE_SERVICE, NAMESPACE, "chat-v2")
    world.settle()
    await world.platform.run("canary", world.plan.spec.canary)
    assert (NAMESPACE, "chat-v2") in world.kube.objects(INFERENCE_SERVICE)


async def test_another_object_of_the_same_name_is_not_deleted_by_mistake() -> None:
    world = World()
    await world.both_run()
    world.kube.fail_next(Conflict("the UID in the precondition does not match"), verb="delete")
    await world.platform.stop("canary")
    assert (NAMESPACE, "chat-v2") in world.kube.objects(INFERENCE_SERVICE)


async def test_it_waits_while_an_earlier_one_is_still_being_deleted() -> None:
    """KServe holds a deleted InferenceService by a finalizer until it has put its things away."""
    world = World()
    await world.both_run()
    live = service(world, "chat-v2")
    world.kube.seed(INFERENCE_SERVICE, {**live, "metadata": {**live["metadata"], "finalizers": ["kserve"]}})
    world.settle()
    await world.platform.stop("canary")
    world.settle()
    assert (await world.platform.seen())["canary"].problem == "being stopped"
    await world.platform.run("canary", world.plan.spec.canary)
    assert (await world.platform.seen())["canary"].problem == "an earlier one is still being deleted"


async def test_the_deployment_belongs_to_the_service_and_goes_with_it() -> None:
    """The fake behaves as the real one here: nothing else deletes Deployments."""
    world = World()
    await world.both_run()
    await world.platform.stop("stable")
    assert list(world.kube.objects(DEPLOYMENT)) == [(NAMESPACE, "chat-v2-predictor")]


async def test_a_runtime_that_somebody_deleted_is_made_again_as_it_was() -> None:
    world = World(plan=plan(canary=VLLM))
    await world.both_run()
    await world.kube.acting_as("kubectl").delete(SERVING_RUNTIME, NAMESPACE, "chat-v2")
    world.kserve.feed(world.caches)
    await world.platform.run("canary", world.plan.spec.canary)
    assert list(world.kube.objects(SERVING_RUNTIME)) == [(NAMESPACE, "chat-v2")]


async def test_a_running_variant_is_given_no_runtime_but_its_own() -> None:
    """Another plan's runtime under the same name would restart the pods of a stable that runs."""
    world = World(plan=plan(stable=VLLM.replace("v2", "v1"), canary=VLLM))
    await world.both_run()
    await world.kube.acting_as("kubectl").delete(SERVING_RUNTIME, NAMESPACE, "chat-v1")
    world.kserve.feed(world.caches)
    other = world.plan.spec.stable.model_copy(update={"engine": {"maxNumSeqs": 8}})
    await world.platform.run("stable", other)
    assert (NAMESPACE, "chat-v1") not in world.kube.objects(SERVING_RUNTIME)
