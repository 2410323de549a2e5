"""`serinus replay` on recordings of simulated rollouts, kept in the same store as real ones."""

import json
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlplane.cli.main import serinus

PLAN = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: chat}
  stable: {name: v1, command: [serve]}
  canary: {name: v2, command: [serve, --new]}
  judge: {warmup: 20s}
  stages:
    - {traffic: 5%, hold: 2m, gates: [error_rate <= 1.5%]}
    - {traffic: 25%, hold: 2m, gates: [error_rate <= 1.5%]}
    - {traffic: 100%, hold: 30s}
"""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(serinus, [str(each) for each in arguments])


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "canary.yml"
    file.write_text(PLAN)
    return file


def recorded(plan: Path, scenario: str) -> Path:
    folder = plan.parent / scenario
    invoke("simulate", plan, "--scenario", scenario, "--noise", "iid", "--rps", 1000, "--record", folder)
    return folder


def edited(plan: Path, old: str, new: str) -> Path:
    text = plan.read_text()
    assert old in text
    other = plan.with_name("edited.yml")
    other.write_text(text.replace(old, new))
    return other


def test_the_same_file_gives_the_same_decisions(plan: Path) -> None:
    """Also of a rollback: exit code 0 says that nothing is different, not that all went well."""
    folder = recorded(plan, "errors-x20")
    for target in (folder, plan):
        result = invoke("replay", target, "--state", folder)
        assert "Same decisions at the same times: " in result.output, result.output
        assert result.exit_code == 0


def test_an_edited_file_shows_what_would_have_been_decided_when(plan: Path) -> None:
    """A limit that lets the harm pass promotes what was rolled back... as far as the recording knows."""
    folder = recorded(plan, "errors-x20")
    result = invoke("replay", folder, "--plan", edited(plan, "1.5%", "60%"))
    assert result.exit_code == 3, result.output
    assert "Recorded  rolled back after" in result.output
    assert "Replayed  undecided when the recording ends after" in result.output
    assert "fail: error_rate <= 1.5%" in result.output


def test_a_stricter_file_would_have_rolled_back_what_was_promoted(plan: Path) -> None:
    folder = recorded(plan, "errors-x2")
    other = edited(plan, "error_rate <= 1.5%", "error_rate not worse than stable by 20%")
    result = invoke("replay", folder, "--plan", other)
    assert result.exit_code == 1, result.output
    assert "Recorded  promoted after" in result.output
    assert "Replayed  rolled back after" in result.output


def test_a_file_with_shorter_holds_is_promoted_earlier(plan: Path) -> None:
    """Nothing is made up for it: it goes to a larger share before the recording did, on the evidence that there is."""
    folder = recorded(plan, "healthy")
    result = invoke("replay", folder, "--plan", edited(plan, "traffic: 100%, hold: 30s", "traffic: 100%, hold: 10s"))
    assert result.exit_code == 0, result.output
    lines = [
        json.loads(line)
        for line in invoke("replay", folder, "--plan", plan.with_name("edited.yml"), "-o", "json").output.splitlines()
    ]
    end = next(line for line in lines if "recorded" in line and line["replayed"] and line["replayed"]["event"] == "end")
    assert end["recorded"]["t"] == pytest.approx(end["replayed"]["t"] + 20, abs=6)


def test_json_lines_say_it_all(plan: Path) -> None:
    folder = recorded(plan, "errors-x20")
    *rows, summary = [json.loads(line) for line in invoke("replay", folder, "-o", "json").output.splitlines()]
    assert all(row["recorded"] == row["replayed"] for row in rows)
    assert summary["event"] == "replay"
    assert (summary["same"], summary["recorded"], summary["replayed"]) == (True, "rolled_back", "rolled_back")


def test_a_rollout_without_a_recording_is_said_to_have_none(plan: Path) -> None:
    folder = recorded(plan, "healthy")
    with sqlite3.connect(folder / "serinus.db") as store:
        store.execute("DELETE FROM frames")
    result = invoke("replay", folder)
    assert result.exit_code == 2
    assert "was not recorded" in result.output


def test_a_recording_without_its_beginning_is_refused(plan: Path) -> None:
    folder = recorded(plan, "healthy")
    with sqlite3.connect(folder / "serinus.db") as store:
        store.execute("DELETE FROM frames WHERE number = 1")
    result = invoke("replay", folder)
    assert result.exit_code == 2, result.output
    assert "does not begin with the rollout's beginning" in result.output


def test_a_decision_that_is_different_today_is_found(plan: Path) -> None:
    """As it would be if another version of the judge had recorded it."""
    folder = recorded(plan, "errors-x20")
    with sqlite3.connect(folder / "serinus.db") as store:
        store.execute("DELETE FROM events WHERE number = (SELECT max(number) FROM events WHERE body LIKE '%verdict%')")
    result = invoke("replay", folder)
    assert result.exit_code == 1, result.output
    assert "The same plan decides otherwise today" in result.output


def test_bad_input_says_what_and_decides_nothing(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for arguments in (["nobody", "--state", tmp_path / "empty"], [tmp_path / "empty"]):
        result = invoke("replay", *arguments)
        assert result.exit_code == 2
        assert "Nothing was decided again." in result.output
