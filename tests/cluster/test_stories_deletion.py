"""What a rollout needs is deleted or edited by somebody else in its midst: stable serves, and one sentence says so."""

import base64
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.stories import FALLING_S, Story, plan, say, stages, told

RATE = 120.0
LONG = stages("25%", "100%", hold="10m")
REPAIRED_S = 5.0
"""Until an edit of the route is put right: a tick, on a busy machine."""


def test_a_deleted_modelcanary_and_a_deleted_secret_leave_stable_serving(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """The Secret of an alert first: the rollout goes on without it, and says so. Then the ModelCanary itself."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "chat-alerts", "namespace": namespace}}
    url = base64.b64encode(b"https://hooks.example.com/x").decode()
    alert = {"webhook": {"urlFrom": {"secret": "chat-alerts", "key": "url"}}, "on": ["aborted"]}
    with told(node, namespace, tmp_path) as story:
        story.operator()
        node.apply({**secret, "data": {"url": url}})
        chat = story.begin(plan(namespace, stages=LONG, alerts=[alert]))
        chat.until(phase="Analyzing")
        stable = chat.untouched()
        with chat.traffic(RATE):
            node.kubectl("delete", "secret", "chat-alerts", "-n", namespace)
            time.sleep(3)
            assert chat.reached(phase="Analyzing", weight="25 %")
            node.kubectl("delete", "modelcanary", "chat", "-n", namespace, "--timeout=60s")
            deleted = time.time()
            until("the canary to go", lambda: story.services() == {"chat-v1"}, 60)
            time.sleep(FALLING_S)
        assert chat.failures() == []
        assert all(hit.began < deleted + FALLING_S for hit in chat.by("v2"))
        assert chat.untouched() == stable
        assert node.get("httproute", "chat", namespace) is not None
        assert _sentences(story, "chat was deleted: v1 serves on") == 1
        assert _sentences(story, r"chat-alerts does not exist") == 1
        assert not node.find("rollouthistories", namespace, "-l", "serinus.dev/rollout=chat")


def test_a_deleted_gateway_is_told_and_a_deleted_namespace_hangs_on_nothing(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """Without its Gateway nobody is served, so nothing is learnt; the namespace is then gone within a minute."""
    listener = {"name": "http", "protocol": "HTTP", "port": 80}
    own = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "own", "namespace": namespace},
        "spec": {"gatewayClassName": "eg", "listeners": [listener]},
    }
    with told(node, namespace, tmp_path) as story:
        operator = story.operator()
        node.apply(own)
        chat = story.begin(
            plan(namespace, stages=stages("25%", "100%", hold="10m", gates=()), gateway=f"{namespace}/own")
        )
        chat.until(phase="Analyzing")
        stable = chat.untouched()
        node.kubectl("delete", "gateway", "own", "-n", namespace)
        words = f"Gateway {namespace}/own does not exist: nobody is served through it"
        until("one sentence", lambda: _sentences(story, words) == 1 and _told(chat.status, words), 30)
        say(f"{chat.status['phase']}: {chat.status['message']}")
        assert chat.untouched() == stable
        node.apply(own)
        chat.until(phase="Analyzing", seconds=60)
        node.kubectl("delete", "namespace", namespace, "--wait=false")
        begun = time.time()
        until(
            "the namespace to be gone",
            lambda: not node.kubectl("get", "ns", namespace, "--ignore-not-found").strip(),
            150,
        )
        say(f"the namespace was gone after {time.time() - begun:.1f} s")
        assert (
            _sentences(story, f"Namespace {namespace} is being deleted with all that is in it: nothing serves on.") == 1
        )
        assert not story.in_vain()
        assert operator.process is not None


def test_r5_edits_of_the_route_and_of_the_canary_are_put_right(node: Node, namespace: str, tmp_path: Path) -> None:
    """By kubectl, in mid-rollout: the share is back within a tick, stable is not touched, and the editor is named."""
    with told(node, namespace, tmp_path) as story:
        story.operator()
        chat = story.begin(plan(namespace, stages=stages("10%", "50%", "100%", hold="12s")))
        chat.until(phase="Analyzing")
        stable = chat.untouched()
        path = "/spec/rules/0/backendRefs"
        with chat.traffic(RATE):
            refs = (node.get("httproute", "chat", namespace) or {})["spec"]["rules"][0]["backendRefs"]
            place = next(i for i, ref in enumerate(refs) if "chat-v1" in ref["name"])
            patch = [{"op": "replace", "path": f"{path}/{place}/weight", "value": 10_000}]
            edited = time.time()
            node.kubectl("patch", "httproute", "chat", "-n", namespace, "--type=json", "-p", json.dumps(patch))
            until("the route to be put right", lambda: _weight(node, namespace, place) == 900_000, 30, every=0.05)
            repaired = time.time()
            chat.until_stage(1)
            words = '{"spec":{"predictor":{"model":{"args":["--slots=99"]}}}}'
            node.kubectl("patch", "inferenceservice", "chat-v2", "-n", namespace, "--type=merge", "-p", words)
            until("the canary to be put right", lambda: not _args(node, namespace), 30)
            assert chat.untouched() == stable
            chat.until_at_rest(240)
        say(f"the route was put right {repaired - edited:.1f} s after kubectl began")
        assert repaired - edited < REPAIRED_S
        assert chat.failures() == []
        chat.hits = [hit for hit in chat.hits if not edited < hit.began < repaired + FALLING_S]
        chat.never_more_than_asked()
        assert _sentences(story, "kubectl-patch changed") >= 1
        assert chat.reached(phase="Succeeded", result="promoted", attempt=1)


def _sentences(story: Story, pattern: str) -> int:
    """How many different sentences, in logs and Events, say this."""
    told_ = {*story.said(), *(note for _, note in story.events())}
    return len({each for each in told_ if re.search(pattern, each)})


def _told(status: Mapping[str, Any], words: str) -> bool:
    """Whether a status says this anywhere in its conditions or its own sentence."""
    return any(words in each.get("message", "") for each in (status, *status.get("conditions", ())))


def _weight(node: Node, namespace: str, place: int) -> int:
    """What the route says of one of its places."""
    route = node.get("httproute", "chat", namespace)
    assert route is not None
    return int(route["spec"]["rules"][0]["backendRefs"][place]["weight"])


def _args(node: Node, namespace: str) -> list[str]:
    """The arguments of the canary's server."""
    service = node.get("inferenceservice", "chat-v2", namespace)
    assert service is not None
    return list(service["spec"]["predictor"]["model"].get("args", ()))
