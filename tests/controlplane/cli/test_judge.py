"""`serinus judge` as other tools meet it: lines in, lines out, exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from controlplane.cli.judge import command

PLAN = """\
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: judged}
spec:
  model: {name: served}
  platform: {local: {}}
  stable: {name: old, command: [old]}
  canary: {name: new, command: [new]}
  stages:
    - traffic: 5%
      hold: 10m
      gates: [error_rate not worse than stable by 100%, latency p95 <= 250ms]
    - traffic: 25%
      hold: 10m
      gates: [error_rate not worse than stable by 100%]
    - {traffic: 100%}
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A canary.yml with two gates."""
    file = tmp_path / "canary.yml"
    file.write_text(PLAN)
    return file


def pod(requests: int, errors: int = 0, slow: int = 0) -> dict[str, Any]:
    """Increments of one replica."""
    buckets = {"0.1": requests // 2, "0.25": requests - slow, "0.5": requests, "+Inf": requests}
    return {"requests": requests, "errors": errors, "latency": buckets}


def line(t: float, canary: dict[str, Any] | None, *stable: dict[str, Any], stage: int = 0) -> dict[str, Any]:
    """One block."""
    arms: dict[str, Any] = {"stable": {"pods": {f"s-{i}": each for i, each in enumerate(stable)}}}
    if canary is not None:
        arms["canary"] = {"pods": {"c-0": canary}}
    return {"t": t, "stage": stage, "weight": 0.05 if t > 0 else 0.0, "arms": arms}


def history() -> list[dict[str, Any]]:
    """Five minutes of stable alone: errors 0.4 %."""
    return [line(t, None, pod(475, 2 + t % 2), pod(475, 2 - t % 2)) for t in range(-300, 0, 5)]


def judged(plan: Path, *lines: dict[str, Any] | str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, answers, standard error."""
    text = "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in lines)
    result = CliRunner().invoke(command, [str(plan)], input=text)
    return result.exit_code, [json.loads(each) for each in result.stdout.splitlines()], result.stderr


def test_every_block_gets_a_verdict_with_the_contracts_keys(plan: Path) -> None:
    code, answers, _ = judged(plan, *history(), line(5, pod(50), pod(475, 2), pod(475, 2)))
    assert code == 0
    assert len(answers) == 61
    last = answers[-1]
    assert last["t"] == 5.0
    assert last["verdict"] == "wait"
    gate = last["gates"][0]
    assert gate["gate"] == "error_rate not worse than stable by 100%"
    assert (gate["canary"], gate["stable"]) == (0.0, pytest.approx(4 / 950))
    assert gate["limit"] == pytest.approx(8 / 950)
    assert gate["samples"] == {"canary": 50.0, "stable": 950.0}
    assert isinstance(gate["log_e"], float)
    assert "more canary requests" in gate["why"]


def test_a_healthy_canary_passes_and_the_exit_code_is_0(plan: Path) -> None:
    blocks = [line(5.0 * k, pod(50), pod(475, 2), pod(475, 2)) for k in range(1, 120)]
    code, answers, _ = judged(plan, *history(), *blocks)
    assert code == 0
    assert answers[-1]["verdict"] == "pass"
    assert not any(answer["verdict"] == "fail" for answer in answers)


def test_a_bad_canary_fails_stays_failed_and_the_exit_code_is_1(plan: Path) -> None:
    bad = [line(5.0 * k, pod(50, 10), pod(475, 2), pod(475, 2)) for k in range(1, 9)]
    good = [line(100 + 5.0 * k, pod(50), pod(475, 2), pod(475, 2), stage=1) for k in range(1, 40)]
    code, answers, _ = judged(plan, *history(), *bad, *good)
    assert code == 1
    said = [answer["verdict"] for answer in answers]
    first = said.index("fail")
    assert answers[first]["t"] <= 25
    assert set(said[first:]) == {"fail"}
    failed = next(gate for gate in answers[-1]["gates"] if gate["verdict"] == "fail")
    assert failed["log_e"] > 0
    assert "of the canary's requests failed in the last" in failed["why"]
    assert "of stable's (" in failed["why"]


def test_history_is_never_a_pass_even_for_a_plan_without_gates(plan: Path) -> None:
    plan.write_text(
        PLAN.replace("gates: [error_rate not worse than stable by 100%, latency p95 <= 250ms]", "gates: []")
    )
    _, answers, _ = judged(plan, line(-5, None, pod(475)))
    assert answers[0]["verdict"] == "wait"


