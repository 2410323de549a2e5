"""Round trips of everything that is kept, and the shape of the lines that other tools read."""

import json
import math

import pytest
from hypothesis import given

from canary.rollout import Event, Phase, Reason, Rollout
from canary.serial import (
    event_from_text,
    event_line,
    event_to_text,
    rfc3339,
    rollout_from_text,
    rollout_to_text,
)
from tests.canary.rollouts import EVENTS, ROLLOUTS, a_rollout, an_event


@given(ROLLOUTS)
def test_a_rollout_comes_back_as_it_was(rollout: Rollout) -> None:
    assert rollout_from_text(rollout_to_text(rollout)) == rollout


@given(EVENTS)
def test_an_event_comes_back_as_it_was(event: Event) -> None:
    assert event_from_text(event_to_text(event)) == event


def test_r10_an_event_of_a_build_without_sequence_numbers_has_the_one_of_its_id() -> None:
    event = an_event(17, attempt=3)
    older = json.loads(event_to_text(event))
    assert older.pop("seq") == 17
    assert event_from_text(json.dumps(older)) == event
    rollout = a_rollout(history=(event,), events=17)
    state = json.loads(rollout_to_text(rollout))
    del state["history"][0]["seq"]
    assert rollout_from_text(json.dumps(state)) == rollout


def test_an_event_without_any_number_is_refused() -> None:
    older = {key: value for key, value in json.loads(event_to_text(an_event())).items() if key != "seq"}
    with pytest.raises(ValueError, match="seq"):
        event_from_text(json.dumps(older | {"id": "chat/1/first"}))


@given(EVENTS)
def test_every_line_is_strict_json_with_the_keys_of_the_contract(event: Event) -> None:
    """`allow_nan=False` is what a strict reader accepts."""
    line = json.loads(json.dumps(event_line(event), allow_nan=False))
    contract = ["id", "at", "t", "rollout", "revision", "event", "phase", "stage", "weight", "reason", "message"]
    assert list(line)[: len(contract)] == contract
    assert "evidence" in line
    assert line["seq"] == event.seq


def test_numbers_that_are_none_become_null_in_a_line() -> None:
    event = an_event(evidence={"canary": math.nan, "bounds": [0.1, math.inf], "stable": {"le": -math.inf}})
    assert event_line(event)["evidence"] == {"canary": None, "bounds": [0.1, None], "stable": {"le": None}}


def test_the_last_line_carries_its_result_beside_the_other_keys() -> None:
    event = an_event(
        event="end",
        phase=Phase.ROLLED_BACK,
        reason=Reason.TRAFFIC_BACK,
        evidence={
            "result": "rolled_back",
            "requests": {"stable": 100, "canary": 7, "failed_by_shift": 0},
            "harm_began": None,
            "decided": 1_000.25,
            "zero": 1_001.0,
            "decided_to_zero": 0.75,
        },
    )
    line = event_line(event)
    assert (line["result"], line["requests"]["canary"], line["decided_to_zero"]) == ("rolled_back", 7, 0.75)
    assert (line["decided"], line["zero"]) == ("1970-01-01T00:16:40.250Z", "1970-01-01T00:16:41Z")
    assert line["harm_began"] is None


def test_a_time_is_written_as_rfc_3339_in_utc() -> None:
    assert rfc3339(1_795_251_605.0) == "2026-11-21T09:00:05Z"
    assert rfc3339(1_795_251_605.0625) == "2026-11-21T09:00:05.062Z"


def test_a_state_of_another_release_is_read_as_far_as_it_is_known() -> None:
    """What is missing takes its default, what is unknown is left out."""
    text = '{"name":"chat","revision":"r1","attempt":1,"began":5.0,"invented_later":true}'
    assert rollout_from_text(text) == Rollout(name="chat", revision="r1", attempt=1, began=5.0)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"name": "chat"}', '{"name":"c","revision":"r","attempt":"x","began":0}']
)
def test_text_that_is_no_rollout_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        rollout_from_text(text)
