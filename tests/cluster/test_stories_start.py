"""Canaries that never come up, in a real cluster: each is given up with its own sentence, and stable is not touched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.stories import Rollout, plan, say, told

GPUS = 4
"""Of the one node."""
NEVER: Mapping[str, tuple[Mapping[str, Any], str, float]] = {
    "slow": ({"env": {"LOAD_SECONDS": "600"}}, "loading for", 120),
    "crash": ({"env": {"CRASH_AFTER": "0.2", "LOAD_SECONDS": "600"}}, "crashed 3 times (exit code 1", 100),
    "oom": ({"resources": {"cpu": "50m", "memory": "7Mi"}}, "OOMKilled", 100),
    "gpus": ({"profile": {"gpu": "L40S", "count": GPUS}}, f"no GPU left (asks for {GPUS}, at most 3 of 4 free", 120),
    "image": ({"image": "localhost/nothing:here"}, "the image localhost/nothing:here cannot be pulled", 120),
}
"""By name of the rollout: what is wrong with its canary, words of the sentence, seconds until it must be said."""


def test_r5_canaries_that_never_come_up_are_given_up_and_free_what_they_held(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """Five rollouts at the same time; the stable of one of them holds a GPU and keeps it."""
    with told(node, namespace, tmp_path) as story:
        story.operator()
        rollouts = {}
        for name, (canary, _, _) in NEVER.items():
            stable = {"profile": {"gpu": "L40S", "count": 1}} if name == "gpus" else {}
            deadline = {"progressDeadline": "60s"} if name == "slow" else {}
            rollouts[name] = story.begin(plan(namespace, name, canary=canary, stable=stable, **deadline))
        for rollout in rollouts.values():
            rollout.until_served()
        untouched = {name: rollout.untouched() for name, rollout in rollouts.items()}
        for name, rollout in rollouts.items():
            _, words, seconds = NEVER[name]
            rollout.until_at_rest(180)
            given_up = next(entry for entry in rollout.story() if entry.phase == "RollingBack")
            took = given_up.at - rollout.story()[0].at
            say(f"{name}: after {took:.1f} s: {given_up.message}")
            assert rollout.reached(phase="RolledBack", result="failed", weight="0 %")
            assert words in given_up.message
            assert name == "slow" or _was_told(rollout, words, before=given_up.at)
            assert words in rollout.status["message"]
            assert took < seconds
            assert rollout.peak == 0.0
            assert rollout.untouched() == untouched[name]
        until("the canaries to go", lambda: story.services() == {f"{name}-v1" for name in NEVER}, 60)
        until("their pods to go", lambda: _gpus(node, namespace) == 1, 60)
        for rollout in rollouts.values():
            with rollout.traffic(requests=50) as load:
                load.wait()
            assert rollout.failures() == []
            assert rollout.by("v2") == []


def _was_told(rollout: Rollout, words: str, before: float) -> bool:
    """Whether its status said so while the canary was still waited for: loading alone is nobody's news."""
    first = words.split(maxsplit=1)[0]  # of a crash the number comes later
    waiting = [entry for entry in rollout.story() if entry.reason == "WaitingForCanary" and entry.at < before]
    return any(first in entry.message for entry in waiting)


def _gpus(node: Node, namespace: str) -> int:
    """GPUs that pods of this namespace hold."""
    limits = [
        container["resources"].get("limits", {}).get("nvidia.com/gpu", "0")
        for pod in node.find("pods", namespace)
        for container in pod["spec"]["containers"]
    ]
    return sum(map(int, limits))
