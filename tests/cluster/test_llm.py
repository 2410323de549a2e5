"""Mode `llm` on KServe's real controller of LLMInferenceServices: real pods behind its own routes, real traffic.

The pods run KServe's own preset, whose shell script calls `vllm`; in the test bed's image that is the sample server.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import test_operator
from tests.cluster.bed import Node, until
from tests.cluster.test_modes import condition
from tests.cluster.test_operator import GATE, apply, at_rest, operator, reached, status
from tests.cluster.traffic import Hit, Load

RATE = 60.0
SECONDS = 240.0
"""The controller is slow: one worker, and a Deployment some seconds after its LLMInferenceService."""
QUIET_S = 3.0
"""How much longer traffic flows once the loser is gone: what its departure costs, it costs within a second."""
SHARES = ("5%", "50%", "100%")


@pytest.fixture(scope="module")
def llm(node: Node) -> Node:
    """The node with KServe's second controller."""
    node.add("llm")
    return node


def a_canary(namespace: str) -> dict[str, Any]:
    """Two members of one group, on one pretended GPU each."""
    variant = {
        "image": "localhost/serinus-vllm:testbed",
        "profile": {"gpu": "L4"},
        "resources": {"cpu": "200m", "memory": "256Mi"},
    }
    made = test_operator.a_canary(namespace)
    stages = [{"traffic": share, "hold": "5s", "gates": [GATE]} for share in SHARES]
    spec = {
        "model": {"name": "chat"},
        "platform": {"kserve": {"mode": "llm"}},
        "stable": {"name": "v1", "uri": "hf://example/chat-bf16", **variant},
        "canary": {"name": "v2", "uri": "hf://example/chat-int4", **variant},
        "stages": stages,
    }
    return {**made, "spec": spec}


def traffic(node: Node, namespace: str, **settings: Any) -> Load:
    """To the address that KServe gives the group, whichever member answers."""
    path = f"/publishers/{namespace}/models/chat/v1/chat/completions"
    return node.load("any.example.com", path=path, body={"model": "chat"}, **settings)


def serves(node: Node, namespace: str) -> bool:
    """Whether the gateway knows everything that is behind the route: 20 requests are answered."""
    with traffic(node, namespace, requests=20) as load:
        load.wait()
    return not load.failures()


def members(node: Node, namespace: str) -> dict[str, int]:
    """The LLMInferenceServices that are there and stay, with their weights in millionths."""
    found = node.find("llminferenceservices", namespace)
    return {
        each["metadata"]["name"]: each["spec"]["router"]["route"]["weight"]
        for each in found
        if "deletionTimestamp" not in each["metadata"]
    }


def gone(node: Node, namespace: str, member: str) -> bool:
    """Whether nothing is left of a member: neither its route nor its Service."""
    left = (("httproute", f"{member}-kserve-route"), ("service", f"{member}-kserve-workload-svc"))
    return all(node.get(kind, name, namespace) is None for kind, name in left)


def of_canary(hits: Sequence[Hit]) -> list[Hit]:
    """What the canary's pods answered."""
    return [hit for hit in hits if hit.server.startswith("chat-v2-")]


def test_a_good_canary_is_promoted_through_the_group(llm: Node, namespace: str, tmp_path: Path) -> None:
    """From 5 % to all: no request is lost, not even as the old member goes; the winner is the whole of the group."""
    with operator(llm, namespace, tmp_path):
        apply(llm, a_canary(namespace))
        until("the first stage", lambda: reached(llm, namespace, stage=0, phase="Analyzing"), SECONDS, every=0.5)
        until("the route to serve", lambda: serves(llm, namespace))
        with traffic(llm, namespace, rate=RATE) as load:
            until("the promotion", lambda: at_rest(llm, namespace), SECONDS, every=0.5)
            until("the old member to go", lambda: gone(llm, namespace, "chat-v1"), 60)
            time.sleep(QUIET_S)
        assert reached(llm, namespace, phase="Succeeded", result="promoted", weight="100 %")
        assert condition(llm, namespace, "Drifted")["message"] == "Nobody else has changed anything."
        assert members(llm, namespace) == {"chat-v2": 1_000_000}
    failed = [hit for hit in load.hits if hit.status != 200]
    sys.stdout.write(f"{len(load.hits)} requests, {len(of_canary(load.hits))} by the canary, {len(failed)} failed\n")
    assert not failed, f"{len(failed)} of {len(load.hits)}: {failed[:3]}"
    assert {hit.server.rsplit("-kserve-", 1)[0] for hit in load.hits} == {"chat-v1", "chat-v2"}


def test_a_bad_canary_is_taken_out_of_the_group(llm: Node, namespace: str, tmp_path: Path) -> None:
    """Errors at 50 %: the group is back at its stable member within seconds, and the canary's GPU is free."""
    with operator(llm, namespace, tmp_path):
        apply(llm, a_canary(namespace))
        until("the first stage", lambda: reached(llm, namespace, stage=0, phase="Analyzing"), SECONDS, every=0.5)
        until("the route to serve", lambda: serves(llm, namespace))
        with traffic(llm, namespace, rate=RATE) as load:
            until("the second stage", lambda: reached(llm, namespace, stage=1, phase="Analyzing"), SECONDS)
            llm.turn_pods(namespace, "app.kubernetes.io/name=chat-v2", "main", 8000, error_rate=1.0)
            turned = time.time()
            until("the end", lambda: at_rest(llm, namespace), 90)
        found = status(llm, namespace)
        assert (found["phase"], found["result"], found["weight"]) == ("RolledBack", "rolled_back", "0 %")
        assert members(llm, namespace) == {"chat-v1": 1_000_000}
    last = max(hit.began for hit in of_canary(load.hits))
    sys.stdout.write(f"last request on the broken canary {last - turned:.2f} s after it broke\n")
    assert last - turned < 20
    lost = [hit for hit in load.hits if hit.status != 200 and not hit.server.startswith("chat-v2-")]
    assert not lost, f"{len(lost)}: {lost[:3]}"
