"""llm-compressor on a CPU: the recipes as they are rendered, on a tiny Llama, through `serinus quantize`.

awq is not among them: release 0.14 pins memory for a GPU while it smooths, and ends without one. Its recipe is held to
what that release reads in `test_the_recipe_of_awq_is_understood`.
"""

import json
import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from controlplane.profiles import quantizer
from profiles.recipe import METHODS, Recipe
from tests.controlplane.profiles.tiny_model import perplexity_of, quantize

LIBRARIES = ("torch", "transformers", "llmcompressor", "datasets")
pytestmark = [
    pytest.mark.skipif(
        not all(find_spec(name) for name in LIBRARIES),
        reason="it needs torch, transformers and llm-compressor: pip install 'llmcompressor>=0.14' in an environment",
    ),
    pytest.mark.timeout(900),  # importing torch alone takes half a minute where the machine is busy
    pytest.mark.filterwarnings("default"),  # these libraries deprecate each other's arguments in every release
]
STORED_AS = {"fp8": "float8_e4m3fn", "gptq": "int32", "w8a8": "int8"}
"""Element type of a linear layer's weights in the checkpoint; gptq packs eight values into one."""


@pytest.mark.parametrize("method", STORED_AS)
def test_the_artefact_is_quantized_loads_again_and_scores_what_it_says(tiny: Path, tmp_path: Path, method: str) -> None:
    """Recipe, digests and measured perplexity stand beside weights that are what the method says."""
    out, prompts = tmp_path / "out", tiny.parent / "prompts.txt"
    dataset = str(prompts) if METHODS[method].needs_data else ""
    recipe = Recipe(str(tiny), method, dataset=dataset, samples=16)
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


def test_the_recipe_of_awq_is_understood() -> None:
    """By the library's own reader: its modifiers, in their order."""
    stages = json.dumps(Recipe("m", "awq", dataset="prompts.txt").stages())
    read = import_module("llmcompressor.recipe").Recipe.create_instance(stages)
    assert [type(each).__name__ for each in read.modifiers] == ["AWQModifier", "QuantizationModifier"]
