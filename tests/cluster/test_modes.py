"""What a real cluster with KServe 0.20 makes of its modes, and of specs that KServe's webhook would swallow.

Knative and LLMInferenceServices are not installed there, and its `spec.canary` moves nothing: each is said, at once or
before any traffic.
"""

import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import test_operator
from tests.cluster.bed import Bed, KubectlError, Light, Node, until
from tests.cluster.charts import install_crd
from tests.cluster.test_operator import Replica, operator

WITHIN_S = 3.0
"""From the answer of `kubectl apply` to the condition as kubectl shows it: under a second on a quiet machine."""


def a_canary(namespace: str, **spec: Any) -> dict[str, Any]:
    """A ModelCanary for the sample server."""
    made = test_operator.a_canary(namespace)
    return {**made, "spec": {**made["spec"], **spec}}


def condition(bed: Bed, namespace: str, kind: str) -> dict[str, Any]:
    """One of its conditions, or an empty one."""
    found = (bed.get("modelcanary", "chat", namespace) or {}).get("status") or {}
    return next((each for each in found.get("conditions", ()) if each["type"] == kind), {})


@contextmanager
def carried_out(bed: Node | Light, namespace: str, folder: Path) -> Iterator[Replica]:
    """With an operator that leads, and the CRD."""
    install_crd(bed)
    with operator(bed, namespace, folder) as replica:
        until("a leader", replica.leads, 60)
        yield replica


def refusal(bed: Bed, namespace: str, canary: Mapping[str, Any]) -> tuple[str, float]:
    """What is said of this resource, and after how many seconds; it is removed again."""
    bed.apply(dict(canary))
    began = time.monotonic()
    said = until(
        "a refusal",
        lambda: (found := condition(bed, namespace, "Accepted")).get("status") == "False" and found["message"],
        20,
        every=0.02,
    )
    took = time.monotonic() - began
    sys.stdout.write(f"refused {took:.2f} s after it was applied\n")
    bed.kubectl("delete", "modelcanary", "chat", "-n", namespace, "--timeout=30s")
    return str(said), took


AT_APPLY: Mapping[str, tuple[dict[str, Any], str]] = {
    "a share that is none": ({"stages": [{"traffic": "150%"}, {"traffic": "100%"}]}, "spec.stages[0].traffic"),
    "a mode with a slip": ({"platform": {"kserve": {"mode": "Serverles"}}}, "spec.platform.kserve.mode"),
    "no model": ({"stable": {"name": "v1"}, "canary": {"name": "v2"}}, "spec.canary: Invalid value: has no uri"),
    "a name that is too long": ({"canary": {"name": "v" * 64, "uri": "hf://a/b"}}, "spec.canary.name: Too long"),
}
"""What the API server refuses by our schema and rules: a change of the spec, and what it says."""


@pytest.mark.parametrize("slip", AT_APPLY)
def test_a_spec_that_kserve_would_swallow_is_refused_by_the_api_server(light: Light, namespace: str, slip: str) -> None:
    """With the path and the reason, before anybody reads it."""
    change, said = AT_APPLY[slip]
    install_crd(light)
    with pytest.raises(KubectlError, match=re.escape(said)):
        light.apply(a_canary(namespace, **change))


def test_a_quantization_that_the_gpu_cannot_run_is_refused_within_a_second(
    light: Light, namespace: str, tmp_path: Path
) -> None:
    """No schema knows it; KServe would start pods that compute otherwise than the plan says."""
    cannot = {"name": "v2", "uri": "Qwen/Qwen2.5-7B-Instruct", "quantization": "fp8", "profile": {"gpu": "T4"}}
    with carried_out(light, namespace, tmp_path):
        said, took = refusal(light, namespace, a_canary(namespace, canary=cannot))
        assert "spec.canary.quantization: fp8 needs compute capability 8.9 and T4 has 7.5" in said
        assert took < WITHIN_S, f"{took:.2f} s"
        assert light.find("inferenceservices", namespace) == []


def test_a_runtime_that_is_nowhere_is_named_with_the_nearest_one(light: Light, namespace: str, tmp_path: Path) -> None:
    """KServe says `RuntimeNotRecognized` on its own object, after it has made one."""
    canary = a_canary(namespace)
    canary["spec"]["canary"] = {**canary["spec"]["canary"], "runtime": "serinus-smi"}
    with carried_out(light, namespace, tmp_path):
        said, took = refusal(light, namespace, canary)
    assert "spec.canary.runtime: no ServingRuntime serinus-smi" in said
    assert 'did you mean "serinus-sim"?' in said
    assert took < WITHIN_S, f"{took:.2f} s"


@pytest.mark.parametrize(("mode", "lacks"), [("knative", "Knative Serving"), ("llm", "LLMInferenceService")])
def test_a_mode_that_the_cluster_does_not_have_is_refused_at_once(
    light: Light, namespace: str, tmp_path: Path, mode: str, lacks: str
) -> None:
    """And nothing is made that would wait for ever."""
    with carried_out(light, namespace, tmp_path):
        said, took = refusal(light, namespace, a_canary(namespace, platform={"kserve": {"mode": mode}}))
    assert f"spec.platform.kserve.mode: {mode} needs" in said
    assert lacks in said
    assert took < WITHIN_S, f"{took:.2f} s"
    assert light.find("inferenceservices", namespace) == []


def test_native_is_given_up_before_any_traffic_and_stable_serves_on(node: Node, namespace: str, tmp_path: Path) -> None:
    """KServe 0.20 repeats the share and moves nothing: the canary is taken out again, with that reason."""
    with carried_out(node, namespace, tmp_path):
        node.apply(a_canary(namespace, platform={"kserve": {"mode": "native"}}))
        until("the end", lambda: condition(node, namespace, "Ready").get("status") == "False", 180)
        found = condition(node, namespace, "Ready")
        assert "its HTTPRoute does not name the canary" in found["message"]
        until("the canary to go", lambda: "canary" not in _service(node, namespace)["spec"], 30)
        assert _service(node, namespace)["spec"]["predictor"]["name"] == "v1"


def _service(node: Node, namespace: str) -> dict[str, Any]:
    return node.get("inferenceservice", "chat", namespace) or {"spec": {}}
