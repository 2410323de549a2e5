"""Room for the canary's GPUs on the nodes, before it waits for it."""

from collections.abc import Sequence
from typing import Any

import pytest

from canary.spec.models import ModelCanary
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import labels
from controlplane.operator import gpu_capacity
from controlplane.operator.spec_reader import read
from tests.controlplane.operator.town import NAME, a_canary, a_spec

TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
WAITS = "It waits for up to 10 min (progressDeadline)."


def plan(**canary: Any) -> ModelCanary:
    """One whose canary asks for two GPUs, unless it says otherwise."""
    variant = {"name": "v2", "profile": {"gpu": "L40S", "count": 2}, **canary}
    stable = {"name": "v1", "profile": {"gpu": "L40S"}}
    found = read(a_canary(spec={**a_spec(), "stable": stable, "canary": variant}))
    assert found.plan is not None, found.faults
    return found.plan


def node(name: str, gpus: int, **spec: Any) -> Object:
    """A node with so many GPUs, tainted as GPU nodes are."""
    meta = {"name": name, "labels": {"pool": name}}
    return {"metadata": meta, "spec": {"taints": [TAINT], **spec}, "status": {"allocatable": {"nvidia.com/gpu": gpus}}}


def pod(where: str, gpus: int, **meta: Any) -> Object:
    """A pod on a node that has so many of its GPUs."""
    container = {"resources": {"limits": {"nvidia.com/gpu": str(gpus)}}}
    return {"metadata": {"name": "p", **meta}, "spec": {"nodeName": where, "containers": [container]}}


def lacking(of: ModelCanary, nodes: Sequence[Object], pods: Sequence[Object]) -> str:
    """What is said where stable serves already, on a node that is not among these."""
    return gpu_capacity.lacking(of, nodes, [*pods, pod("elsewhere", 1, labels=labels(NAME, "v1"))])


def test_enough_on_one_node_is_nothing_to_say() -> None:
    assert lacking(plan(), [node("a", 4)], [pod("a", 2)]) == ""


def test_too_little_is_said_with_where_most_is() -> None:
    said = lacking(plan(), [node("a", 2), node("b", 4)], [pod("a", 1), pod("b", 3)])
    assert said == f"v2 needs 2 of nvidia.com/gpu: 2 are free on nodes that take it, at most 1 (a). {WAITS}"


def test_only_the_nodes_that_the_plan_selects_count() -> None:
    said = lacking(plan(nodeSelector={"pool": "a"}), [node("a", 1), node("b", 8)], [])
    assert said == f"v2 needs 2 of nvidia.com/gpu: 1 are free on nodes with pool=a, at most 1 (a). {WAITS}"
    assert lacking(plan(nodeSelector={"pool": "b"}), [node("a", 1), node("b", 8)], []) == ""


def test_replicas_do_not_share_a_nodes_rest() -> None:
    """Three free GPUs on each of two nodes hold one replica of two each."""
    nodes = [node("a", 3), node("b", 3)]
    assert lacking(plan(replicas=2), nodes, []) == ""
    assert lacking(plan(replicas=3), nodes, []).startswith("v2 needs 3 times 2 of nvidia.com/gpu: 6 are free")


@pytest.mark.parametrize(
    "there",
    [
        node("a", 8, unschedulable=True),
        node("a", 8, taints=[{"key": "maintenance", "effect": "NoExecute"}]),
        {**node("a", 8), "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}},
    ],
    ids=["cordoned", "another taint", "down"],
)
def test_a_node_that_would_not_take_it_has_no_room(there: Object) -> None:
    assert lacking(plan(), [there], []) == f"v2 needs 2 of nvidia.com/gpu: no node takes it. {WAITS}"


def test_the_canarys_own_pods_are_no_rivals() -> None:
    """After a change of leader they are there already."""
    own = pod("a", 2, labels=labels(NAME, "v2"))
    assert lacking(plan(), [node("a", 2)], [own]) == ""
    assert lacking(plan(), [node("a", 2)], [pod("a", 2, labels=labels(NAME, "v1"))]) != ""


def test_pods_without_our_labels_are_known_by_their_llm_service() -> None:
    """KServe hands nothing of an LLMInferenceService's labels on to its pods."""
    own = pod("a", 2, labels={"app.kubernetes.io/name": f"{NAME}-v2"})
    assert lacking(plan(), [node("a", 2)], [own]) == ""


def test_a_stable_that_is_not_there_yet_takes_its_gpus_first() -> None:
    assert gpu_capacity.lacking(plan(), [node("a", 3)], []) == ""
    said = gpu_capacity.lacking(plan(), [node("a", 2)], [])
    free = "1 are free on nodes that take it once v1 has its own, at most 1 (a)"
    assert said == f"v2 needs 2 of nvidia.com/gpu: {free}. {WAITS}"


def test_a_stable_that_is_not_there_yet_leaves_the_canary_what_it_can() -> None:
    """It takes the odd GPU, or one that the canary cannot use, before it breaks a pair."""
    assert gpu_capacity.lacking(plan(), [node("a", 2), node("b", 1)], []) == ""
    assert gpu_capacity.lacking(plan(nodeSelector={"pool": "a"}), [node("a", 2), node("b", 4)], []) == ""
    assert gpu_capacity.lacking(plan(replicas=2), [node("a", 3), node("b", 2)], []) == ""


def test_a_stable_that_somebody_else_runs_is_not_counted_twice() -> None:
    served = plan()
    stable = served.spec.stable.model_copy(update={"inference_service": "theirs"})
    theirs = served.model_copy(update={"spec": served.spec.model_copy(update={"stable": stable})})
    assert gpu_capacity.lacking(theirs, [node("a", 2)], []) == ""


@pytest.mark.parametrize("gone", [{"deletionTimestamp": "2026-01-01T00:00:00Z"}])
def test_a_pod_on_its_way_out_gives_its_gpus_back(gone: dict[str, str]) -> None:
    assert lacking(plan(), [node("a", 2)], [pod("a", 2, **gone)]) == ""


def test_nothing_is_said_without_nodes_or_gpus() -> None:
    """Who may not read nodes guesses nothing."""
    assert lacking(plan(), [], []) == ""
    assert lacking(plan(profile=None), [node("a", 0)], []) == ""


def test_a_quantization_that_the_gpu_cannot_run_is_refused_and_what_is_not_known_is_a_note() -> None:
    """The same check as `serinus validate` makes."""
    spec = a_spec()
    impossible = {"name": "v2", "quantization": "fp8", "profile": {"gpu": "T4"}, "uri": "Qwen/Qwen2.5-7B-Instruct"}
    reading = read(a_canary(spec={**spec, "canary": impossible}))
    assert reading.plan is None
    assert any(each.startswith("spec.canary.quantization: ") for each in reading.faults), reading.faults
    unknown = read(a_canary(spec={**spec, "canary": {"name": "v2", "profile": {"gpu": "X9000"}}}))
    assert unknown.plan is not None
    assert any("X9000" in note and "not checked" in note for note in unknown.notes)


@pytest.mark.parametrize("amount", ["1k", "many", "", "500m"])
def test_s14_a_pod_of_somebody_else_may_ask_for_any_amount(amount: str) -> None:
    """Kubernetes itself writes a thousand as 1k; whoever began a rollout then was told of a bug."""
    neighbour = pod("a", 0)
    neighbour["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = amount
    said = lacking(plan(), [node("a", 4)], [neighbour])
    assert ("0 are free" in said) is (amount == "1k")
