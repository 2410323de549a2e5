"""Event lines are the contract's: one object a line, each event once, sentences on standard error."""

import io
import json

from controlplane.view.jsonl import JsonLines
from tests.controlplane.view.scenes import rolled_back


def test_each_event_is_one_object_and_the_last_is_the_end() -> None:
    rollout, seen, _ = rolled_back()
    stream, errors = io.StringIO(), io.StringIO()
    lines = JsonLines(stream, errors=errors)
    for event in (*rollout.history, *rollout.history):
        lines.event(event)
        lines.update(rollout, seen)
    lines.say("Envoy was started again.")
    lines.close()
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["id"] for each in objects] == [f"support-llm/3/{number}" for number in range(1, 12)]
    assert objects[-1]["event"] == "end"
    assert objects[2] | {"evidence": None} == {
        "id": "support-llm/3/3",
        "at": "2026-11-21T13:11:00Z",
        "t": 660.0,
        "rollout": "support-llm",
        "revision": "9f2c",
        "event": "phase",
        "phase": "Shifting",
        "stage": 1,
        "weight": 0.25,
        "reason": "StagePassed",
        "message": "Stage 1 passed all 4 gates. Giving 25 % of the traffic to nf4.",
        "evidence": None,
        "seq": 3,
    }
    assert errors.getvalue() == "Envoy was started again.\n"
