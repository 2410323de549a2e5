"""`serinus completion`: a shell that has sourced it knows the commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner

from controlplane.cli.completion import HOW, PROGRAM, VARIABLE
from controlplane.cli.main import COMMANDS, serinus


@pytest.mark.parametrize("shell", HOW)
def test_each_shell_gets_what_it_sources(shell: str) -> None:
    result = CliRunner().invoke(serinus, ["completion", shell])
    assert result.exit_code == 0
    assert result.output.startswith(f"# {HOW[shell].format(program=PROGRAM)}")
    assert VARIABLE in result.output


def test_what_the_shell_asks_for_is_every_command_that_begins_so() -> None:
    program = Path(sys.executable).with_name("serinus")
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": "serinus re", "COMP_CWORD": "1"}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    offered = {line.partition(",")[2] for line in done.stdout.split()}
    assert offered == {name for name in COMMANDS if name.startswith("re")}


@pytest.fixture
def home(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The rollouts are the user's own."""
    (root.parent / "serinus").symlink_to(root)
    monkeypatch.setenv("XDG_STATE_HOME", str(root.parent))
    return root


def test_every_verb_completes_a_rollouts_name_with_its_phase(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    verbs = [
        "get",
        "status",
        "why",
        "history",
        "events",
        "diff",
        "report",
        "promote",
        "pause",
        "resume",
        "approve",
        "abort",
    ]
    for verb in verbs:
        offered = ShellComplete(serinus, {}, PROGRAM, VARIABLE).get_completions([verb], "ch")
        assert [(each.value, each.help) for each in offered] == [("chat", "RolledBack")], verb
    assert capfd.readouterr() == ("", "")


def test_where_no_rollout_begins_so_files_are_offered_and_damage_says_nothing(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "bad").mkdir()
    (home / "bad" / "serinus.db").write_bytes(b"no database at all" * 99)
    offered = ShellComplete(serinus, {}, PROGRAM, VARIABLE).get_completions(["get"], "canary")
    assert [(each.value, each.type) for each in offered] == [("canary", "file")]
    assert capfd.readouterr() == ("", "")
