"""Whose turn it is: a canary is made once stable's pods have their nodes, and never waits for a stable that serves."""

from typing import Any

from canary.spec.models import Variant
from controlplane.kserve.readiness import VariantObjects
from controlplane.kserve.start_order import blocked_by_stable
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import INFERENCE_SERVICE
from tests.controlplane.kserve.worlds import NAMESPACE, World, plan

STABLE = Variant(name="v1", replicas=2)
GPU = "{name: NAME, runtime: serinus-sim, uri: 'hf://example/NAME', profile: {gpu: L40S}, replicas: 2}"


def pod(node: str = "", *, ready: bool = False, **meta: Any) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"conditions": conditions}}


def parts(*pods: Object, replicas: int = 2) -> VariantObjects:
    return VariantObjects({"spec": {"predictor": {}}}, {"spec": {"replicas": replicas}}, pods)


def test_a_stable_that_has_not_been_made_comes_first() -> None:
    assert blocked_by_stable(STABLE, None) == "waits until v1 has been made"


def test_all_of_its_pods_have_to_be_on_nodes() -> None:
    assert blocked_by_stable(STABLE, parts()) == "waits until v1 has its nodes: 0 of 2 pods are on one"
    assert blocked_by_stable(STABLE, parts(pod("a"), pod())) == "waits until v1 has its nodes: 1 of 2 pods are on one"
    assert not blocked_by_stable(STABLE, parts(pod("a"), pod("b")))


def test_a_pod_on_its_way_out_holds_no_node_for_what_follows() -> None:
    assert blocked_by_stable(STABLE, parts(pod("a"), pod("b", deletionTimestamp="now")))


def test_one_that_serves_holds_nothing_up() -> None:
    assert not blocked_by_stable(STABLE, parts(pod("a", ready=True), pod()))


def test_one_that_was_scaled_down_is_not_waited_for_beyond_what_it_should_have() -> None:
    assert not blocked_by_stable(STABLE, parts(replicas=0))
    assert not blocked_by_stable(STABLE, parts(pod("a"), replicas=1))


def test_one_that_was_scaled_up_by_somebody_takes_only_what_the_plan_gives_it() -> None:
    assert not blocked_by_stable(STABLE, parts(pod("a"), pod("b"), pod(), replicas=3))


async def test_stable_takes_its_gpus_before_a_canary_is_made() -> None:
    """Both begin at once on a cluster that has GPUs for one of them: it is stable that gets them."""
    world = World(plan=plan(stable=GPU.replace("NAME", "v1"), canary=GPU.replace("NAME", "v2")), gpus=2)
    await world.platform.run("stable", world.plan.spec.stable)
    await world.platform.run("canary", world.plan.spec.canary)
    assert (NAMESPACE, "chat-v2") not in world.kube.objects(INFERENCE_SERVICE)
    seen = (await world.platform.seen())["canary"]
    assert seen.problem == "waits until v1 has its nodes: 0 of 2 pods are on one"
    assert (seen.wanted, seen.hopeless) == (2, False)
    await world.both_run()
    found = await world.platform.seen()
    assert found["stable"].complete
    assert found["canary"].problem.startswith("no GPU left")


async def test_a_stable_that_serves_holds_no_canary_up_whatever_it_lacks() -> None:
    """One of its two pods finds no room: the canary is made all the same."""
    world = World(plan=plan(stable=GPU.replace("NAME", "v1"), canary=GPU.replace("NAME", "v2")), gpus=1)
    await world.both_run()
    await world.pass_()
    found = await world.platform.seen()
    assert (found["stable"].ready, found["stable"].complete) == (1, False)
    assert (NAMESPACE, "chat-v2") in world.kube.objects(INFERENCE_SERVICE)


async def test_a_stable_scaled_to_zero_holds_no_canary_up() -> None:
    world = World()
    await world.platform.run("stable", world.plan.spec.stable)
    patch = [{"op": "replace", "path": "/spec/predictor/minReplicas", "value": 0}]
    await world.kube.acting_as("kubectl-scale").patch(INFERENCE_SERVICE, NAMESPACE, "chat-v1", patch)
    world.settle()
    await world.platform.run("stable", world.plan.spec.stable)
    await world.platform.run("canary", world.plan.spec.canary)
    assert (NAMESPACE, "chat-v2") in world.kube.objects(INFERENCE_SERVICE)
