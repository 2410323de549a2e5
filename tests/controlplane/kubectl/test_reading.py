"""`kubectl canary status`, `why` and `history` on what an operator left."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from tests.controlplane.kubectl.desk import PLACE, broken, desk, faulty, good, under_way


def test_why_and_the_event_say_the_sentence_of_the_rollback() -> None:
    """One sentence everywhere: it was decided once."""
    person = desk(broken)
    told = person("why", "chat").output.splitlines()[1]
    notes = [each["note"] for each in person.kube.objects(EVENT).values()]
    history = person.kube.objects(MODEL_CANARY)[PLACE, "chat"]["status"]["history"]
    assert told in notes
    assert told in [each["message"] for each in history if each["phase"] == "RollingBack"]
    assert "% of the canary's requests failed in the last" in told


def test_while_it_is_under_way_why_and_the_status_say_the_same_sentence() -> None:
    person = desk(under_way)
    message = person.kube.objects(MODEL_CANARY)[PLACE, "chat"]["status"]["message"]
    assert person("why", "chat").output.splitlines()[1] == message
    assert person("status", "chat").output.splitlines()[1] == message
    assert message in person("list").output


def test_status_leaves_with_what_became_of_it() -> None:
    assert desk(good)("status", "chat").exit_code == 0
    assert desk(under_way)("status", "chat").exit_code == 0
    assert desk(broken)("status", "chat").exit_code == 1
    assert desk(faulty)("status", "chat").exit_code == 2


def test_status_waits_for_the_end_of_the_present_spec_and_not_longer_than_it_may() -> None:
    assert desk(good)("status", "chat", "--wait").exit_code == 0
    assert desk(broken)("status", "chat", "--wait").exit_code == 1
    late = desk(under_way)("status", "chat", "--wait", "--timeout", "50ms")
    assert late.exit_code == 3
    assert "chat in namespace models has not ended within 50 ms." in late.stderr
    assert "No operator seems to run in this cluster" in late.stderr


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_ends_the_waiting_says_that_nothing_else_ends_and_leaves_with_the_code_that_shells_expect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def pressed(_session: Any, object_: Object, _say: Any) -> AsyncGenerator[Object]:
        yield object_
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)

    monkeypatch.setattr("controlplane.kubectl.follow.follow", pressed)
    waited = desk(under_way)("status", "chat", "--wait")
    assert waited.exit_code == 130
    assert waited.stderr == "Stopped waiting. Nothing was asked of chat in namespace models: it goes on as before.\n"
    assert waited.stdout == ""


def test_the_end_of_an_earlier_spec_is_no_end_to_wait_for() -> None:
    """After `kubectl apply`, a script must not take the last rollout's success for this one's."""
    person = desk(good)
    object_ = person.kube.objects(MODEL_CANARY)[PLACE, "chat"]
    person.kube.seed(MODEL_CANARY, object_ | {"metadata": object_["metadata"] | {"generation": 99}})
    assert person("status", "chat", "--wait", "--timeout", "0.05").exit_code == 3
    assert "The spec was edited since" in person("status", "chat").stderr


def test_history_has_the_lines_of_the_contract_to_the_end() -> None:
    lines = [json.loads(line) for line in desk(broken)("history", "chat", "-o", "json").stdout.splitlines()]
    assert [line["id"] for line in lines] == [f"chat/1/{number}" for number in range(1, len(lines) + 1)]
    assert lines[-1]["event"] == "end"
    assert lines[-1]["result"] == "rolled_back"
    assert lines[-1]["decided_to_zero"] >= 0
    assert {"at", "t", "rollout", "revision", "phase", "stage", "weight", "reason", "message", "evidence"} <= set(
        lines[0]
    )


def test_an_attempt_that_nobody_kept_is_bad_input() -> None:
    told = desk(good)("history", "chat", "--attempt", "7")
    assert (told.exit_code, told.stderr) == (2, "Nothing is kept of attempt 7 of chat in namespace models.\n")
