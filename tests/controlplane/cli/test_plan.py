"""`serinus plan` as a person uses it."""

import json
from pathlib import Path

from click.testing import CliRunner

from controlplane.cli.main import serinus
from tests.controlplane.test_forecast import PLAN


def test_a_plan_is_forecast_as_text_and_as_json(tmp_path: Path) -> None:
    """Exit code 0 where a healthy canary gets through."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN)
    text = CliRunner().invoke(serinus, ["plan", str(file)])
    assert text.exit_code == 0, text.output
    assert "error_rate <= 1%: passes after" in text.output
    assert "errors ×20 would be rolled back" in text.output
    plain = json.loads(CliRunner().invoke(serinus, ["plan", str(file), "-o", "json"]).output)
    assert plain["decidable"] is True
    assert plain["stages"][0]["traffic"] == 0.1


def test_a_plan_that_cannot_be_decided_is_exit_code_1(tmp_path: Path) -> None:
    """With what to change."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN)
    result = CliRunner().invoke(serinus, ["plan", str(file), "--rps", "0.1"])
    assert result.exit_code == 1
    assert "not decided with this traffic" in result.output


def test_a_file_with_faults_is_exit_code_2(tmp_path: Path) -> None:
    """Each with its place."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN.replace("10%", "ten"))
    result = CliRunner().invoke(serinus, ["plan", str(file)])
    assert result.exit_code == 2
    assert "canary.yml:8:" in result.output
