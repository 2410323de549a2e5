"""`serinus alerts test`: every channel of a file is tried once, and what became of each is said."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from click.testing import CliRunner, Result

from controlplane.cli.main import serinus
from tests.controlplane.alerts.receivers import Receiver

PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: m}
  stable: {name: v1, command: [a]}
  canary: {name: v2, command: [b]}
  stages: [{traffic: 5%}, {traffic: 100%}]
"""
ALERTS = """\
  alerts:
    - webhook: {urlFrom: {env: HOOK}}
    - slack: {urlFrom: {env: GONE}}
      on: [rolledBack]
"""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A webhook in a thread of its own: the command has its own loop. Its address is in $HOOK."""
    server, loop = Receiver(), asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()
    asyncio.run_coroutine_threadsafe(server.start(), loop).result(5)
    monkeypatch.setenv("HOOK", server.url("/MARKER"))
    yield server
    asyncio.run_coroutine_threadsafe(server.stop(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


def tried(tmp_path: Path, alerts: str, *options: str) -> Result:
    file = tmp_path / "canary.yml"
    file.write_text(PLAN + alerts)
    return CliRunner().invoke(serinus, ["alerts", "test", str(file), *options])


def test_each_channel_is_tried_and_what_became_of_it_is_said(tmp_path: Path, hook: Receiver) -> None:
    result = tried(tmp_path, ALERTS)
    arrived, lost = result.output.splitlines()
    assert arrived.startswith("✔ webhook ($HOOK): arrived; it is told of aborted, awaitingApproval, blind")
    assert lost == "✖ slack ($GONE): $GONE is not set"
    assert result.exit_code == 1
    assert "MARKER" not in result.output


def test_a_test_says_what_it_is_and_leaves_nothing_open(tmp_path: Path, hook: Receiver) -> None:
    result = tried(tmp_path, "  alerts: [{webhook: {urlFrom: {env: HOOK}}}]\n")
    assert result.exit_code == 0
    first, last = (got.json["data"] for got in hook.got)
    assert (first["kind"], first["state"], last["state"]) == ("test", "firing", "resolved")
    assert first["key"] == last["key"] == "chat/0/test"
    assert "This is a test" in first["sentence"]


def test_other_tools_get_an_object_a_channel(tmp_path: Path, hook: Receiver) -> None:
    lines = [json.loads(line) for line in tried(tmp_path, ALERTS, "-o", "json").output.splitlines()]
    assert [line["arrived"] for line in lines] == [True, False]
    assert lines[1] == {
        "channel": "slack ($GONE)",
        "told_of": ["rolledBack"],
        "problem": "$GONE is not set",
        "arrived": False,
    }


def test_a_file_without_alerts_is_bad_input(tmp_path: Path) -> None:
    result = tried(tmp_path, "")
    assert result.exit_code == 2
    assert "names no alerts; nothing was sent" in result.output


def test_a_file_with_faults_is_bad_input(tmp_path: Path) -> None:
    result = tried(tmp_path, "  alerts: [{slack: {url: https://hooks.example.com/MARKER}}]\n")
    assert result.exit_code == 2
    assert "values never stand in canary.yml" in result.output
    assert "MARKER" not in result.output
