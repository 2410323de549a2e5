"""Why a rollout is where it is, in lines for people."""

from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from canary.judge import JudgeState
from canary.judge.state import VERSION
from controlplane.view.explain import WRITTEN_BY_ANOTHER, why_lines
from tests.controlplane.view import scenes


def test_why_names_the_cause_and_each_gate_with_its_sentence() -> None:
    rollout, _, _ = scenes.analyzing()
    lines = why_lines(scenes.plan(), rollout)
    for verdict in rollout.verdicts:
        assert any(verdict.gate in line for line in lines)
    assert WRITTEN_BY_ANOTHER not in lines


@pytest.mark.parametrize(
    ("version", "memory"),
    [
        (VERSION - 1, {"gates": []}),
        (VERSION + 1, {"gates": [], "what": "comes later"}),
        (VERSION, {"gates": "what it never was"}),
    ],
)
def test_a_state_of_another_release_is_told_as_that_and_its_verdicts_stand(
    version: int, memory: dict[str, Any]
) -> None:
    """No trace of an error, and no advice that is worked out from half of a memory."""
    rollout, _, _ = scenes.analyzing()
    older = replace(rollout, judge=TypeAdapter(JudgeState).validate_python({"version": version, "memory": memory}))
    lines = why_lines(scenes.plan(), older)
    assert lines[-1] == WRITTEN_BY_ANOTHER
    for verdict in rollout.verdicts:
        assert any(verdict.why in line for line in lines)
