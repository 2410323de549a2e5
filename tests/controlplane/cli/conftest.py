"""Rollouts of this machine for the tests of the verbs that show them."""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from canary.rollout import Phase
from canary.serial import rollout_from_text, rollout_to_text
from controlplane.cli.main import serinus
from tests.controlplane.cli.test_replay import PLAN


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with two rollouts that have ended: `chat` was put back, `search` was promoted."""
    for name, scenario in (("chat", "errors-x20"), ("search", "healthy")):
        file = tmp_path / f"{name}.yml"
        file.write_text(PLAN.replace("{name: chat}\nspec", f"{{name: {name}}}\nspec"))
        folder = tmp_path / "rollouts" / name
        folder.parent.mkdir(exist_ok=True)
        said = ["simulate", file, "--scenario", scenario, "--noise", "iid", "--rps", 1000, "--record", folder]
        CliRunner().invoke(serinus, [str(each) for each in said])
    return tmp_path / "rollouts"


@pytest.fixture
def left(root: Path) -> Path:
    """The state of `search` as a process leaves it that was killed in its last stage but one."""
    with closing(sqlite3.connect(root / "search" / "serinus.db")) as connection, connection:
        (kept,) = connection.execute("SELECT state FROM rollouts").fetchone()
        under_way = replace(rollout_from_text(kept), phase=Phase.ANALYZING, stage=1, result=None)
        connection.execute("UPDATE rollouts SET state = ?", (rollout_to_text(under_way),))
    return root / "search"
