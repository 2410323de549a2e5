"""Whose turn it is: a canary is made once stable's pods have their nodes, and never waits for a stable that serves."""

from typing import Any

from canary.spec.models import Variant
from controlplane.kserve.precedence import waits_for
from controlplane.kserve.trouble import Parts
from controlplane.kubernetes.api import Object

STABLE = Variant(name="v1", replicas=2)


def pod(node: str = "", *, ready: bool = False, **meta: Any) -> Object:
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {"metadata": meta, "spec": {"nodeName": node} if node else {}, "status": {"conditions": conditions}}


def parts(*pods: Object, replicas: int = 2) -> Parts:
    return Parts({"spec": {"predictor": {}}}, {"spec": {"replicas": replicas}}, pods)


def test_a_stable_that_has_not_been_made_comes_first() -> None:
    assert waits_for(STABLE, None) == "waits until v1 has been made"


def test_all_of_its_pods_have_to_be_on_nodes() -> None:
    assert waits_for(STABLE, parts()) == "waits until v1 has its nodes: 0 of 2 pods are on one"
    assert waits_for(STABLE, parts(pod("a"), pod())) == "waits until v1 has its nodes: 1 of 2 pods are on one"
    assert not waits_for(STABLE, parts(pod("a"), pod("b")))


def test_a_pod_on_its_way_out_holds_no_node_for_what_follows() -> None:
    assert waits_for(STABLE, parts(pod("a"), pod("b", deletionTimestamp="now")))


def test_one_that_serves_holds_nothing_up() -> None:
    assert not waits_for(STABLE, parts(pod("a", ready=True), pod()))


def test_one_that_was_scaled_down_is_not_waited_for_beyond_what_it_should_have() -> None:
    assert not waits_for(STABLE, parts(replicas=0))
    assert not waits_for(STABLE, parts(pod("a"), replicas=1))


def test_one_that_was_scaled_up_by_somebody_takes_only_what_the_plan_gives_it() -> None:
    assert not waits_for(STABLE, parts(pod("a"), pod("b"), pod(), replicas=3))
