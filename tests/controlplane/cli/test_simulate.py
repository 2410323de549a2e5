"""`serinus simulate`: exit codes, text, event lines, and what it says to bad input."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlplane.cli.simulate import command
from controlplane.simulation.scenarios import SCENARIOS

PLAN = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: tiny}
spec:
  model: {name: tiny}
  stable: {name: v1, command: [serve]}
  canary: {name: v2, command: [serve, --new]}
  stages:
    - {traffic: 20%, hold: 20s, gates: [error_rate <= 5%]}
    - {traffic: 100%, hold: 10s}
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    """A plan of half a minute."""
    path = tmp_path / "canary.yml"
    path.write_text(PLAN)
    return str(path)


def run(*arguments: str) -> Result:
    """The command with these arguments."""
    return CliRunner().invoke(command, arguments)


@pytest.mark.parametrize(
    ("scenario", "code"), [("healthy", 0), ("errors-x20", 1), ("never-ready", 1), ("no-traffic", 3)]
)
def test_the_exit_code_says_how_it_ended(plan: str, scenario: str, code: int) -> None:
    """Promoted, rolled back, failed, undecided."""
    result = run(plan, "--scenario", scenario, "--for", "20m")
    assert result.exit_code == code, result.output
    assert SCENARIOS[scenario].happens in result.output


def test_the_same_seed_prints_the_same_bytes(plan: str) -> None:
    """And another seed others."""
    first, again, other = (run(plan, "--seed", seed, "-o", "json").stdout_bytes for seed in ("5", "5", "6"))
    assert first == again != other


def test_json_prints_event_lines_and_nothing_else(plan: str) -> None:
    """The last is the end with its result and requests."""
    lines = [json.loads(line) for line in run(plan, "--scenario", "errors-x20", "-o", "json").stdout.splitlines()]
    assert lines[-1]["event"] == "end"
    assert lines[-1]["result"] == "rolled_back"
    assert lines[-1]["requests"]["failed_by_shift"] == 0


def test_without_a_file_the_sample_plan_is_played() -> None:
    """It has a name of its own."""
    assert run("--scenario", "errors-x20").output.startswith("sample: 5 %")


def test_the_list_names_every_scenario() -> None:
    """As text and as lines."""
    assert [line.split()[0] for line in run("--list").output.splitlines() if not line.startswith(" ")] == list(
        SCENARIOS
    )
    assert [json.loads(line)["name"] for line in run("--list", "-o", "json").output.splitlines()] == list(SCENARIOS)


def test_bad_input_is_said_and_nothing_is_played(plan: str, tmp_path: Path) -> None:
    """A scenario that does not exist, a file that does not, a plan with faults, a duration without a unit."""
    unknown = run(plan, "--scenario", "error-x20")
    assert unknown.exit_code == 2
    assert "Did you mean errors-x20?" in unknown.stderr
    missing = run(str(tmp_path / "none.yml"))
    assert missing.exit_code == 2
    assert "none.yml does not exist" in missing.stderr
    faulty = tmp_path / "faulty.yml"
    faulty.write_text(PLAN.replace("20%", "120%").replace("20s", "soon"))
    found = run(str(faulty))
    assert found.exit_code == 2
    assert found.stderr.count("faulty.yml:") >= 2
    assert found.stdout == ""
    assert run(plan, "--interval", "30").exit_code == 2
    assert run(plan, "--for", "0s").exit_code == 2


def test_interval_and_requests_can_be_set(plan: str) -> None:
    """They are shown above the story."""
    output = run(plan, "--interval", "2s", "--rps", "50", "--noise", "iid").output
    assert "50 requests a second, iid noise; scraped every 2 s" in output
