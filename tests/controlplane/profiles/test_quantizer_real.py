"""Real quantization on a CPU: bitsandbytes and llm-compressor on a tiny Llama, by `serinus quantize` itself.

Beside `test_quantizer.py`, whose stand-ins show what this program adds around the libraries wherever it is tested.
"""

import json
import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from controlplane.profiles import quantizer
from profiles.recipe import METHODS, QuantizationRecipe
from tests.controlplane.profiles.tiny_model import perplexity_of, quantize

pytestmark = [
    pytest.mark.timeout(900),  # importing torch alone takes half a minute where the machine is busy
    pytest.mark.filterwarnings("default"),  # these libraries deprecate each other's arguments in every release
]


def needs(install: str, *libraries: str) -> pytest.MarkDecorator:
    """The tests that run where these libraries are installed."""
    reason = f"a real quantization needs {', '.join(libraries)}: pip install {install}"
    return pytest.mark.skipif(not all(find_spec(name) for name in libraries), reason=reason)


bitsandbytes = needs("'serinus[gpu]'", "torch", "transformers", "accelerate", "bitsandbytes")
compressor = needs("'llmcompressor>=0.14'", "torch", "transformers", "datasets", "llmcompressor")
WORSE_BY_AT_MOST = {"nf4": 0.03, "nf4-dq": 0.03, "int8": 0.01}
"""Change of perplexity, up or down, that rounding to so many bits makes in a model of random weights."""


@bitsandbytes
@pytest.mark.parametrize("method", WORSE_BY_AT_MOST)
def test_the_artefact_is_quantized_loads_again_and_scores_what_it_says(tiny: Path, tmp_path: Path, method: str) -> None:
    """Smaller linear layers, the head in 16 bit, and the measured perplexity of the very files that were written."""
    out = tmp_path / "out"
    found = quantize(tiny, method, out)
    assert found.exit_code == 0, found.output
    manifest: dict[str, Any] = json.loads((out / quantizer.MANIFEST).read_text())
    scores = manifest["perplexity"]
    assert scores["before"] == pytest.approx(perplexity_of(tiny), rel=1e-3)
    assert scores["after"] == pytest.approx(perplexity_of(out), rel=1e-3)
    assert 0 < abs(scores["delta"]) <= WORSE_BY_AT_MOST[method]
    assert math.isclose(scores["delta"], scores["after"] / scores["before"] - 1)
    assert manifest["files"]["model.safetensors"] == quantizer.digest(out / "model.safetensors")
    assert all(manifest["libraries"].values())

    tensors = import_module("safetensors").safe_open(out / "model.safetensors", "pt")
    kinds = {name: tensors.get_tensor(name).dtype for name in tensors.keys()}  # noqa: SIM118 - no mapping
    torch = import_module("torch")
    assert kinds["model.layers.0.mlp.up_proj.weight"] == (torch.int8 if method == "int8" else torch.uint8)
    assert kinds["lm_head.weight"] == torch.bfloat16
    smaller = (out / "model.safetensors").stat().st_size / (tiny / "model.safetensors").stat().st_size
    assert smaller < (0.8 if method == "int8" else 0.65)


@bitsandbytes
def test_a_rise_beyond_what_is_allowed_is_exit_code_1_and_the_artefact_is_kept(tiny: Path, tmp_path: Path) -> None:
    """Whether it rises at all depends on the random weights; the method that does is taken."""
    outcomes = {}
    for method in ("nf4", "int8"):
        out = tmp_path / method
        code = quantize(tiny, method, out, "--max-delta", "0").exit_code
        rise = json.loads((out / quantizer.MANIFEST).read_text())["perplexity"]["delta"]
        outcomes[method] = (code, int(rise > 0))
    assert all(code == rose for code, rose in outcomes.values()), outcomes


@bitsandbytes
def test_a_model_that_is_not_there_is_said_and_leaves_nothing(tiny: Path, tmp_path: Path, capfd: Any) -> None:
    found = quantize(tiny.parent / "none", "nf4", tmp_path / "here" / "out", "--text", str(tiny.parent / "text.txt"))
    assert found.exit_code == 1
    said = capfd.readouterr().err
    assert "was not quantized" in said
    assert "Traceback" not in said
    assert list((tmp_path / "here").iterdir()) == []


STORED_AS = {"fp8": "float8_e4m3fn", "gptq": "int32", "w8a8": "int8"}
"""Element type of a linear layer's weights in the checkpoint; gptq packs eight values into one."""


@compressor
@pytest.mark.parametrize("method", STORED_AS)
def test_what_llm_compressor_made_loads_again_and_scores_what_it_says(tiny: Path, tmp_path: Path, method: str) -> None:
    """Recipe, digests and measured perplexity stand beside weights that are what the method says."""
    out, prompts = tmp_path / "out", tiny.parent / "prompts.txt"
    dataset = str(prompts) if METHODS[method].needs_data else ""
    recipe = QuantizationRecipe(str(tiny), method, dataset=dataset, samples=16)
    found = quantize(tiny, method, out, "--dataset", dataset, "--samples", "16")
    assert found.exit_code == 0, found.output
    manifest: dict[str, Any] = json.loads((out / quantizer.MANIFEST).read_text())
    assert manifest["recipe"]["digest"] == recipe.digest
    scores = manifest["perplexity"]
    assert scores["after"] == pytest.approx(perplexity_of(out), rel=5e-3)
    assert 0 < abs(scores["delta"]) <= 0.03
    assert math.isclose(scores["delta"], scores["after"] / scores["before"] - 1)
    assert manifest["files"]["model.safetensors"] == quantizer.digest(out / "model.safetensors")
    assert all(manifest["libraries"].values())
    tensors = import_module("safetensors").safe_open(out / "model.safetensors", "pt")
    kinds = {name: str(tensors.get_tensor(name).dtype) for name in tensors.keys()}  # noqa: SIM118 - no mapping
    stored = [kind for name, kind in kinds.items() if name.startswith("model.layers.0.mlp.up_proj.weight")]
    assert f"torch.{STORED_AS[method]}" in stored, kinds
    assert kinds["lm_head.weight"] == "torch.bfloat16"


@compressor
def test_the_recipe_of_awq_is_understood() -> None:
    """By the library itself. It is not run: release 0.14 pins memory for a GPU while it smooths."""
    stages = json.dumps(QuantizationRecipe("m", "awq", dataset="prompts.txt").stages())
    read = import_module("llmcompressor.recipe").Recipe.create_instance(stages)
    assert [type(each).__name__ for each in read.modifiers] == ["AWQModifier", "QuantizationModifier"]
