"""States that builds before this one stored: read once, or known to be unreadable; never half."""

import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pydantic import TypeAdapter

from canary import judge
from canary.judge import JudgeConfig, JudgeState
from canary.judge.compat import can_go_on_with
from tests.canary.judge.anywhere import PLANS, next_block
from tests.canary.judge.worlds import plan, remembered

STATE = TypeAdapter(JudgeState)
STORED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "states_of_version_2.json").read_text())
"""By plan what a build stored after blocks -20 to 79, what it said then, and what it said one block later."""


def _said(config: JudgeConfig, state: JudgeState, now: float) -> list[dict[str, Any]]:
    gates = judge.read(config, state, stage=1, now=now).gates
    return [{"gate": v.gate, "verdict": v.verdict.value, "why": v.why, "log_e": v.log_e} for v in gates]


@pytest.mark.parametrize("number", range(len(PLANS)))
def test_a_state_of_the_version_before_goes_on_as_if_nothing_had_happened(number: int) -> None:
    """With the same words and numbers, at once and after one more block; every kind of gate."""
    config = judge.compile_gates(plan(*PLANS[number], shares=(0.25, 0.5, 1.0)))
    stored, random = STORED[number], Random(str(number))
    state = STATE.validate_python(stored["state"])
    assert can_go_on_with(config, state)
    assert _said(config, state, 79.0) == stored["says"]
    for k in range(-20, 80):
        next_block(random, k, number % 2 + 2, 1 + (k > 60))
    state = judge.update(config, state, next_block(random, 80, number % 2 + 2, 2))
    assert _said(config, state, 80.0) == stored["after"]
    assert STATE.validate_json(STATE.dump_json(state)) == state


@pytest.mark.parametrize("version", [0, 1, 99, "three"])
def test_a_state_of_any_other_version_keeps_its_totals_and_is_marked(version: Any) -> None:
    state = STATE.validate_python({"version": version, "previous": {"at": 5.0, "arms": {}}, "memory": {"a": 1}})
    assert state.unreadable
    assert state.memory is None
    assert state.previous is not None
    assert state.previous.at == 5.0


@pytest.mark.parametrize("name", list(STORED[2]["state"]["memory"]))
def test_a_state_with_a_part_missing_is_unreadable_or_whole(name: str) -> None:
    spoilt = STORED[2]["state"] | {"memory": {k: v for k, v in STORED[2]["state"]["memory"].items() if k != name}}
    assert STATE.validate_python(spoilt).unreadable
    written = STATE.dump_python(STATE.validate_python(STORED[2]["state"]), mode="json")
    assert remembered(STATE.validate_python(written)).gates


@pytest.mark.parametrize("held", [None, {}, "nonsense", {"requests": {"canary": {"c": {"at": "x"}}}}])
def test_held_increments_that_cannot_be_read_are_dropped_and_nothing_else(held: Any) -> None:
    """The build before stored none, which is no reason to begin afresh."""
    written = STATE.dump_python(STATE.validate_python(STORED[0]["state"]), mode="json")
    assert STATE.validate_python(written | {"held": held}) == STATE.validate_python(written)


def test_a_state_that_has_seen_nothing_is_readable() -> None:
    for plain in ({}, {"version": 2}, {"version": 3, "previous": None, "memory": None}):
        assert STATE.validate_python(plain) == JudgeState()
