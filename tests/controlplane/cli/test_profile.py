"""`serinus profile` as a person or a tool calls it: output, exit codes, sentences for bad input."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from controlplane.cli.profile import COMMANDS, command

DATA = Path(__file__).parents[2] / "profiles" / "data" / "profile_points.csv"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_help_lists_every_command() -> None:
    text = run("--help").output
    assert all(name in text for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_in_the_table_has_help(name: str) -> None:
    found = run(name, "--help")
    assert found.exit_code == 0
    assert found.output.startswith("Usage:")


def test_predict_prints_the_contracts_object() -> None:
    found = run("predict", "Mistral-7B", "--gpu", "L40S", "--quantization", "awq", "--concurrency", "32", "-o", "json")
    assert found.exit_code == 0
    answer = json.loads(found.stdout)
    assert answer["fits"] is True
    assert answer["ttft_s"]["low"] < answer["ttft_s"]["value"] < answer["ttft_s"]["high"]


def test_what_does_not_fit_exits_with_one_and_says_what_is_missing() -> None:
    found = run("predict", "Llama-3.1-70B", "--gpu", "H100", "-o", "json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["fits"] is False
    assert "GiB are missing" in found.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("Mistral-7B", "--gpu", "L40"), "Nearest known: L40S"),
        (("Llama-3.1-8B", "--gpu", "A100", "--quantization", "fp8"), "--allow-fallback"),
        (("Llama-3.1-8B", "--gpu", "H100", "--count", "3"), "does not divide"),
        (("Llama-3.1-8B", "--gpu", "T4", "--kv-cache-dtype", "fp8"), "FP8 KV cache"),
        (("Llama-3.1-8B", "--gpu", "H100", "--input-tokens", "200000"), "are more than"),
        (("missing/config.json", "--gpu", "H100"), "cannot be read"),
    ],
)
def test_bad_input_is_a_sentence_and_exit_code_two(arguments: tuple[str, ...], sentence: str) -> None:
    found = run("predict", *arguments)
    assert found.exit_code == 2
    assert sentence in found.stderr
    assert "Traceback" not in found.output


def test_users_add_gpus_and_models_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "gpus:\n  B300: {memory_gib: 268, bandwidth: 8000, fp16: 2250, fp8: 4500, fp4: 13500, capability: 10.3,"
        " link: nvlink, price: 8.5}\n"
    )
    found = run("predict", "Llama-3.1-8B", "--gpu", "B300", "--catalogue", file, "-o", "json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["basis"] == "extrapolated"
    file.write_text("gpus:\n  B300: {memory_gib: 268}\n")
    broken = run("predict", "Llama-3.1-8B", "--gpu", "B300", "--catalogue", file)
    assert broken.exit_code == 2
    assert "bandwidth is missing" in broken.stderr


def test_a_config_json_on_disk_is_a_model(tmp_path: Path) -> None:
    config = {
        "model_type": "llama",
        "hidden_size": 2048,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    config |= {
        "head_dim": 64,
        "intermediate_size": 8192,
        "vocab_size": 128256,
        "tie_word_embeddings": True,
        "max_position_embeddings": 131072,
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    found = run("predict", str(tmp_path), "--gpu", "L4", "-o", "json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["memory_gib"]["weights"] == pytest.approx(1_235_814_400 * 2 / 1024**3)


def test_validate_prints_one_line_a_class() -> None:
    found = run("validate", DATA, "-o", "json")
    assert found.exit_code == 0
    lines = [json.loads(line) for line in found.stdout.splitlines()]
    assert [line["class"] for line in lines] == ["all", "itl", "ttft", "throughput"]
    assert lines[0]["n"] == 557
    assert lines[0]["skipped"] == 0


def test_validate_reports_rows_of_the_fit_apart(tmp_path: Path) -> None:
    header, *rows = DATA.read_text().splitlines()
    file = tmp_path / "mine.csv"
    fresh = rows[0].replace("16.539", "17.1")
    file.write_text("\n".join([header, fresh, rows[1], "nonsense,1,fp8,H100,1,vllm,8,1,1,tpot_ms,1,ms,me"]))
    found = run("validate", file, "--fitted", DATA, "-o", "json")
    assert found.exit_code == 0
    lines = [json.loads(line) for line in found.stdout.splitlines() if json.loads(line)["class"] == "all"]
    assert [(line["group"], line["n"], line["skipped"]) for line in lines] == [("not fitted", 1, 1), ("fitted", 1, 0)]
    assert "line 4" in found.stderr


def test_validate_names_a_missing_column(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("model,quant\nLlama-3.1-8B,fp8\n")
    found = run("validate", file)
    assert found.exit_code == 2
    assert "the header lacks gpu" in found.stderr


def test_predict_starts_without_heavy_imports() -> None:
    """numpy, pydantic, YAML and rich stay out of the way of a quick answer."""
    code = (
        "import sys; from controlplane.cli.profile import command;"
        "command(['predict', 'Mistral-7B', '--gpu', 'L40S', '-o', 'json'], standalone_mode=False);"
        "sys.exit(sum(name in sys.modules for name in ('numpy', 'pydantic', 'yaml', 'rich')))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr


def test_fit_names_the_cheapest_plan() -> None:
    found = run("fit", "Mistral-7B", "--gpus", "L40S:4,H100:2", "--rate", "50", "--ttft", "300ms", "--itl", "50ms")
    assert found.exit_code == 0
    assert "Cheapest for 50 requests a second" in found.output


def test_fit_exits_with_one_when_nothing_carries_the_rate() -> None:
    found = run("fit", "Llama-3.1-70B", "--gpus", "T4:1", "--rate", "5", "-o", "json")
    assert found.exit_code == 1
    answer = json.loads(found.stdout)
    assert answer["plans"] == []
    assert all(miss["reason"] for miss in answer["misfits"])


CANARY = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: support-llm}
spec:
  model: {name: support-llm, uri: "hf://meta-llama/Llama-3.1-8B-Instruct"}
  platform: {kserve: {mode: standard, gateway: kserve/gateway, hostname: llm.example.com}}
  stable: {name: bf16, quantization: none, profile: {gpu: L40S, count: 1}}
  canary: {name: nf4, quantization: bitsandbytes-nf4, profile: {gpu: L40S, count: 1}}
  stages:
    - {traffic: 5%, hold: 1h, gates: [error_rate <= 0.1%]}
    - {traffic: 100%}
"""


