"""The four-week plan, compressed: to its promotion, and back from every stage for every kind of harm."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.stories import FALLING_S, FOUR_WEEKS, GATE, plan, say, stages, told

RATE = 200.0


def test_the_four_week_plan_is_promoted_and_the_next_one_is_taken_back(
    node: Node, namespace: str, tmp_path: Path
) -> None:
    """No request fails on the way up; then the winner is stable, in the other slot, and the next canary breaks."""
    with told(node, namespace, tmp_path) as story:
        story.operator()
        chat = story.begin(plan(namespace))
        chat.until(phase="Analyzing")
        with chat.traffic(RATE):
            chat.until_at_rest()
        assert chat.reached(phase="Succeeded", result="promoted", weight="100 %")
        assert chat.failures() == []
        surprise = chat.never_more_than_asked()
        say(f"{len(chat.hits)} requests to the promotion, 0 failed; largest share: {surprise:.1f} nats above the stage")
        until("the old variant to go", lambda: story.services() == {"chat-v2"}, 60)

        chat.hits.clear()
        stable = chat.untouched("v2")
        following = plan(namespace)
        following["spec"]["stable"] = following["spec"]["canary"]
        following["spec"]["canary"] = {**following["spec"]["stable"], "name": "v3", "uri": "hf://example/chat-nf4"}
        story.begin(following)
        with chat.traffic(RATE):
            until("the next attempt", lambda: chat.reached(attempt=2, stage=1, phase="Analyzing"), 120)
            node.turn(namespace, "chat-v3", error_rate=1.0)
            chat.until_at_rest()
            time.sleep(FALLING_S)
        assert chat.reached(phase="RolledBack", result="rolled_back", weight="0 %")
        assert chat.failures(but_by="v3") == []
        chat.never_more_than_asked("v3")
        say(f"last request of the canary {chat.never_again('v3'):.2f} s after the decision")
        assert chat.untouched("v2") == stable
        until("the canary to go", lambda: story.services() == {"chat-v2"}, 60)


HARM: Mapping[str, tuple[int, Mapping[str, Any], str, str]] = {
    "errors": (0, {"error_rate": 1.0}, GATE, "failed in the last"),
    "latency": (1, {"ttft": 0.5}, "latency p95 <= 250ms", "took longer than 250 ms"),
    "kpi": (2, {"kpis": {"sales": 0.1}}, "kpi/sales >= 30%", "allowed is at least 30 %"),
    "late": (3, {"error_rate": 0.6}, GATE, "failed in the last"),
}
"""By name of the rollout: the stage in which its canary turns bad, how, the gate that notices, words that say so."""
KPI = {"engine": {"kpi": "sales=0.5"}}


def test_harm_at_each_stage_is_taken_back(node: Node, namespace: str, tmp_path: Path) -> None:
    """Four rollouts at the same time; stable's pods and objects are not touched, and nobody else's requests fail."""
    with told(node, namespace, tmp_path) as story, ExitStack() as traffic:
        story.operator()
        rollouts = {}
        for name, (stage, _, gate, _) in HARM.items():
            steps = stages(*FOUR_WEEKS)
            steps[stage] |= {"hold": "5m", "gates": [gate]}
            rollouts[name] = story.begin(plan(namespace, name, stages=steps, stable=KPI, canary=KPI))
        for rollout in rollouts.values():
            rollout.until(phase="Analyzing", seconds=240)
            traffic.enter_context(rollout.traffic(RATE / 2))
        untouched = {name: rollout.untouched() for name, rollout in rollouts.items()}
        turned = {}
        for name, (stage, knobs, *_) in HARM.items():
            rollouts[name].until_stage(stage)
            turned[name] = time.time()
            node.turn(namespace, f"{name}-v2", **knobs)
        for rollout in rollouts.values():
            rollout.until_at_rest()
        time.sleep(FALLING_S)
        traffic.close()
        for name, rollout in rollouts.items():
            (stage, _, _, words), end = HARM[name], rollout.story()[-1]
            assert rollout.reached(phase="RolledBack", result="rolled_back", weight="0 %", stage=stage)
            assert rollout.failures(but_by="v2") == []
            surprise, last = rollout.never_more_than_asked(), rollout.never_again()
            decided = next(entry for entry in rollout.story() if entry.phase == "RollingBack")
            say(
                f"{name}: decided {decided.at - turned[name]:.1f} s after the harm began, the canary's last request "
                f"{last:.2f} s later; {surprise:.1f} nats above the stage; {decided.message} {end.message}"
            )
            assert words in decided.message
            assert rollout.untouched() == untouched[name]
        until("the canaries to go", lambda: story.services() == {f"{name}-v1" for name in HARM}, 60)
