"""`serinus completion`: a shell that has sourced it knows the commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from controlplane.cli.completion import HOW, VARIABLE
from controlplane.cli.main import COMMANDS, serinus


@pytest.mark.parametrize("shell", HOW)
def test_each_shell_gets_what_it_sources(shell: str) -> None:
    result = CliRunner().invoke(serinus, ["completion", shell])
    assert result.exit_code == 0
    assert result.output.startswith(f"# {HOW[shell]}")
    assert VARIABLE in result.output


def test_what_the_shell_asks_for_is_every_command_that_begins_so() -> None:
    program = Path(sys.executable).with_name("serinus")
    asked = {VARIABLE: "bash_complete", "COMP_WORDS": "serinus re", "COMP_CWORD": "1"}
    done = subprocess.run([program], env={**os.environ, **asked}, capture_output=True, text=True, check=True)
    offered = {line.partition(",")[2] for line in done.stdout.split()}
    assert offered == {name for name in COMMANDS if name.startswith("re")}
