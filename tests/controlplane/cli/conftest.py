"""Rollouts of this machine for the tests of the verbs that show them."""

from pathlib import Path

import pytest
from click.testing import CliRunner

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
