"""Mode `knative` on Knative Serving's and KServe's real controllers: real revisions, real pods, real queue proxies.

The ingress is the test bed's own (`testbed/lib/knative_ingress.py`), which carries Knative's Ingresses out with
HTTPRoutes; everything that decides about revisions, splits and scaling to zero is Knative.
"""

import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import test_operator
from tests.cluster.bed import Node, until
from tests.cluster.test_modes import condition
from tests.cluster.test_operator import GATE, apply, at_rest, operator, reached, status
from tests.cluster.traffic import Load

RATE = 60.0
SECONDS = 240.0
SHARES = ("5%", "50%", "100%")


@pytest.fixture(scope="module")
def knative(node: Node) -> Node:
    """The node with Knative Serving."""
    node.add("knative")
    return node


def a_canary(namespace: str) -> dict[str, Any]:
    """Two revisions of one InferenceService."""
    made = test_operator.a_canary(namespace)
    stages = [{"traffic": share, "hold": "5s", "gates": [GATE]} for share in SHARES]
    return {**made, "spec": {**made["spec"], "platform": {"kserve": {"mode": "knative"}}, "stages": stages}}


def host(namespace: str) -> str:
    """The address that Knative gives the predictor."""
    return f"chat-predictor.{namespace}.example.com"


def traffic(node: Node, namespace: str, **settings: Any) -> Load:
    """To the predictor, whichever revision answers."""
    return node.load(host(namespace), **settings)


def serves(node: Node, namespace: str) -> bool:
    """Whether the gateway knows everything that is behind the route: 20 requests are answered."""
    with traffic(node, namespace, requests=20) as load:
        load.wait()
    return not load.failures()


def revisions(node: Node, namespace: str) -> dict[str, str]:
    """The variant of each revision of Knative's."""
    found = node.find("revisions.serving.knative.dev", namespace)
    return {each["metadata"]["name"]: each["metadata"]["labels"].get("serinus.dev/variant", "") for each in found}


def split(node: Node, namespace: str) -> dict[str, int]:
    """Percent that Knative gives each revision."""
    service = node.get("services.serving.knative.dev", "chat-predictor", namespace) or {}
    return {
        each["revisionName"]: each.get("percent", 0)
        for each in service.get("status", {}).get("traffic", ())
        if each.get("percent")
    }


def test_a_good_canary_is_promoted_as_the_newest_revision(knative: Node, namespace: str, tmp_path: Path) -> None:
    """From 5 % to all: no request is lost, and the share is gone from the InferenceService."""
    with operator(knative, namespace, tmp_path):
        apply(knative, a_canary(namespace))
        until("the first stage", lambda: reached(knative, namespace, stage=0, phase="Analyzing"), SECONDS, every=0.5)
        until("the route to serve", lambda: serves(knative, namespace))
        with traffic(knative, namespace, rate=RATE) as load:
            until("the promotion", lambda: at_rest(knative, namespace), SECONDS, every=0.5)
        assert reached(knative, namespace, phase="Succeeded", result="promoted", weight="100 %")
        newest = {name for name, variant in revisions(knative, namespace).items() if variant == "v2"}
        assert set(split(knative, namespace)) == newest
    failed = [hit for hit in load.hits if hit.status != 200]
    sys.stdout.write(f"{len(load.hits)} requests, {len(failed)} failed\n")
    assert not failed, f"{len(failed)} of {len(load.hits)}: {failed[:3]}"


def test_a_bad_canary_is_put_back_without_a_new_revision(knative: Node, namespace: str, tmp_path: Path) -> None:
    """Errors at 50 %: 0 % within seconds, the old revision's pods are the same ones, and the canary's go."""
    with operator(knative, namespace, tmp_path):
        apply(knative, a_canary(namespace))
        until("the first stage", lambda: reached(knative, namespace, stage=0, phase="Analyzing"), SECONDS, every=0.5)
        until("the route to serve", lambda: serves(knative, namespace))
        before = revisions(knative, namespace)
        canary = next(name for name, variant in before.items() if variant == "v2")
        with traffic(knative, namespace, rate=RATE) as load:
            until("the second stage", lambda: reached(knative, namespace, stage=1, phase="Analyzing"), SECONDS)
            label = f"serving.knative.dev/revision={canary}"
            knative.turn_pods(namespace, label, "kserve-container", 8080, error_rate=1.0)
            turned = time.time()
            until("the end", lambda: at_rest(knative, namespace), 90)
        found = status(knative, namespace)
        assert (found["phase"], found["result"], found["weight"]) == ("RolledBack", "rolled_back", "0 %")
        assert canary not in split(knative, namespace)
    last = max((hit.began for hit in load.hits if hit.status != 200), default=turned)
    sys.stdout.write(f"last failed request {last - turned:.2f} s after it broke\n")
    assert last - turned < 20


def test_a_third_revision_of_somebody_else_is_told_with_its_maker(
    knative: Node, namespace: str, tmp_path: Path
) -> None:
    """An edit of the template in mid-rollout; nothing that KServe or Knative write themselves is taken for one."""
    canary = a_canary(namespace)
    canary["spec"]["stages"][0]["hold"] = "10m"
    with operator(knative, namespace, tmp_path):
        apply(knative, canary)
        until("the first stage", lambda: reached(knative, namespace, stage=0, phase="Analyzing"), SECONDS, every=0.5)
        assert condition(knative, namespace, "Drifted")["message"] == "Nobody else has changed anything."
        edit = '{"spec":{"predictor":{"model":{"args":["--slots=99"]}}}}'
        words = ("patch", "inferenceservice", "chat", "-n", namespace, "--type=merge", "-p", edit)
        knative.kubectl(*words, "--field-manager=kubectl-edit")
        told = "InferenceService chat was changed by kubectl-edit (spec.predictor.model.args); it is left as it is"
        until("its maker's name", lambda: told in condition(knative, namespace, "Drifted")["message"], 60)
