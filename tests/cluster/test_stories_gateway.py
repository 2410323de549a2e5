"""A route that no controller takes, in a real cluster: told within seconds, waited for, and given up in the end."""

import re
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.stories import Rollout, Story, plan, say, stages, told

ONE_GPU = {"profile": {"gpu": "L40S", "count": 1}}
DEADLINE_S = 45.0
SAID_S = 20.0
"""Until it has to be told on a busy machine: it is looked for 5 s after the beginning."""
CONTROLLER = ("deployment/envoy-gateway", "-n", "envoy-gateway-system")


def test_r5_a_gateway_class_that_nobody_handles_is_told_soon_and_ends_the_attempt_at_its_deadline(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """Which Gateway and class, what stays and until when: then the canary's GPU is free, and stable is as it was."""
    nobody = f"nobody-{namespace}"
    class_ = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": nobody},
        "spec": {"controllerName": "example.com/nobody"},
    }
    with told(node, namespace, tmp_path) as story:
        node.apply(class_, _gateway(namespace, nobody))
        try:
            story.operator()
            gateway = {"gateway": f"{namespace}/own", "progressDeadline": f"{DEADLINE_S:g}s"}
            chat = story.begin(plan(namespace, stable=ONE_GPU, canary=ONE_GPU, **gateway))
            waiting = _until_told(chat)
            until("both variants to be there", lambda: story.services() == {"chat-v1", "chat-v2"}, 60)
            assert (
                f"gateway {namespace}/own (class {nobody}): no running controller seems to handle that class."
                in waiting
            )
            assert "v2 gets no traffic meanwhile, and v1 is left as it is" in waiting
            assert chat.reached(phase="Preparing", reason="WaitingForRoute")
            assert "WaitingForRoute" in node.kubectl("get", "mcan", "chat", "-n", namespace)
            assert nobody in node.kubectl("describe", "mcan", "chat", "-n", namespace)
            until("stable's pod", lambda: _ready(node, namespace, "chat-v1"), 60)
            stable = chat.untouched()
            chat.until_at_rest(DEADLINE_S + 60)
            given_up = next(entry for entry in chat.story() if entry.phase == "RollingBack")
            say(given_up.message)
            assert given_up.reason == "RouteNotReady"
            assert nobody in given_up.message
            assert abs(given_up.at - _moment_in(waiting)) < SAID_S
            assert chat.reached(phase="RolledBack", result="failed", weight="0 %")
            until("the canary to go", lambda: story.services() == {"chat-v1"}, 60)
            until("its pods to go", lambda: not _pods(node, namespace, "chat-v2"), 60)
            assert chat.untouched() == stable
            assert _alike(story, "WaitingForRoute") == 1
        finally:
            node.kubectl("delete", "gatewayclass", nobody, "--ignore-not-found", "--wait=false")


def test_r5_a_rollout_that_begins_while_the_gateways_controller_is_down_goes_on_once_it_is_back(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """The Gateway was accepted before, so the sentence asks for its controller and not for its class."""
    with told(node, namespace, tmp_path) as story:
        story.operator()
        node.kubectl("scale", *CONTROLLER, "--replicas=0")
        try:
            until("the controller to go", lambda: not _controllers(node), 60)
            chat = story.begin(plan(namespace, stages=stages("25%", "100%", hold="10m", gates=())))
            waiting = _until_told(chat)
            say(waiting)
            assert "gateway kserve/kserve-ingress-gateway (class eg): it seems not to be running." in waiting
            time.sleep(3)
            assert chat.reached(phase="Preparing", weight="0 %")
        finally:
            node.kubectl("scale", *CONTROLLER, "--replicas=1")
        chat.until(phase="Analyzing", seconds=180)
        assert chat.reached(weight="25 %", reason="WeightsInForce")


def _gateway(namespace: str, of_class: str) -> dict[str, Any]:
    """A Gateway of the namespace's own."""
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "own", "namespace": namespace},
        "spec": {"gatewayClassName": of_class, "listeners": [{"name": "http", "protocol": "HTTP", "port": 80}]},
    }


def _until_told(chat: Rollout) -> str:
    """Wait until its status says that it waits for the route; the sentence. It may not take long."""
    chat.until(reason="WaitingForRoute", seconds=60)
    said = next(entry for entry in chat.story() if entry.reason == "WaitingForRoute")
    after = said.at - chat.story()[0].at
    say(f"told {after:.1f} s after the beginning: {said.message}")
    assert after < SAID_S
    return said.message


def _moment_in(sentence: str) -> float:
    """The moment until which it is waited, in seconds since the epoch."""
    found = re.search(r"by (\S+Z)", sentence)
    assert found is not None, sentence
    return datetime.fromisoformat(found[1]).timestamp()


def _alike(story: Story, reason: str) -> int:
    """How often an Event has said it."""
    return sum(each == reason for each, _ in story.events())


def _pods(node: Node, namespace: str, service: str) -> list[dict[str, Any]]:
    return node.find("pods", namespace, "-l", f"serving.kserve.io/inferenceservice={service}")


def _ready(node: Node, namespace: str, service: str) -> bool:
    """Whether it has a pod that serves."""
    told = [each for pod in _pods(node, namespace, service) for each in pod["status"].get("conditions", ())]
    return any(each["type"] == "Ready" and each["status"] == "True" for each in told)


def _controllers(node: Node) -> list[dict[str, Any]]:
    return node.find("pods", "envoy-gateway-system", "-l", "control-plane=envoy-gateway")
