"""`serinus pipeline render`: an Argo WorkflowTemplate from quantizing a model to the commit of its canary.yml."""

import re

import click

from controlplane.profiles.commands.options import ProfileCommand
from profiles.errors import Malformed
from profiles.recipe import METHODS, Recipe

SAFE = re.compile(r"[\w./:@+-]*")
"""Characters that names and addresses may have: they go into shell lines."""


@click.group()
def command() -> None:
    """Render the way of a quantized variant: quantize, evaluate, publish, commit."""


@command.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--method", type=click.Choice(list(METHODS)), required=True, help="How to quantize.")
@click.option("--name", default="quantize-and-try", show_default=True, help="Name of the WorkflowTemplate.")
@click.option("--image", required=True, help="Image with torch, transformers, the method's library, git, yq and hf.")
@click.option("--publish-to", required=True, help="Repository on the Hugging Face hub that gets the artefact.")
@click.option("--repository", required=True, help="Git repository (https) with the canary.yml.")
@click.option("--canary-file", default="canary.yml", show_default=True, help="Path of the canary.yml in it.")
@click.option("--branch", default="main", show_default=True)
@click.option("--revision", default="main", show_default=True, help="Commit of the model.")
@click.option("--dataset", default="", help="File of prompts to calibrate on, inside the image.")
@click.option("--text-url", default="", help="Text to measure perplexity on.")
@click.option(
    "--max-delta", type=click.FloatRange(0), default=0.05, show_default=True, help="Allowed rise of perplexity."
)
@click.option("--gpus", type=click.IntRange(0), default=1, show_default=True, help="GPUs of the quantizing step.")
@click.option("--storage", default="100Gi", show_default=True, help="Size of the shared volume.")
def render(model: str, method: str, revision: str, dataset: str, **options: object) -> None:
    """Print a WorkflowTemplate for MODEL, and the ConfigMap with its program.

    The Secret `serinus-pipeline` holds hf_token and git_token.
    """
    import yaml

    from controlplane.profiles.pipeline import Pipeline, workflow

    for name, value in {"MODEL": model, "--revision": revision, "--dataset": dataset, **options}.items():
        if isinstance(value, str) and not SAFE.fullmatch(value):
            raise Malformed(f"{name}: {value!r} has characters that do not belong into a name or address")
    pipeline = Pipeline(recipe=Recipe(model, method, revision, dataset), **options)  # type: ignore[arg-type]
    click.echo(yaml.safe_dump_all(workflow(pipeline), sort_keys=False, width=1000), nl=False)
