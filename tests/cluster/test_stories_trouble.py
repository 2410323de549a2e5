"""What the cluster itself refuses or takes away, in a real one: each is told by its own words, and stable serves on."""

import json
import time
from pathlib import Path
from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.stories import VARIANT, Rollout, plan, say, stages, told

ARGO = "argocd-controller"
SELF_HEALS = 6
"""Times that Argo CD applies what its repository says, one more than anybody puts up with."""
ONE_GPU = {"profile": {"gpu": "L40S", "count": 1}}


def test_r5_a_quota_is_told_and_a_route_that_its_gateway_refuses_is_waited_for(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """Two rollouts at the same time: one canary may have no pod; one route has a host that no listener serves."""
    hard = {"requests.nvidia.com/gpu": "1"}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "gpus"}, "spec": {"hard": hard}}
    gateway = _gateway(namespace, hostname="*.elsewhere.example.com")
    with told(node, namespace, tmp_path) as story:
        node.apply({**quota, "metadata": {"name": "gpus", "namespace": namespace}}, gateway)
        story.operator()
        greedy = story.begin(plan(namespace, "greedy", stable=ONE_GPU, canary=ONE_GPU))
        lost = story.begin(
            plan(namespace, "lost", gateway=f"{namespace}/own", stages=stages("25%", "100%", hold="10m", gates=()))
        )
        words = f"HTTPRoute {namespace}/lost: gateway {namespace}/own does not accept it: NoMatchingListenerHostname"
        until("the gateway's words", lambda: _condition(lost, "Drifted").startswith(words), 90)
        assert lost.reached(phase="Preparing")
        greedy.until_served()
        stable = greedy.untouched()
        node.apply(_gateway(namespace))
        lost.until(phase="Analyzing", seconds=120)
        until("nothing to be told any more", lambda: "Nobody else" in _condition(lost, "Drifted"), 30)
        greedy.until_at_rest(180)
        given_up = next(entry for entry in greedy.story() if entry.phase == "RollingBack")
        say(given_up.message)
        assert "its pods may not be made" in given_up.message
        assert "exceeded quota" in given_up.message
        assert greedy.untouched() == stable
        assert "greedy-v2" not in story.services()


def test_r5_kserves_webhook_is_waited_for_while_it_is_down(node: Node, namespace: str, tmp_path: Path) -> None:
    """Its manager is away when the rollout begins: that is nobody's fault, and the rollout begins once it is back."""
    manager = ("deployment/kserve-controller-manager", "-n", "kserve")
    with told(node, namespace, tmp_path) as story:
        story.operator()
        node.kubectl("scale", *manager, "--replicas=0")
        try:
            until("its pods to go", lambda: not _managers(node), 60)
            chat = story.begin(plan(namespace))
            until(
                "the webhook to be missed", lambda: any("failed calling webhook" in each for each in story.said()), 60
            )
            time.sleep(3)
            assert chat.reached(phase="Preparing")
            assert story.services() == set()
        finally:
            node.kubectl("scale", *manager, "--replicas=1")
        chat.until(phase="Analyzing", seconds=180)
        assert story.services() == {"chat-v1", "chat-v2"}


def test_r5_argo_cd_that_heals_what_is_ours_is_named_and_does_not_win_the_traffic(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """Its repository has older weights and other arguments, and it applies them again and again.

    Whoever insists on a server's arguments has them after a few times, for each turn restarts its pods. The weights
    are ours each time.
    """
    with told(node, namespace, tmp_path) as story:
        story.operator()
        chat = story.begin(plan(namespace, stages=stages("10%", "100%", hold="10m", gates=())))
        chat.until(phase="Analyzing", seconds=240)
        stable = chat.untouched()
        for _ in range(SELF_HEALS):
            _argo_applies(node, namespace)
            until("the share of the plan", lambda: _shares(node, namespace) == {"v1": 900_000, "v2": 100_000}, 30)
            time.sleep(1)
        until("the culprit's name", lambda: "was put back 3 times" in _condition(chat, "Drifted"), 30)
        say(_condition(chat, "Drifted"))
        assert f"InferenceService chat-v2 was changed by {ARGO}" in _condition(chat, "Drifted")
        assert any(f"{ARGO} changed" in note and "HTTPRoute chat" in note for _, note in story.events())
        assert chat.untouched() == stable
        assert chat.peak == 0.1


def _gateway(namespace: str, **listener: str) -> dict[str, Any]:
    """A Gateway of the namespace's own."""
    listeners = [{"name": "http", "protocol": "HTTP", "port": 80, **listener}]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "own", "namespace": namespace},
        "spec": {"gatewayClassName": "eg", "listeners": listeners},
    }


def _condition(rollout: Rollout, kind: str) -> str:
    """What one condition says."""
    found = rollout.status.get("conditions", ())
    return next((str(each["message"]) for each in found if each["type"] == kind), "")


def _managers(node: Node) -> list[dict[str, Any]]:
    """Pods that answer for KServe's webhooks."""
    return node.find("pods", "kserve", "-l", "control-plane=kserve-controller-manager")


def _shares(node: Node, namespace: str) -> dict[str, int]:
    """What the route says of each variant."""
    refs = (node.get("httproute", "chat", namespace) or {})["spec"]["rules"][0]["backendRefs"]
    return {ref["name"].removeprefix("chat-").removesuffix("-predictor"): ref["weight"] for ref in refs}


def _argo_applies(node: Node, namespace: str) -> None:
    """Server-side apply with force, as Argo CD syncs: equal weights, and another argument for the canary's server."""
    route = node.get("httproute", "chat", namespace) or {}
    route["spec"]["rules"][0]["backendRefs"] = [
        {**ref, "weight": 1} for ref in route["spec"]["rules"][0]["backendRefs"]
    ]
    bare = {key: route[key] for key in ("apiVersion", "kind", "spec")}
    service = {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "chat-v2", "namespace": namespace},
        "spec": {
            "predictor": {"model": {"modelFormat": {"name": VARIANT["runtime"]}, "args": ["--slots=99"]}},
        },
    }
    objects = [{**bare, "metadata": {"name": "chat", "namespace": namespace}}, service]
    words = ("apply", "--server-side", "--force-conflicts", f"--field-manager={ARGO}", "-f", "-")
    node.kubectl(*words, stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))