def test_what_is_missing_or_null_is_no_data(plan: Path) -> None:
    blocks: list[dict[str, Any] | str] = [
        line(5, None, pod(950)),
        {"t": 10, "stage": 0, "weight": 0.05, "arms": {"canary": None, "stable": {"pods": {"s-0": None}}}},
        {"t": 15, "stage": 0, "weight": 0.05, "arms": {"canary": {"pods": {"c-0": {"requests": 5, "errors": None}}}}},
        {"t": 20, "stage": 0, "weight": 0.05, "arms": {"canary": {"pods": {"c-0": {"kpi": {"csat": None}}}}}},
        {"t": 25, "stage": 0, "weight": 0.05},
        "",
        {"t": 30, "stage": 7, "weight": 0.05, "arms": {}},
    ]
    code, answers, _ = judged(plan, *blocks)
    assert code == 0
    assert [answer["verdict"] for answer in answers] == ["wait"] * 6


@pytest.mark.parametrize(
    ("broken", "field", "problem"),
    [
        ("{not json", "", "is not JSON"),
        ("[1, 2]", "", "must be an object, not a list"),
        ({"stage": 0, "weight": 0.05, "arms": {}}, "t", "is missing"),
        ({"t": "soon"}, "t", "must be a number, not text"),
        ({"t": 4, "stage": 0, "weight": 0.05}, "t", "runs backwards: 4 after 5"),
        ({"t": 9, "stage": 0.5, "weight": 0.05}, "stage", "must be a whole number"),
        ({"t": 9, "stage": -1, "weight": 0.05}, "stage", "must be a whole number"),
        ({"t": 9, "weight": 0.05}, "stage", "is missing"),
        ({"t": 9, "stage": 0, "weight": 5}, "weight", "must lie between 0 and 1"),
        ({"t": 9, "stage": 0, "weight": 0.1, "arms": {"control": {}}}, "arms.control", "is unknown"),
        ({"t": 9, "stage": 0, "weight": 0.1, "arms": []}, "arms", "must be an object"),
        (line(9, {"requests": -3}), "arms.canary.pods.c-0.requests", "never negative"),
        (line(9, {"requests": 3, "errors": 4}), "arms.canary.pods.c-0.errors", "more than there were"),
        (line(9, {"requests": True}), "arms.canary.pods.c-0.requests", "must be a number"),
        (line(9, {"requets": 4}), "arms.canary.pods.c-0.requets", "is unknown"),
        (
            line(9, {"latency": {"0.1": 5, "0.25": 4, "0.5": 6, "+Inf": 6}}),
            "arms.canary.pods.c-0.latency",
            "is not cumulative",
        ),
        (line(9, {"latency": {"0.1": 5, "0.25": 5}}), "arms.canary.pods.c-0.latency", "has no +Inf bucket"),
        (line(9, {"latency": {"0.1": 5, "+Inf": 5}}), "arms.canary.pods.c-0.latency", "has other bounds than before"),
        (line(9, {"latency": {"fast": 5, "+Inf": 5}}), "arms.canary.pods.c-0.latency.fast", "is no upper bound"),
        (line(9, {"kpi": {"conversion": {"events": 4, "of": 3}}}), "kpi.conversion.events", "more than there were"),
        (line(9, {"kpi": {"csat": {"events": 4, "of": -3}}}), "kpi.csat.of", "never negative"),
        ('{"t": 9, "stage": 0, "weight": NaN}', "weight", "must be finite"),
    ],
)
def test_a_malformed_line_ends_it_naming_line_and_field(
    plan: Path, broken: dict[str, Any] | str, field: str, problem: str
) -> None:
    """Exit code 2; what came before has been answered, nothing after it is judged."""
    code, answers, error = judged(plan, line(5, pod(50), pod(950)), broken, line(10, pod(50), pod(950)))
    assert code == 2
    assert len(answers) == 1
    assert "line 2: " in error
    assert field in error
    assert problem in error


def test_a_plan_with_faults_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(PLAN.replace("250ms", "soon"))
    code, answers, error = judged(file, line(5, pod(50), pod(950)))
    assert (code, answers) == (2, [])
    assert f"{file}:12:" in error
    assert judged(tmp_path / "none.yml")[0] == 2


def test_each_verdict_is_out_before_the_next_block_is_in(plan: Path) -> None:
    """A tool that feeds one block and waits for its verdict is not kept waiting."""
    with subprocess.Popen(
        [sys.executable, "-m", "controlplane.cli.main", "judge", str(plan)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for t in (5, 10):
            process.stdin.write(json.dumps(line(t, pod(50), pod(950))) + "\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["t"] == t
        process.stdin.close()
        assert process.wait(timeout=60) == 0
