"""One variant's readiness out of its pods, its Deployment and its InferenceService."""

from typing import Any

from canary.snapshot import VariantStatus
from controlplane.kserve.pods import PATIENCE, seconds
from controlplane.kserve.readiness import KSERVE_PATIENCE, VariantObjects, variant_status
from controlplane.kubernetes.api import Object

MADE = "2026-11-21T09:00:00Z"
BEGAN = seconds(MADE) or 0.0


def service(**status: Any) -> Object:
    meta = {"name": "chat-v2", "creationTimestamp": MADE}
    return {"metadata": meta, "spec": {"predictor": {"minReplicas": 2}}, "status": status}


def deployment(replicas: int = 1, *conditions: dict[str, Any]) -> Object:
    return {"metadata": {"name": "d"}, "spec": {"replicas": replicas}, "status": {"conditions": list(conditions)}}


def pod(template: str, state: dict[str, Any] | None = None, *, ready: bool = True, made: str = MADE) -> Object:
    """A pod of this template; without a state it runs."""
    state = state or {"running": {"startedAt": made}}
    status = {"name": "kserve-container", "ready": ready, "restartCount": 3, "state": state, "lastState": {}}
    conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": made}]
    meta = {"name": f"{template}{made}{ready}", "creationTimestamp": made, "labels": {"pod-template-hash": template}}
    return {"metadata": meta, "spec": {}, "status": {"conditions": conditions, "containerStatuses": [status]}}


def seen(*pods: Object, at: float = 5.0, **parts: Any) -> VariantStatus:
    return variant_status(
        VariantObjects(parts.pop("service", service()), parts.pop("deployment", deployment()), pods, **parts),
        BEGAN + at,
    )


CRASHED = {"terminated": {"exitCode": 3}}
LATER = "2026-11-21T09:00:02Z"


def test_before_there_is_a_deployment_the_service_says_how_many() -> None:
    found = seen(deployment=None)
    assert (found.wanted, found.ready) == (2, 0)
    assert found.problem == "KServe has made no Deployment of it yet, 5 s after it was asked for"


def test_a_complete_variant_has_no_problem() -> None:
    assert seen(pod("a")) == VariantStatus(BEGAN + 5, 1, 1)


def test_one_ready_replica_of_two_is_usable_and_says_what_the_other_does() -> None:
    found = seen(pod("a"), pod("a", ready=False), deployment=deployment(2))
    assert (found.usable, found.complete, found.problem) == (True, False, "loading for 5 s")


def test_the_worst_replica_speaks() -> None:
    found = seen(pod("a", ready=False), pod("a", CRASHED, ready=False, made=LATER), deployment=deployment(2))
    assert found.problem.startswith("crashed")


def test_pods_of_an_older_template_serve_but_are_not_what_is_being_brought_up() -> None:
    """A restart under way: usable by the old pod, complete once the new one is ready, and only that one speaks."""
    old_and_crashed = pod("old", CRASHED, ready=False)
    found = seen(pod("old"), old_and_crashed, pod("new", ready=False, made=LATER))
    assert (found.usable, found.complete) == (True, False)
    assert found.problem == "loading for 3 s"


def test_the_deployment_says_which_template_is_new() -> None:
    """Going back to an older template makes its pods the new ones, whatever their age."""
    told = {"type": "Progressing", "message": 'ReplicaSet "chat-v2-predictor-old" is progressing.'}
    found = seen(pod("old", CRASHED, ready=False), pod("new", made=LATER), deployment=deployment(1, told))
    assert found.problem.startswith("crashed")


def test_hopeless_is_only_said_where_nothing_serves() -> None:
    looping = {"waiting": {"reason": "CrashLoopBackOff"}}
    crashed = pod("a", looping, ready=False)
    crashed["status"]["containerStatuses"][0]["lastState"] = {"terminated": {"exitCode": 1}}
    assert seen(crashed).hopeless
    assert not seen(crashed, pod("a"), deployment=deployment(2)).hopeless


def test_a_quota_speaks_where_there_are_no_pods() -> None:
    message = 'pods "x" is forbidden: exceeded quota: gpus'
    told = {"type": "ReplicaFailure", "status": "True", "message": message, "lastTransitionTime": MADE}
    found = seen(deployment=deployment(1, told))
    assert (found.problem, found.hopeless) == (f"its pods may not be made: {message}", False)
    assert seen(deployment=deployment(1, told), at=PATIENCE).hopeless


