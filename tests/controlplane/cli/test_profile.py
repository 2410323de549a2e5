"""`serinus profile` as a person or a tool calls it: output, exit codes, sentences for bad input."""

import json
import subprocess
import sys
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
