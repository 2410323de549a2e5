"""The command around the checks: what it prints, what it answers, and what it refuses."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.cli import doctor
from controlplane.evidence.doctor_cluster import Check

FINE = Check("GPUs", "ok", "3 of 4 free.")
WRONG = Check("gateway", "problem", "It is not there.", "Name one with --gateway.")


def _run(monkeypatch: pytest.MonkeyPatch, checks: list[Check], *words: str) -> tuple[int, str]:
    async def looked(*_: object) -> list[Check]:
        return checks

    monkeypatch.setattr(doctor, "_looked", looked)
    result = CliRunner().invoke(doctor.command, list(words))
    return result.exit_code, result.output


def test_a_cluster_in_order_is_0_and_a_problem_is_1(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, [FINE])[0] == 0
    code, text = _run(monkeypatch, [FINE, WRONG])
    assert code == 1
    assert "ok      GPUs: 3 of 4 free." in text
    assert "PROBLEM gateway: It is not there.\n        → Name one with --gateway." in text
    assert text.endswith("1 of 2 need attention.\n")


def test_json_is_one_object_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _, text = _run(monkeypatch, [FINE, WRONG], "-o", "json")
    assert [json.loads(line)["state"] for line in text.splitlines()] == ["ok", "problem"]


def test_headers_and_files_for_prometheus_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[object] = []

    async def looked(*arguments: object) -> list[Check]:
        given.extend(arguments)
        return [FINE]

    monkeypatch.setattr(doctor, "_looked", looked)
    words = ["--prometheus-header", "X-Scope-OrgID: team-a", "--prometheus-token-file", "token"]
    assert CliRunner().invoke(doctor.command, words).exit_code == 0
    assert given[-1] == PrometheusAuth(bearer_file=Path("token"), headers={"X-Scope-OrgID": "team-a"})


@pytest.mark.parametrize("words", [["--gateway", "nameless"], ["--prometheus-header", "no colon"]])
def test_options_that_mean_nothing_are_refused(words: list[str]) -> None:
    assert CliRunner().invoke(doctor.command, words).exit_code == 2


def test_a_kubeconfig_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    result = CliRunner().invoke(doctor.command, ["--kubeconfig", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "cannot be used to reach a cluster" in result.output