def test_fit_of_a_canary_makes_room_within_stables_gpus(tmp_path: Path) -> None:
    file = tmp_path / "canary.yml"
    file.write_text(CANARY)
    found = run("fit", file, "--gpus", "L40S:4", "--rate", "20")
    assert found.exit_code == 0
    assert found.output.startswith("stable 4 → 3, canary 0 → 1, headroom ")
    refused = run("fit", file, "--gpus", "L40S:1", "--rate", "20")
    assert refused.exit_code == 1
    assert "Missing:" in refused.output


@pytest.mark.parametrize("gpus", ["L40S", "L40S:0", "L40S:two", ""])
def test_an_inventory_that_cannot_be_read_is_a_sentence(gpus: str) -> None:
    found = run("fit", "Mistral-7B", "--gpus", gpus)
    assert found.exit_code == 2
    assert "--gpus" in found.stderr


def test_args_prints_a_command_line_and_reasons() -> None:
    found = run("args", "Llama-3.1-8B", "--gpu", "L40S", "--quantization", "bnb-nf4", "--served-name", "chat")
    assert found.exit_code == 0
    assert found.output.startswith("vllm serve Llama-3.1-8B --served-model-name chat --quantization bitsandbytes")
    assert "vllm-bnb-plugin" in found.output


def test_compare_draws_a_chart_and_keeps_what_cannot_run(tmp_path: Path) -> None:
    chart = tmp_path / "chart.svg"
    found = run("compare", "Llama-3.1-8B", "--gpu", "A100", "--concurrency", "16", "--chart", chart)
    assert found.exit_code == 0
    assert "fp8 on A100" in found.output
    drawn = ET.fromstring(chart.read_text())  # noqa: S314 - our own drawing
    assert drawn.tag.endswith("svg")
    assert "refused" in chart.read_text()
    assert run("compare", "Llama-3.1-8B", "--gpu", "A100", "--chart", tmp_path / "chart.pdf").exit_code == 2


def test_catalogue_lists_sources_and_dates() -> None:
    found = run("catalogue", "gpus")
    assert "L40S" in found.output
    assert "as of 2026-11-21" in found.output
    lines = [json.loads(line) for line in run("catalogue", "-o", "json").stdout.splitlines()]
    assert {line["section"] for line in lines} == {"gpus", "models", "quantizations"}


def test_fingerprint_blocks_a_silent_change(tmp_path: Path) -> None:
    for name, context in (("stable", 8192), ("canary", 4096)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text(json.dumps({"max_position_embeddings": context}))
    found = run("fingerprint", tmp_path / "stable", tmp_path / "canary")
    assert found.exit_code == 1
    assert "block: context length differs (8192 → 4096)" in found.output
    allowed = run("fingerprint", tmp_path / "stable", tmp_path / "canary", "--declared", "context_length", "-o", "json")
    assert allowed.exit_code == 0
    assert json.loads(allowed.stdout)["verdict"] == "pass"


def test_measure_says_when_nobody_answers() -> None:
    found = run("measure", "--url", "http://127.0.0.1:9/v1", "--seconds", "1")
    assert found.exit_code == 2
    assert "nobody listens on 127.0.0.1:9" in found.stderr
    assert "Errno" not in found.stderr


@pytest.mark.real
def test_a_measured_profile_calibrates_a_prediction(tmp_path: Path) -> None:
    """The loop of the product: predict, measure, predict again."""
    server = subprocess.Popen(
        [sys.executable, "-m", "controlplane.sample.server", "--port", "0", "--ttft", "0.02", "--itl", "0.002"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().split(" at ")[1].strip() + "/v1"
        file = tmp_path / "measured.json"
        options = [
            "--concurrency",
            "1,8",
            "--seconds",
            "1",
            "--warmup",
            "0.3",
            "--input-tokens",
            "50",
            "--output-tokens",
            "8",
        ]
        subject = ["--of", "Llama-3.1-8B", "--gpu", "H100", "--quantization", "fp8", "--save", str(file)]
        measured = subprocess.run(
            [
                sys.executable,
                "-m",
                "controlplane.cli.main",
                "profile",
                "measure",
                "--url",
                url,
                *options,
                *subject,
                "-o",
                "json",
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert measured.returncode == 0, measured.stderr
        assert [level["failures"] for level in json.loads(measured.stdout)["levels"]] == [{}, {}]
    finally:
        server.terminate()
        server.communicate()
    common = ["predict", "Llama-3.1-8B", "--gpu", "H100", "--quantization", "fp8", "-o", "json"]
    found = run(*common, "--profile", file)
    assert json.loads(found.stdout)["basis"] == "calibrated"
    other = run("predict", "Llama-3.1-8B", "--gpu", "H200", "--profile", file)
    assert other.exit_code == 2
    assert "cannot calibrate" in other.stderr
