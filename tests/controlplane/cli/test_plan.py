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
    plain = json.loads(CliRunner().invoke(serinus, ["plan", str(file), "-o", "json"]).stdout)
    assert plain["decidable"] is True
    assert plain["stages"][0]["traffic"] == 0.1


def test_few_ratings_are_forecast_as_such(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(PLAN.replace("error_rate <= 1%", "conversion >= 15%"))
    told = CliRunner().invoke(serinus, ["plan", str(file), "--rated", "5%"])
    assert told.exit_code == 0, told.output
    assert " canary samples\n" in told.output
    refused = CliRunner().invoke(serinus, ["plan", str(file), "--rated", "5"])
    assert refused.exit_code == 2
    assert '"5" may be meant in percent or not' in " ".join(refused.output.split())


def test_a_gate_that_takes_chance_for_harm_is_named(tmp_path: Path) -> None:
    """A query's answer is read as it is, and few ratings make it jump: better to hear of it before."""
    file = tmp_path / "canary.yml"
    jumpy = "{metric: kpi/conversion, query: sum(x), drift: 2%, window: 1m}"
    file.write_text(PLAN.replace("error_rate <= 1%", jumpy))
    told = CliRunner().invoke(serinus, ["plan", str(file), "--rated", "5%"])
    assert told.exit_code == 1
    assert "though nothing is wrong: conversion: " in told.output
    assert "takes chance for harm" in told.output


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


def test_a_variant_that_cannot_run_on_its_gpus_is_exit_code_2(tmp_path: Path) -> None:
    """With its place; and nothing is forecast."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN.replace("model: {name: chat}", "model: {name: Llama-3.1-70B}"))
    result = CliRunner().invoke(serinus, ["plan", str(file)])
    assert result.exit_code == 2
    assert f"{file}:5:30: spec.stable.profile: Llama-3.1-70B in bf16 does not fit 2 x L40S" in result.stderr
    assert result.stderr.endswith("Nothing was forecast.\n")


def test_what_is_not_known_of_the_gpus_is_said_beside_the_forecast(tmp_path: Path) -> None:
    """As warnings, which JSON on standard output is kept free of."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN.replace("model: {name: chat}", "model: {name: Llama-3.1-8B}"))
    result = CliRunner().invoke(serinus, ["plan", str(file)])
    assert result.exit_code == 0
    assert "a occupies 2 × L40S (fits: needs at least " in result.stdout
    assert "b occupies 1 × nobody-knows-it (whether it fits is not known); nobody knows its price." in result.stdout
    assert "warning: spec.canary.profile.gpu" in result.stderr


def test_a_prometheus_that_does_not_answer_is_said_and_nothing_is_forecast(tmp_path: Path) -> None:
    """A forecast with other noise than what was asked for would look like the one that was wanted."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN)
    result = CliRunner().invoke(serinus, ["plan", str(file), "--prometheus", "http://127.0.0.1:9"])
    assert result.exit_code == 1
    assert "Nothing was forecast." in result.output
    assert "promoted" not in result.output.lower()
