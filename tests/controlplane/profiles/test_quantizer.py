"""The quantizer's own work, with stand-ins for the libraries: order of steps, manifest, and that nothing half-made
appears.

These tests run everywhere and show what this program adds around torch; `test_quantizer_real.py` runs torch itself.
"""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from controlplane.cli.quantize import command
from controlplane.profiles import quantizer
from profiles.recipe import QuantizationRecipe


class Tokens:
    """A row of token ids."""

    def __init__(self, count: int) -> None:
        self.shape = (1, count)

    def to(self, _device: str) -> "Tokens":
        return self

    def __getitem__(self, key: Any) -> "Tokens":
        return Tokens(len(range(*key[1].indices(self.shape[1]))))


class Model:
    """Loses 2.0 a token as it is, 2.1 when it was loaded with a quantization config."""

    device = "cpu"

    def __init__(self, quantized: bool) -> None:
        self.loss = 2.1 if quantized else 2.0

    def __call__(self, _piece: Tokens, labels: Tokens) -> Any:
        return SimpleNamespace(loss=self.loss)

    def save_pretrained(self, out: Path) -> None:
        (out / "model.safetensors").write_bytes(b"weights")


@pytest.fixture
def libraries(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stand-ins for torch and transformers; what they were asked for is noted."""
    asked: dict[str, Any] = {}

    @contextmanager
    def no_grad() -> Iterator[None]:
        yield

    def load(_name: str, **options: Any) -> Model:
        asked.update(options)
        return Model("quantization_config" in options)

    class Tokenizer:
        def __call__(self, text: str, return_tensors: str) -> Any:
            return SimpleNamespace(input_ids=Tokens(len(text.split())))

        def save_pretrained(self, out: Path) -> None:
            (out / "tokenizer.json").write_text("{}")

    torch = ModuleType("torch")
    torch.__dict__.update(no_grad=no_grad, bfloat16="bfloat16")
    transformers = ModuleType("transformers")
    transformers.__dict__.update(
        AutoTokenizer=SimpleNamespace(from_pretrained=lambda *_a, **_k: Tokenizer()),
        AutoModelForCausalLM=SimpleNamespace(from_pretrained=load),
        BitsAndBytesConfig=lambda **settings: settings,
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    return asked


def test_the_artefact_carries_recipe_digests_and_the_change_of_perplexity(
    tmp_path: Path, libraries: dict[str, Any]
) -> None:
    recipe = QuantizationRecipe("org/model", "nf4-dq")
    manifest = quantizer.quantize(recipe.as_json(), tmp_path / "out", "word " * 1500)
    assert libraries["quantization_config"]["bnb_4bit_use_double_quant"] is True
    assert manifest["recipe"]["digest"] == recipe.digest
    assert manifest["perplexity"]["before"] == pytest.approx(math.exp(2.0))
    assert manifest["perplexity"]["delta"] == pytest.approx(math.exp(0.1) - 1)
    assert set(manifest["files"]) == {"model.safetensors", "tokenizer.json"}
    assert manifest["files"]["model.safetensors"] == quantizer.digest(tmp_path / "out" / "model.safetensors")
    assert json.loads((tmp_path / "out" / "serinus-artifact.json").read_text()) == manifest


def test_an_artefact_is_never_written_over(tmp_path: Path, libraries: dict[str, Any]) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(SystemExit, match="never written over"):
        quantizer.quantize(QuantizationRecipe("org/model", "nf4").as_json(), tmp_path / "out", "")


def test_a_failure_leaves_nothing_under_the_artefacts_name(
    tmp_path: Path, libraries: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_a: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(quantizer, "with_bitsandbytes", broken)
    with pytest.raises(MemoryError):
        quantizer.quantize(QuantizationRecipe("org/model", "int8").as_json(), tmp_path / "out", "")
    assert list(tmp_path.iterdir()) == []


def test_whoever_serves_the_artefact_can_read_it(tmp_path: Path, libraries: dict[str, Any]) -> None:
    """The folder it is made in is its owner's alone, and so are the files of newer safetensors."""
    quantizer.quantize(QuantizationRecipe("org/model", "int8").as_json(), tmp_path / "out", "")
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o755
    assert all(path.stat().st_mode & 0o777 == 0o644 for path in (tmp_path / "out").iterdir())


def test_what_a_killed_run_left_behind_is_in_nobodys_way(tmp_path: Path, libraries: dict[str, Any]) -> None:
    (tmp_path / ".out.making").mkdir()
    (tmp_path / ".out.abc123").mkdir()
    quantizer.quantize(QuantizationRecipe("org/model", "int8").as_json(), tmp_path / "out", "")
    assert (tmp_path / "out" / "serinus-artifact.json").is_file()


def test_missing_libraries_are_named_and_the_job_is_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.cli.quantize.find_spec", lambda _name: None)
    found = CliRunner().invoke(command, ["org/model", "--method", "nf4", "--out", str(tmp_path / "out")])
    assert found.exit_code == 2
    assert "torch, transformers, bitsandbytes" in found.output
    assert "--render job" in found.output


def test_the_recipe_can_be_read_before_anything_runs(tmp_path: Path) -> None:
    arguments = [
        "org/model",
        "--method",
        "gptq",
        "--dataset",
        "p.txt",
        "--out",
        str(tmp_path / "out"),
        "--render",
        "recipe",
    ]
    found = CliRunner().invoke(command, arguments)
    assert (
        json.loads(found.output)["stages"]["quantization_stage"]["quantization_modifiers"]["GPTQModifier"]["scheme"]
        == "W4A16"
    )
