"""`serinus get` on rollouts that have ended, and on one that nobody carries out; `test_get_real.py` has a live one."""

import asyncio
import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from controlplane.cli.main import serinus


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments])


def test_an_ended_rollout_is_shown_with_its_cause_and_both_arms_and_no_command_that_cannot_work(root: Path) -> None:
    result = invoke("get", "chat", "--state", root / "chat")
    assert result.exit_code == 0
    assert result.stdout.startswith("chat  ✖ rolled back")
    cause = invoke("why", "chat", "--state", root / "chat").output.splitlines()[1]
    assert cause[:60] in " ".join(result.stdout.split())
    assert "serinus promote" not in result.stdout
    assert result.stderr == ""


def test_watching_what_has_ended_tells_all_of_it_and_leaves_with_its_result(root: Path) -> None:
    for name, code in (("chat", 1), ("search", 0)):
        watched = invoke("get", name, "--state", root / name, "-w")
        assert watched.exit_code == code
        assert watched.stdout == invoke("history", name, "--state", root / name).stdout
        lines = invoke("get", name, "--state", root / name, "-w", "-o", "json").stdout.splitlines()
        assert json.loads(lines[-1])["event"] == "end"


def test_other_programs_get_its_last_event(root: Path) -> None:
    state = ("--state", root / "chat")
    assert json.loads(invoke("get", "chat", *state, "-o", "json").stdout)["result"] == "rolled_back"
    assert yaml.safe_load(invoke("get", "chat", *state, "-o", "yaml").stdout)["phase"] == "RolledBack"
    assert invoke("get", "chat", *state, "-o", "name").stdout == "chat\n"


def test_what_cannot_be_watched_or_is_not_there_is_bad_input(root: Path) -> None:
    assert "has no end to write" in invoke("get", "chat", "--state", root / "chat", "-w", "-o", "yaml").stderr
    missing = invoke("get", "nobody", "--state", root)
    assert missing.exit_code == 2
    assert "There is no rollout nobody" in missing.stderr


def test_a_state_that_is_no_database_is_this_machines_fault(root: Path) -> None:
    (root / "chat" / "serinus.db").write_bytes(b"no database at all, and long enough to be taken for one" * 20)
    result = invoke("get", "chat", "--state", root / "chat")
    assert result.exit_code == 1
    assert "is not a database" in result.stderr


@pytest.mark.parametrize("content", ["[" * 100_000, '{"seen":' * 100_000, '{"name": 5}', "\0"])
def test_s7_a_last_look_that_is_damaged_is_no_look(left: Path, content: str) -> None:
    """The store alone is shown then, by every verb that joins both."""
    (left / "live.json").write_text(content)
    for verb in ("get", "report", "status", "why"):
        told = invoke(verb, "search", "--state", left)
        assert (told.exit_code, told.exception) == (0, None), verb
        assert "search" in told.stdout


@pytest.mark.parametrize("content", ["[" * 100_000, "{}", '{"spec": 5}', '{"spec": {"stages": [5]}}', ""])
def test_s7_a_stored_plan_or_state_that_is_damaged_is_a_sentence(left: Path, content: str) -> None:
    for column in ("spec_text", "state"):
        with closing(sqlite3.connect(left / "serinus.db")) as connection, connection:
            connection.execute(f"UPDATE rollouts SET {column} = ?", (content,))  # noqa: S608 - our own names
        for verb in ("get", "report", "diff", "list"):
            told = invoke(
                verb, *([] if verb == "list" else ["search"]), "--state", left.parent if verb == "list" else left
            )
            assert isinstance(told.exception, SystemExit | None), verb
            assert "damaged" in told.stderr, verb
        assert "chat" in told.stdout, "one that cannot be read hides another"


def test_where_nobody_carries_it_out_that_is_said(left: Path) -> None:
    result = invoke("get", "search", "--state", left)
    assert "Nobody carries search out now" in result.stderr
    assert "promote: serinus promote search --state" in " ".join(result.stdout.split())


def test_waiting_for_an_end_that_does_not_come_is_a_timeout(left: Path) -> None:
    waited = invoke("status", "search", "--state", left, "--wait", "--timeout", "0.1s")
    assert waited.exit_code == 3
    assert "search has not ended within" in waited.stderr
    assert waited.stdout.startswith("search  Analyzing")


@pytest.mark.usefixtures("at_a_terminal")
def test_ctrl_c_ends_the_waiting_says_that_nothing_else_ends_and_leaves_with_the_code_that_shells_expect(
    left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def pressed(*_here: Any) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(30)

    monkeypatch.setattr("controlplane.cli.history.again", pressed)
    waited = invoke("status", "search", "--state", left, "--wait")
    assert waited.exit_code == 130
    assert waited.stderr == "Stopped waiting. Nothing was asked of search: it goes on as before.\n"
    assert waited.stdout == ""
