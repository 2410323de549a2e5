"""Quantizes one model by its recipe. A program of its own: `python quantizer.py RECIPE.json OUT [--text FILE]`.

Runs here (`serinus quantize`), or in a Job or workflow step, which get this file as it stands: it imports nothing of
this project, and torch, transformers and bitsandbytes or llmcompressor only when it has to. Writes the checkpoint,
and beside it `serinus-artifact.json` with the recipe, the libraries' versions, a digest of every file, and
perplexities before and after where a text was given. The artefact appears under its name only when it is whole.
"""

import argparse
import hashlib
import json
import math
import shutil
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

MANIFEST = "serinus-artifact.json"
FOLDER_MODE, FILE_MODE = 0o755, 0o644
"""Temporary folders and safetensors' files are their owner's alone; an artefact is for whoever serves it."""
WINDOW = 512
"""Tokens of one piece of text that perplexity is measured on."""


def quantize(recipe: dict[str, Any], out: Path, text: str) -> dict[str, Any]:
    """Make the artefact of this recipe in `out`; returns its manifest."""
    if out.exists():
        raise SystemExit(f"{out} exists; an artefact is never written over")
    out.parent.mkdir(parents=True, exist_ok=True)
    # Of our own, so that what a killed run left behind is in nobody's way, and removed when this one fails.
    making = Path(mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        manifest = made(recipe, making, text)
        making.chmod(FOLDER_MODE)
        for path in making.iterdir():
            path.chmod(FILE_MODE)
        making.rename(out)
    except BaseException:
        shutil.rmtree(making, ignore_errors=True)
        raise
    return manifest


def made(recipe: dict[str, Any], making: Path, text: str) -> dict[str, Any]:
    """The whole artefact in a folder; returns its manifest."""
    transformers = import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(recipe["model"], revision=recipe["revision"])
    before = perplexity(plain(recipe), tokenizer, text) if text else None
    make = with_bitsandbytes if recipe["library"] == "bitsandbytes" else with_llmcompressor
    model = make(recipe, making)
    tokenizer.save_pretrained(making)
    after = perplexity(model, tokenizer, text) if text else None
    manifest = {
        "recipe": recipe,
        "libraries": {name: installed(name) for name in ("torch", "transformers", recipe["library"])},
        "files": {path.name: digest(path) for path in sorted(making.iterdir()) if path.is_file()},
        "perplexity": None
        if before is None or after is None
        else {"before": before, "after": after, "delta": after / before - 1},
    }
    (making / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
    return manifest


def plain(recipe: dict[str, Any], **more: Any) -> Any:
    """The model in the type that its checkpoint has."""
    transformers = import_module("transformers")
    return transformers.AutoModelForCausalLM.from_pretrained(
        recipe["model"], revision=recipe["revision"], dtype="auto", **more
    )


def with_bitsandbytes(recipe: dict[str, Any], out: Path) -> Any:
    """nf4 or int8: quantized while loading, saved as it is. The recipe's `ignore` stays in 16 bit."""
    transformers, torch = import_module("transformers"), import_module("torch")
    settings: dict[str, Any] = {"load_in_8bit": True}
    if recipe["method"].startswith("nf4"):
        settings = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": recipe["method"].endswith("-dq"),
            "bnb_4bit_compute_dtype": torch.bfloat16,
        }
    # Despite its name the list of exceptions holds for 4 bit as well.
    config = transformers.BitsAndBytesConfig(**settings, llm_int8_skip_modules=recipe["ignore"])
    model = plain(recipe, quantization_config=config)
    model.save_pretrained(out)
    return model


def with_llmcompressor(recipe: dict[str, Any], out: Path) -> Any:
    """fp8, gptq, awq, w8a8: one pass of llm-compressor, saved as compressed tensors."""
    compressor = import_module("llmcompressor")
    model = plain(recipe)
    data: dict[str, Any] = {}
    if recipe["dataset"]:
        datasets = import_module("datasets")
        loaded = datasets.load_dataset("text", data_files=recipe["dataset"], split=f"train[:{recipe['samples']}]")
        data = {"dataset": loaded, "num_calibration_samples": recipe["samples"], "max_seq_length": 2048}
    # As text, which every release reads (a mapping is refused by 0.14); JSON is YAML.
    compressor.oneshot(model=model, recipe=json.dumps(recipe["stages"]), **data)
    model.save_pretrained(out, save_compressed=True)
    return model


def perplexity(model: Any, tokenizer: Any, text: str) -> float:
    """Exp of the mean loss a token, over pieces of the text."""
    torch = import_module("torch")
    tokens = tokenizer(text, return_tensors="pt").input_ids.to(model.device)
    losses, counted = 0.0, 0
    with torch.no_grad():
        for start in range(0, tokens.shape[1] - 1, WINDOW):
            piece = tokens[:, start : start + WINDOW]
            if piece.shape[1] < 2:
                break
            predicted = piece.shape[1] - 1
            losses += float(model(piece, labels=piece).loss) * predicted
            counted += predicted
    if not counted:
        raise SystemExit("the text for perplexity has fewer than two tokens")
    return math.exp(losses / counted)


def digest(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            total.update(piece)
    return f"sha256:{total.hexdigest()}"


def installed(name: str) -> str | None:
    """A library's version; None when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def main() -> None:
    """Read the recipe, make the artefact, print the manifest."""
    options = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    options.add_argument("recipe", type=Path)
    options.add_argument("out", type=Path)
    options.add_argument("--text", type=Path, help="text to measure perplexity on, before and after")
    options.add_argument("--max-delta", type=float, help="fail when perplexity rises by more than this share")
    chosen = options.parse_args()
    text = chosen.text.read_text("utf-8") if chosen.text else ""
    recipe = json.loads(chosen.recipe.read_text("utf-8"))
    try:
        manifest = quantize(recipe, chosen.out, text)
    # What the libraries raise for a model that they cannot find, read or quantize, and for a GPU that is not there.
    except (OSError, ValueError, RuntimeError) as wrong:
        raise SystemExit(f"{recipe['model']} was not quantized and {chosen.out} was not made: {wrong}") from wrong
    sys.stdout.write(json.dumps(manifest) + "\n")
    rise = (manifest["perplexity"] or {}).get("delta")
    if chosen.max_delta is not None and rise is not None and rise > chosen.max_delta:
        raise SystemExit(
            f"perplexity rose by {rise:.1%}, more than {chosen.max_delta:.1%}: {chosen.out} is kept, not fit to serve"
        )


if __name__ == "__main__":
    main()