def test_a_security_policy_is_not_waited_for() -> None:
    told = {
        "type": "ReplicaFailure",
        "status": "True",
        "message": 'pods "x" is forbidden: violates PodSecurity "restricted"',
    }
    assert seen(deployment=deployment(1, told)).hopeless


def test_what_kserve_objects_to_is_said() -> None:
    failure = {"reason": "RuntimeNotRecognized", "message": "Waiting for runtime to become available"}
    objecting = service(modelStatus={"transitionStatus": "InvalidSpec", "lastFailureInfo": failure})
    found = seen(service=objecting, deployment=None)
    assert found.problem == "KServe says InvalidSpec: Waiting for runtime to become available"
    assert not found.hopeless
    assert seen(service=objecting, deployment=None, at=KSERVE_PATIENCE).hopeless


def test_a_failed_load_is_in_kserves_words_only_where_the_pods_say_nothing() -> None:
    failure = {"reason": "ModelLoadFailed", "exitCode": 137}
    failed = service(modelStatus={"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": failure})
    assert seen(service=failed).problem == "KServe says BlockedByFailedLoad: ModelLoadFailed (exit code 137)"
    assert seen(pod("a", CRASHED, ready=False), service=failed).problem.startswith("crashed")


def test_an_error_of_the_reconciler_is_said() -> None:
    told = {
        "type": "PredictorReady",
        "status": "False",
        "reason": "ReconcileFailed",
        "message": "StorageURI not supported",
    }
    assert seen(service=service(conditions=[told])).problem == "KServe cannot carry it out: StorageURI not supported"


def test_a_revision_that_knative_makes_no_pods_of_is_said_of_its_own_variant_alone() -> None:
    """As real Knative said it of an image that no registry knows; the same status speaks of the other revision too."""
    why = 'Unable to fetch image "registry.example.com/team/server:1": failed to resolve image to digest'
    failed = {
        "type": "PredictorConfigurationReady",
        "status": "False",
        "reason": "RevisionFailed",
        "message": f'Revision "chat-00002" failed with message: {why}.',
        "lastTransitionTime": MADE,
    }
    told = service(conditions=[failed], modelStatus={"transitionStatus": "BlockedByFailedLoad"})
    soon = seen(service=told, deployment=None, revision="chat-00002")
    assert soon.problem == f"Knative's revision chat-00002 failed: {why}"
    assert not soon.hopeless
    assert seen(service=told, deployment=None, revision="chat-00002", at=PATIENCE + 1).hopeless
    assert "failed" not in seen(service=told, deployment=None, revision="chat-00001").problem


def test_a_late_deployment_says_so_and_may_still_come_up() -> None:
    """Ten minutes are KServe's own limit, not the plan's: a large model may take longer."""
    told = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    found = seen(pod("a", ready=False), deployment=deployment(1, told), at=700)
    assert (found.problem, found.hopeless) == ("its Deployment has made no progress for 10 min", False)


def test_somebody_who_stopped_it_is_noticed() -> None:
    told = {"type": "Stopped", "status": "True"}
    assert "serving.kserve.io/stop" in seen(service=service(conditions=[told]), deployment=None).problem


def test_s14_a_neighbour_may_ask_for_any_amount_of_gpus() -> None:
    """What is left is said of all nodes, so every pod of the cluster is counted: one that says nonsense counts none."""
    unscheduled = pod("new", ready=False)
    unscheduled["spec"] = {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "2"}}}]}
    lacks = {"type": "PodScheduled", "status": "False", "message": "1 Insufficient nvidia.com/gpu."}
    unscheduled["status"]["conditions"] = [lacks]
    node = {"metadata": {"name": "a"}, "status": {"allocatable": {"nvidia.com/gpu": "4"}}}
    for amount, left in (("1k", 0), ("many", 4), ("1", 3)):
        limits = {"nvidia.com/gpu": amount}
        neighbour = {
            "metadata": {"name": "n"},
            "spec": {"nodeName": "a", "containers": [{"resources": {"limits": limits}}]},
        }
        found = seen(unscheduled, nodes=[node], neighbours=[neighbour])
        assert f"at most {left} of 4 free on a" in found.problem
