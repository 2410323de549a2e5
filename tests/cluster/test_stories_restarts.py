"""Whatever a rollout stands on dies under it: the operator at any moment, KServe, the gateway, Prometheus, the API."""

import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.cluster.bed import Node, until
from tests.cluster.stories import FOUR_WEEKS, Operator, plan, say, stages, told

KILLS = 10
RATE = 150.0
HANDOVER_S = 2.0
"""Until a standby carries on for a leader that left in order."""
TAKEOVER_S = 10.0
"""The same for one that was killed: its lease has to run out first."""
LOST_S = 15.0
"""How long clients may fail while the only proxy of the gateway is replaced."""


def test_r1_an_operator_that_is_killed_again_and_again_still_brings_a_rollout_to_its_end(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """`kill -9` at random moments, from its first steps on: no request fails, and the share never runs ahead."""
    chance = random.Random(4)
    with told(node, namespace, tmp_path) as story:
        operator = story.operator("--no-leader-elect")
        chat = story.begin(plan(namespace, stages=stages(*FOUR_WEEKS, hold="4s")))
        kills = 0
        chat.until(phase="Analyzing")
        with chat.traffic(RATE):
            while kills < KILLS and not chat.at_rest():
                operator.kill()
                kills += 1
                operator.start()
                until("it to carry on", partial(operator.leads, kills + 1), 60)
                time.sleep(chance.uniform(0.0, 4.0))
            chat.until_at_rest(240)
        assert chat.reached(phase="Succeeded", result="promoted", weight="100 %", attempt=1)
        assert chat.failures() == []
        surprise = chat.never_more_than_asked()
        say(f"{kills} kills, {len(chat.hits)} requests, 0 failed; {surprise:.1f} nats above the stage")
        until("the old variant to go", lambda: story.services() == {"chat-v2"}, 60)


def test_r2_a_standby_takes_over_from_a_leader_that_leaves_and_from_one_that_is_killed(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """The first leaves in order; the second is killed in the moment in which the canary breaks."""
    with told(node, namespace, tmp_path) as story:
        replicas = [story.operator() for _ in range(3)]
        first = _leader(replicas)
        chat = story.begin(plan(namespace, stages=stages("50%", "100%", hold="10m")))
        with chat.traffic(RATE):  # from the beginning: a judge that saw nothing yet has nothing to read again
            chat.until(phase="Analyzing")
            replicas.remove(first)
            assert not any(each.leads() for each in replicas)
            left = time.time()
            first.stop()
            second = _leader(replicas)
            handover = second.led_at - left  # that the first one's process is gone as well is not what matters
            node.turn(namespace, "chat-v2", error_rate=1.0)
            second.kill()
            killed = time.time()
            chat.until(phase="RolledBack", seconds=60)
            chat.until_at_rest()
        takeover = next(entry.at for entry in chat.story() if entry.phase == "RolledBack") - killed
        say(f"handed over in {handover:.1f} s; rolled back by the standby {takeover:.1f} s after a kill -9")
        assert chat.failures(but_by="v2") == []
        chat.never_more_than_asked()
        assert handover < HANDOVER_S
        assert takeover < TAKEOVER_S


def test_a_rollout_goes_on_through_the_restart_of_everything_that_it_stands_on(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """KServe's manager, the API server, Prometheus, the gateway's controller and its proxy, one in each stage."""
    with told(node, namespace, tmp_path) as story:
        story.operator()
        chat = story.begin(plan(namespace, stages=stages("5%", "20%", "40%", "60%", "80%", "100%", hold="8s")))
        chat.until(phase="Analyzing")
        stable = chat.untouched()
        with chat.traffic(RATE):
            chat.until_stage(0)
            _restart(node, "kserve", "control-plane=kserve-controller-manager")
            chat.until_stage(1)
            node.restart("apiserver")
            chat.until_stage(2)
            _restart(node, "monitoring", "app=prometheus")
            chat.until_stage(3)
            _restart(node, "envoy-gateway-system", "control-plane=envoy-gateway")
            assert chat.untouched() == stable
            chat.until_stage(4)
            replaced = time.time()
            _restart(node, "envoy-gateway-system", "app.kubernetes.io/component=proxy")
            chat.until_at_rest(240)
        lost = [hit.began - replaced for hit in chat.failures()]
        say(f"{len(chat.hits)} requests, {len(lost)} lost while the only proxy was replaced, 0 else")
        assert chat.reached(phase="Succeeded", result="promoted", weight="100 %", attempt=1)
        assert "RollingBack" not in chat.phases()
        assert all(0 < at < LOST_S for at in lost)
        chat.never_more_than_asked()
        until("the old variant to go", lambda: story.services() == {"chat-v2"}, 60)


def _leader(replicas: Sequence[Operator]) -> Operator:
    """The first of them that leads."""
    return until("a leader", lambda: next((each for each in replicas if each.leads()), None), 60, every=0.02)


def _restart(node: Node, namespace: str, labels: str) -> None:
    """Delete the pods with these labels, and wait until others are there in their place."""
    before = {pod["metadata"]["uid"] for pod in node.find("pods", namespace, "-l", labels)}
    assert before, f"there is no pod {labels} in {namespace}"
    node.kubectl("delete", "pods", "-n", namespace, "-l", labels, "--grace-period=1", "--wait=false")

    def replaced() -> bool:
        pods = node.find("pods", namespace, "-l", labels)
        ready = {pod["metadata"]["uid"] for pod in pods if _is_ready(pod)}
        return bool(ready) and not ready & before

    until(f"new pods {labels}", replaced, 120, every=0.5)


def _is_ready(pod: dict[str, object]) -> bool:
    status = pod.get("status")
    conditions = status.get("conditions", ()) if isinstance(status, dict) else ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
