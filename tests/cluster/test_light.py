"""The light test bed is what it says: a real API server and KServe controller, and pods that only pretend."""

from typing import Any

import pytest

from tests.cluster.bed import KubectlError, Light, until
from tests.cluster.objects import route, service


def conditions(found: dict[str, Any] | None) -> dict[str, str]:
    """Condition to status, of an object that may not be there yet."""
    listed = (found or {}).get("status", {}).get("conditions", [])
    return {condition["type"]: condition["status"] for condition in listed}


def test_the_api_server_knows_the_resources_of_kserve_and_of_the_gateway_api(light: Light) -> None:
    """What Serinus writes and reads is there under the versions that it uses."""
    known = light.kubectl("api-resources", "-o", "name").split()
    assert {
        "inferenceservices.serving.kserve.io",
        "clusterservingruntimes.serving.kserve.io",
        "httproutes.gateway.networking.k8s.io",
        "leases.coordination.k8s.io",
    } <= set(known)


def test_an_inference_service_becomes_ready_and_its_route_is_accepted(light: Light, namespace: str) -> None:
    """KServe's controller makes the Deployment, kwok the pods; the route's status follows its generation."""
    light.apply(
        service("chat", namespace, gpus=1), route("chat", namespace, f"chat.{namespace}.example.com", {"chat": 1})
    )
    light.until_ready(namespace, "chat")
    assert [pod["status"]["phase"] for pod in light.find("pods", namespace)] == ["Running"]

    def accepted() -> bool:
        found = light.get("httproute", "chat", namespace) or {}
        seen = [
            condition["observedGeneration"]
            for parent in found.get("status", {}).get("parents", [])
            for condition in parent["conditions"]
            if condition["type"] == "Accepted" and condition["status"] == "True"
        ]
        return seen == [found["metadata"]["generation"]]

    until("the route to be accepted", accepted)


def test_a_pod_that_is_told_to_crash_keeps_its_service_from_being_ready(light: Light, namespace: str) -> None:
    """The waiting reason and the last exit stand on the pod, as a kubelet would write them."""
    light.apply(service("chat", namespace, annotations={"sim/mode": "crash"}))

    def crashed() -> dict[str, Any] | None:
        statuses = [
            status
            for pod in light.find("pods", namespace)
            for status in pod["status"].get("containerStatuses", [])
            if "waiting" in status["state"]
        ]
        return statuses[0] if statuses else None

    status = until("a crashed container", crashed)
    assert status["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert status["lastState"]["terminated"]["reason"] == "OOMKilled"
    assert conditions(light.get("inferenceservice", "chat", namespace)).get("Ready") != "True"


def test_kserves_webhook_answers(light: Light, namespace: str) -> None:
    """A service with an impossible name is refused by its validation, in its own words."""
    with pytest.raises(KubectlError, match="must start with alphabetical character"):
        light.apply(service("4chat", namespace))
