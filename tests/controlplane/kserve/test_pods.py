"""What pods say, in the words that kubelets and schedulers were seen to use."""

from typing import Any

import pytest

from controlplane.kserve.pods import (
    AGAIN,
    CRASHES,
    MOMENT,
    PATIENCE,
    problem_of,
    ready_since,
    seconds,
    unsettled_reason,
)
from controlplane.kubernetes.api import Object

MADE = "2026-11-21T09:00:00Z"
NOW = (seconds(MADE) or 0.0) + 20


def pod(*containers: dict[str, Any], init: dict[str, Any] | None = None, **meta: Any) -> Object:
    """A scheduled pod with these container statuses."""
    limits = {"limits": {"memory": "24Gi"}}
    return {
        "metadata": {"name": "p", "creationTimestamp": MADE, **meta},
        "spec": {"containers": [{"name": "kserve-container", "resources": limits}]},
        "status": {
            "conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": MADE}],
            "containerStatuses": list(containers),
            "initContainerStatuses": [init] if init else [],
        },
    }


def container(restarts: int = 0, last: dict[str, Any] | None = None, **state: Any) -> dict[str, Any]:
    """One container's status."""
    ended = {"lastState": {"terminated": last}} if last else {}
    return {
        "name": "kserve-container",
        "image": "sim:1",
        "ready": False,
        "restartCount": restarts,
        "state": state,
        **ended,
    }


def answering(*containers: dict[str, Any]) -> Object:
    """A pod that is ready since it was made."""
    found = pod(*containers)
    found["status"]["conditions"].append({"type": "Ready", "status": "True", "lastTransitionTime": MADE})
    return found


def unscheduled(message: str) -> Object:
    told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    return {
        "metadata": {"name": "p", "creationTimestamp": MADE},
        "status": {"conditions": [told | {"lastTransitionTime": MADE}]},
    }


BEGAN = seconds(MADE) or 0.0


def test_a_server_that_has_only_just_become_ready_is_not_relied_on() -> None:
    assert unsettled_reason(answering(container()), BEGAN + MOMENT - 0.1) == "only just ready"
    assert not unsettled_reason(answering(container()), BEGAN + MOMENT)
    assert not unsettled_reason(pod(container()), BEGAN), "what is not ready has other troubles"


def test_a_server_that_ended_before_has_to_stay_ready_for_longer() -> None:
    """A crash loop is ready for a moment between two crashes."""
    crashed = answering(container(1, {"exitCode": 1}, running={"startedAt": MADE}))
    assert unsettled_reason(crashed, BEGAN + AGAIN - 0.1) == "crashed (exit code 1), started again"
    assert not unsettled_reason(crashed, BEGAN + AGAIN)
    forgotten = answering(container(2, running={"startedAt": MADE}))
    assert unsettled_reason(forgotten, BEGAN + MOMENT) == "its server ended and was started again"


def test_a_node_whose_clock_is_an_hour_ahead_is_not_waited_for() -> None:
    assert not unsettled_reason(answering(container()), BEGAN - 3600)


def test_a_server_that_runs_and_does_not_answer_is_loading() -> None:
    said = problem_of(pod(container(running={"startedAt": MADE})), NOW)
    assert (said.clause, said.hopeless) == ("loading for 20 s", False)


def test_before_the_server_runs_its_container_is_being_made() -> None:
    assert problem_of(pod(container(waiting={"reason": "ContainerCreating"})), NOW).clause.startswith(
        "its container is"
    )


def test_weights_that_are_being_fetched_are_named() -> None:
    init = {"name": "storage-initializer", "state": {"running": {"startedAt": MADE}}}
    assert problem_of(pod(init=init), NOW).clause == "fetching the weights for 20 s"


def test_weights_that_cannot_be_fetched_say_why() -> None:
    ended = {"exitCode": 1, "message": "Traceback\n  File x\nRuntimeError: 401 Client Error: gated repo\n"}
    init = {"name": "storage-initializer", "restartCount": 0, "state": {"terminated": ended}}
    said = problem_of(pod(init=init), NOW)
    assert said.clause == "cannot fetch the weights: crashed (exit code 1: RuntimeError: 401 Client Error: gated repo)"


def test_a_first_crash_is_not_the_end() -> None:
    said = problem_of(pod(container(terminated={"exitCode": 1, "reason": "Error"})), NOW)
    assert (said.clause, said.hopeless) == ("crashed (exit code 1)", False)


@pytest.mark.parametrize("restarts", range(5))
def test_a_server_that_ends_again_and_again_is_given_up(restarts: int) -> None:
    """Restarts and the end it is in now: three ends."""
    status = container(restarts, {"exitCode": 1}, waiting={"reason": "CrashLoopBackOff"})
    assert problem_of(pod(status), NOW).hopeless is (restarts + 1 >= CRASHES)


def test_a_server_that_was_started_again_has_its_chance() -> None:
    status = container(5, {"exitCode": 1}, running={"startedAt": MADE})
    said = problem_of(pod(status), NOW)
    assert (said.clause, said.hopeless) == ("crashed 5 times (exit code 1), started again", False)


def test_a_server_killed_for_memory_says_its_limit() -> None:
    status = container(1, {"exitCode": 137, "reason": "OOMKilled"}, waiting={"reason": "CrashLoopBackOff"})
    assert problem_of(pod(status), NOW).clause == "killed for memory 2 times (OOMKilled, its limit is 24Gi)"


def test_an_image_is_waited_for_a_minute() -> None:
    waiting = {"reason": "ErrImagePull", "message": "manifest unknown"}
    said = problem_of(pod(container(waiting=waiting)), NOW)
    assert (said.clause, said.hopeless) == ("the image sim:1 cannot be pulled (ErrImagePull: manifest unknown)", False)
    assert problem_of(pod(container(waiting=waiting)), NOW + PATIENCE).hopeless


def test_a_name_that_is_no_image_is_not_waited_for() -> None:
    assert problem_of(pod(container(waiting={"reason": "InvalidImageName"})), NOW).hopeless


def test_a_missing_secret_is_named() -> None:
    waiting = {"reason": "CreateContainerConfigError", "message": 'secret "hf-token" not found'}
    said = problem_of(pod(container(waiting=waiting)), NOW)
    assert (said.clause, said.hopeless) == ('its container cannot be made: secret "hf-token" not found', False)


def test_no_gpu_left_is_not_no_room() -> None:
    gpu = problem_of(
        unscheduled("0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes …"), NOW
    )
    assert gpu.clause == "no GPU left: 0/2 nodes are available: 2 Insufficient nvidia.com/gpu"
    room = problem_of(unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."), NOW)
    assert room.clause.startswith("no node has room for it: 0/2 nodes are available: 2 node(s) didn't match")


def test_room_is_waited_for_a_minute() -> None:
    """Another pod may end."""
    message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu."
    assert not problem_of(unscheduled(message), NOW).hopeless
    assert problem_of(unscheduled(message), NOW + PATIENCE - 20).hopeless


def test_a_pod_on_its_way_out_is_not_ready_any_more() -> None:
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": MADE}
    one: Object = {"metadata": {"name": "p"}, "status": {"conditions": [ready]}}
    assert ready_since(one) == seconds(MADE)
    assert ready_since({**one, "metadata": {"name": "p", "deletionTimestamp": MADE}}) is None


def test_a_long_message_is_cut() -> None:
    status = container(terminated={"exitCode": 1, "message": "x" * 5000})
    assert len(problem_of(pod(status), NOW).clause) < 250
