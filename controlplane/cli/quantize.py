"""`serinus quantize`: make a quantized checkpoint here, or render the Job that makes it on a GPU."""

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import click

from controlplane.profiles import quantizer
from controlplane.profiles.commands.options import ProfileCommand, print_json
from profiles.errors import Malformed
from profiles.recipe import METHODS, QuantizationRecipe

NEEDED = {
    "bitsandbytes": ("torch", "transformers", "bitsandbytes", "accelerate"),
    "llmcompressor": ("torch", "transformers", "llmcompressor"),
}


@click.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--method", type=click.Choice(list(METHODS)), required=True, help="How to quantize.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the artefact; must not exist.")
@click.option("--revision", default="main", show_default=True, help="Commit of the repository; pin it.")
@click.option("--dataset", default="", help="Your prompts, one a line, to calibrate on (gptq, awq, w8a8).")
@click.option("--samples", type=click.IntRange(1), default=256, show_default=True, help="Samples to calibrate on.")
@click.option(
    "--text", type=click.Path(path_type=Path, exists=True), help="Text to measure perplexity on, before and after."
)
@click.option(
    "--max-delta", type=click.FloatRange(0), help="Exit with 1 when perplexity rises by more than this share."
)
@click.option(
    "--render", type=click.Choice(["recipe", "job"]), help="Print the recipe or a Kubernetes Job; run nothing."
)
@click.option("--image", default="serinus-quantizer", show_default=True, help="Image of the Job, with the libraries.")
def command(
    model: str,
    method: str,
    out: Path,
    revision: str,
    dataset: str,
    samples: int,
    text: Path | None,
    max_delta: float | None,
    render: str | None,
    image: str,
) -> None:
    """Quantize MODEL (a repository or path of a 16-bit checkpoint).

    The artefact carries its recipe, digests and, with --text, its perplexity before and after in
    serinus-artifact.json. bitsandbytes works on a CPU for small models; the others want a GPU.
    """
    recipe = QuantizationRecipe(model, method, revision, dataset, samples)
    if render == "recipe":
        print_json(recipe.as_json())
        return
    if render == "job":
        import yaml

        from controlplane.profiles.pipeline import job

        click.echo(yaml.safe_dump_all(job(recipe, image, str(out)), sort_keys=False), nl=False)
        return
    library = METHODS[method].library
    missing = [name for name in NEEDED[library] if find_spec(name) is None]
    if missing:
        install = " (pip install 'serinus[gpu]')" if library == "bitsandbytes" else ""
        raise Malformed(
            f"{method} needs {', '.join(missing)}, which this Python does not have. Install them{install}, or print a "
            "Job for a cluster with --render job."
        )
    if out.exists():
        raise Malformed(f"--out: {out} exists; an artefact is never written over")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.json"
        file.write_text(json.dumps(recipe.as_json()), "utf-8")
        words = [sys.executable, quantizer.__file__, str(file), str(out)]
        words += ["--text", str(text)] if text else []
        words += ["--max-delta", str(max_delta)] if max_delta is not None else []
        click.get_current_context().exit(min(subprocess.run(words, check=False).returncode, 1))
