"""What both programs print of a rollout is the same text, whichever of them found it."""

import json

import pytest

from canary.serial import event_line
from controlplane.cli.printing import print_differences, print_history, print_status, print_why
from controlplane.readmodel.record import RolloutRecord
from tests.controlplane.kubectl.desk import desk, under_way


def test_kubectl_prints_what_the_printing_of_both_says(capsys: pytest.CaptureFixture[str]) -> None:
    from controlplane.kubectl.record import record_of

    place = desk(under_way)
    record = record_of(json.loads(place("get", "chat", "-o", "json").stdout))
    assert isinstance(record, RolloutRecord)
    print_status(record, "text")
    assert place("status", "chat").stdout == capsys.readouterr().out
    print_status(record, "json")
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(event_line(record.rollout.history[-1])))
    print_why(record)
    assert place("why", "chat").stdout.startswith(capsys.readouterr().out)
    print_history(record.rollout.history, "text")
    assert place("history", "chat").stdout == capsys.readouterr().out
    print_differences(record.variants, "chat", "json")
    assert place("diff", "chat", "-o", "json").stdout == capsys.readouterr().out


def test_variants_that_are_the_same_are_said_to_be(capsys: pytest.CaptureFixture[str]) -> None:
    print_differences({"stable": {"a": 1}, "canary": {"a": 1}}, "chat", "text")
    assert capsys.readouterr().out == "chat: stable and canary are the same, so there is nothing to try.\n"
