"""Structured logs: one object a line, with the trace that it belongs to."""

import io
import json
from typing import Any

import pytest

from canary.rollout import Phase, Reason
from controlplane.observability.trace import trace_of
from controlplane.view.jsonl import JsonLines
from controlplane.view.log import LogView, LogWatcher
from tests.canary.rollouts import an_event


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_a_line_with_time_level_message_rollout_trace_and_span(stream: io.StringIO) -> None:
    event = an_event(3)
    LogView(stream, lambda: 0.0).event(event)
    (line,) = lines(stream)
    assert list(line)[:6] == ["time", "level", "message", "rollout", "trace_id", "span_id"]
    assert (line["message"], line["rollout"], line["trace_id"]) == (event.message, "chat", trace_of(event))
    assert (line["event"], line["id"]) == (event.event, event.id)


def test_what_is_told_again_is_one_line(stream: io.StringIO) -> None:
    log = LogView(stream, lambda: 0.0)
    for _ in range(2):
        log.event(an_event(3))
    assert len(lines(stream)) == 1


def test_a_sentence_about_a_rollout_belongs_to_its_newest_trace(stream: io.StringIO) -> None:
    log = LogView(stream, lambda: 12.5)
    log.event(an_event(1), "models")
    log.say("Envoy died; it is started again.", "models/chat")
    log.say("Nothing about anybody.")
    _, about, alone = lines(stream)
    assert about["trace_id"] == trace_of(an_event(1), "models")
    assert about["time"] == "1970-01-01T00:00:12.500Z"
    assert alone.keys() == {"time", "level", "message"}


@pytest.mark.parametrize(
    ("fields", "level"),
    [
        ({"event": "verdict", "evidence": {"verdict": "fail"}}, "warning"),
        ({"event": "verdict", "evidence": {"verdict": "pass"}}, "info"),
        ({"event": "phase", "phase": Phase.ROLLING_BACK, "reason": Reason.GATE_FAILED}, "warning"),
        ({"event": "alert"}, "warning"),
        ({"event": "phase", "phase": Phase.ANALYZING}, "info"),
    ],
)
def test_levels(stream: io.StringIO, fields: dict[str, Any], level: str) -> None:
    LogView(stream, lambda: 0.0).event(an_event(1, **fields))
    assert lines(stream)[0]["level"] == level


def test_our_own_bugs_are_errors_and_nothing_from_outside_breaks_a_line(stream: io.StringIO) -> None:
    log = LogView(stream, lambda: 0.0)
    log.say("A bug of ours in x: boom; please report it.")
    log.say("two\nlines \x1b[31mred\x1b[0m https://git:hunter2hunter2@example.com")
    bug, outside = lines(stream)
    assert bug["level"] == "error"
    assert outside["message"] == "two lines red https://<redacted>@example.com"


def test_event_lines_go_on_beside_the_log(stream: io.StringIO) -> None:
    """`-o json --log-format json`: the contract on standard output, the log on standard error."""
    events = io.StringIO()
    view = LogWatcher(LogView(stream, lambda: 0.0), "chat", JsonLines(events))
    view.event(an_event(1))
    view.say("Hello.")
    assert [line["event"] for line in lines(events)] == [an_event(1).event]
    assert [line["message"] for line in lines(stream)] == [an_event(1).message, "Hello."]
