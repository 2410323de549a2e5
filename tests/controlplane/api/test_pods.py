"""The pods of a cluster's rollout: whose they are in each way of serving, what troubles them, and who may see them."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest

from controlplane.api.pods import UNSYNCED, Pods
from controlplane.kserve.llm_service import llm_name
from controlplane.kserve.native_service import workload
from controlplane.kubernetes.names import PREDICTOR, service_name
from controlplane.kubernetes.resources import POD
from controlplane.readmodel.panels import live_panels
from controlplane.view.facts import Replica, RolloutFacts
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.api.clusters import EDITOR, PAUSER, VIEWER, Shown, showing
from tests.controlplane.api.serving import until
from tests.controlplane.kserve.worlds import NAMESPACE, Time, plan
from tests.controlplane.kubectl.desk import under_way
from tests.controlplane.operator.town import PLACE
from tests.controlplane.view import scenes

CHAT = f"/api/v1/rollouts/{PLACE}~chat"
MADE = "2026-11-21T09:00:00Z"
NOW = datetime.fromisoformat(MADE).timestamp() + 600


def a_pod(name: str, *, namespace: str = NAMESPACE, ready: bool = True) -> dict[str, Any]:
    """A pod of KServe's, on a node; one that is not ready was killed for memory four times."""
    ended = {"reason": "OOMKilled", "exitCode": 137}
    waiting = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": {"terminated": ended}}
    told = {"name": "kserve-container", "ready": ready, "restartCount": 0 if ready else 4}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "creationTimestamp": MADE,
            "labels": {},
        },
        "spec": {
            "nodeName": "node-a",
            "containers": [
                {"name": "queue-proxy", "image": "knative/queue"},
                {"name": "kserve-container", "image": "example/server:2"},
            ],
        },
        "status": {
            "conditions": [{"type": "Ready", "status": str(ready), "lastTransitionTime": MADE}],
            "containerStatuses": [told | ({} if ready else waiting)],
        },
    }


def of_service(name: str, arm: str, app: str, *, namespace: str = NAMESPACE, ready: bool = True) -> dict[str, Any]:
    """A pod with the labels that KServe writes."""
    pod = a_pod(f"{arm}-0", namespace=namespace, ready=ready)
    pod["metadata"]["labels"] = {"serving.kserve.io/inferenceservice": name, "app": app}
    return pod


async def found(mode: str, *pods: dict[str, Any]) -> Sequence[Replica]:
    """What is told of these pods to people who look at a rollout that serves in this way."""
    kube, following = MemoryKube(Time()), plan(mode=mode)
    kube.seed(POD, *pods)
    told = Pods(kube, Time(), NAMESPACE)
    for each in told._reflectors:
        await each._list()
    replicas, unseen = told.of(NAMESPACE, "chat", following.spec, NOW)
    assert unseen == ""
    return replicas


async def test_in_standard_mode_a_pod_is_of_the_arm_whose_service_made_it() -> None:
    names = {arm: service_name("chat", variant) for arm, variant in (("stable", "v1"), ("canary", "v2"))}
    pods = [
        of_service(name, arm, f"isvc.{name}{PREDICTOR}", ready=arm == "stable") for arm, name in reversed(names.items())
    ]
    stranger = of_service("other", "other", f"isvc.other{PREDICTOR}")
    stable, canary = await found("standard", *pods, stranger)
    assert (stable.arm, stable.name, stable.ready, stable.restarts, stable.trouble) == (
        "stable",
        "stable-0",
        True,
        0,
        "",
    )
    assert (stable.place, stable.serves, stable.since) == ("node-a", "example/server:2", NOW - 600)
    assert (canary.arm, canary.ready, canary.restarts) == ("canary", False, 4)
    assert "killed for memory" in canary.trouble


async def test_in_native_mode_both_arms_are_of_one_service() -> None:
    spec = plan(mode="native").spec
    pods = [
        of_service("chat", arm, f"isvc.{workload('chat', variant)}")
        for arm, variant in (("stable", spec.stable), ("canary", spec.canary))
    ]
    assert [each.arm for each in await found("native", *pods)] == ["stable", "canary"]


async def test_in_mode_llm_pods_carry_their_services_name() -> None:
    whole, pods = plan(), []
    for arm, variant in (("stable", whole.spec.stable), ("canary", whole.spec.canary)):
        pods.append(a_pod(f"{arm}-0"))
        pods[-1]["metadata"]["labels"] = {
            "app.kubernetes.io/part-of": "llminferenceservice",
            "app.kubernetes.io/name": llm_name(whole, variant),
        }
    assert [each.arm for each in await found("llm", *pods)] == ["stable", "canary"]


async def test_with_knative_a_revision_is_called_by_its_name() -> None:
    """Which revision is whose is not in its pods: it is not guessed."""
    pod = of_service("chat", "stable", "chat-predictor-00001")
    pod["metadata"]["labels"]["serving.knative.dev/revision"] = "chat-predictor-00001"
    (only,) = await found("knative", pod, of_service("other", "other", "x"))
    assert only.arm == "chat-predictor-00001"


async def test_a_pod_that_is_going_is_said_to_go() -> None:
    name = service_name("chat", "v1")
    pod = of_service(name, "stable", f"isvc.{name}{PREDICTOR}")
    pod["metadata"]["deletionTimestamp"] = MADE
    (only,) = await found("standard", pod)
    assert (only.ready, only.trouble) == (False, "it is being stopped")


async def test_what_was_not_listed_is_not_said_to_be_empty() -> None:
    kube = MemoryKube(Time())
    told = Pods(kube, Time(), NAMESPACE)
    assert told.of(NAMESPACE, "chat", plan().spec, NOW) == ((), UNSYNCED)


@pytest.fixture
def shown() -> Iterator[Shown]:
    """People who come with tokens, and a pod that cannot be pulled."""
    pod = of_service("chat-v2", "canary", f"isvc.chat-v2{PREDICTOR}", namespace=PLACE, ready=False)
    with showing(under_way, sign_in=True, objects=[(POD, pod)]) as served:
        yield served


def panels(shown: Shown, token: str) -> dict[str, Any]:
    """By id, the live panels that this person gets."""
    with shown.client(token) as client:
        return {panel["id"]: panel for panel in client.get(CHAT).json()["state"]["panels"]}


def test_pods_are_for_people_who_may_list_them_and_others_see_the_rest(shown: Shown) -> None:
    seen = panels(shown, VIEWER)["replicas"]
    assert seen["columns"] == ["Pod", "Arm", "Ready", "Restarts", "Age", "Node", "Image", "Trouble"]
    ((name, arm, ready, restarts, _, node, image, trouble),) = seen["rows"]
    assert [each["text"] for each in (name, arm, ready, restarts)] == ["canary-0", "canary", "not ready", "4"]
    assert [each["text"] for each in (node, image)] == ["node-a", "example/server:2"]
    assert "killed for memory" in trouble["text"]
    others = panels(shown, PAUSER)
    assert "replicas" not in others
    assert "conditions" in others


def readiness(shown: Shown, token: str) -> dict[str, str]:
    """By arm what the table of variants says under Ready."""
    variants = panels(shown, token)["variants"]
    assert variants["columns"][-1] == "Ready"
    return {row[0]["text"]: row[-1]["text"] for row in variants["rows"]}


def test_both_variants_say_how_many_of_their_pods_are_ready_to_whoever_may_see_these(shown: Shown) -> None:
    assert readiness(shown, VIEWER) == {"stable": "0 of 1", "canary": "0 of 1"}
    pods = [
        of_service(f"chat-{name}", arm, f"isvc.chat-{name}{PREDICTOR}", namespace=PLACE)
        for arm, name in (("stable", "v1"), ("canary", "v2"))
    ]
    shown.within(lambda: shown.kube.seed(POD, *pods))
    until(lambda: readiness(shown, VIEWER) == {"stable": "1 of 1", "canary": "1 of 1"})
    assert readiness(shown, PAUSER) == {"stable": "–", "canary": "–"}


def test_each_listener_of_one_rollout_is_told_what_they_may_see(shown: Shown) -> None:
    """One stream serves many people, but not those who may see less with those who may see more."""
    for token, sees in ((VIEWER, True), (PAUSER, False), (EDITOR, True)):
        with shown.client(token) as client, client.stream("GET", f"{CHAT}/stream") as answer:
            state = next(line for line in answer.iter_lines() if '"panels"' in line)
            assert ('"replicas"' in state) == sees


async def test_an_account_that_may_not_list_pods_says_so_instead_of_none() -> None:
    told = Pods(MemoryKube(Time()), Time(), NAMESPACE)
    told._reflectors[0].problem = "pods cannot be followed: pods is forbidden: ann cannot list"
    _, unseen = told.of(NAMESPACE, "chat", plan().spec, NOW)
    rollout, _, now = scenes.analyzing()
    drawn = live_panels(rollout, RolloutFacts(replicas=(), unseen=unseen, runs="pod"), now)
    assert drawn[0].empty == "pods cannot be followed: pods is forbidden: ann cannot list."
