"""`serinus pipeline`: an Argo WorkflowTemplate from quantizing a model to the commit of its canary.yml, printed or
submitted.
"""

import re
import subprocess
from collections.abc import Callable
from typing import Any

import click

from controlplane.profiles.commands.options import ProfileCommand
from profiles.errors import Malformed
from profiles.recipe import METHODS, QuantizationRecipe

SAFE = re.compile(r"[\w./:@+-]*")
"""Characters that names and addresses may have: they go into shell lines."""


DESCRIPTION = (
    click.argument("model"),
    click.option("--method", type=click.Choice(list(METHODS)), required=True, help="How to quantize."),
    click.option("--name", default="quantize-and-try", show_default=True, help="Name of the WorkflowTemplate."),
    click.option(
        "--image", required=True, help="Image with torch, transformers, the method's library, git, yq and hf."
    ),
    click.option("--publish-to", required=True, help="Repository on the Hugging Face hub that gets the artefact."),
    click.option("--repository", required=True, help="Git repository (https) with the canary.yml."),
    click.option("--canary-file", default="canary.yml", show_default=True, help="Path of the canary.yml in it."),
    click.option("--branch", default="main", show_default=True),
    click.option("--revision", default="main", show_default=True, help="Commit of the model."),
    click.option("--dataset", default="", help="File of prompts to calibrate on, inside the image."),
    click.option("--text-url", default="", help="Text to measure perplexity on."),
    click.option(
        "--max-delta", type=click.FloatRange(0), default=0.05, show_default=True, help="Allowed rise of perplexity."
    ),
    click.option("--gpus", type=click.IntRange(0), default=1, show_default=True, help="GPUs of the quantizing step."),
    click.option("--storage", default="100Gi", show_default=True, help="Size of the shared volume."),
)
"""Arguments and options of both commands, in the order of the help."""


@click.group()
def command() -> None:
    """Render or submit the way of a quantized variant: quantize, evaluate, publish, commit."""


def described(command: Callable[..., None]) -> Callable[..., None]:
    """The options that describe a pipeline."""
    for option in reversed(DESCRIPTION):
        command = option(command)
    return command


@command.command(cls=ProfileCommand)
@described
def render(**options: Any) -> None:
    """Print a WorkflowTemplate for MODEL, and the ConfigMap with its program.

    The Secret `serinus-pipeline` holds hf_token and git_token.
    """
    click.echo(text_of(documents(**options)), nl=False)


@command.command(cls=ProfileCommand)
@described
@click.option("--namespace", default="argo", show_default=True)
@click.option("--kubectl", default="kubectl", show_default=True, help="The program that talks to the cluster.")
def submit(namespace: str, kubectl: str, **options: Any) -> None:
    """Apply the WorkflowTemplate for MODEL and start one workflow of it; prints the workflow's name."""
    found = documents(**options)
    name = options["name"]
    run = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": f"{name}-"},
        "spec": {"workflowTemplateRef": {"name": name}},
    }
    call([kubectl, "-n", namespace, "apply", "-f", "-"], text_of(found))
    started = call([kubectl, "-n", namespace, "create", "-o", "name", "-f", "-"], text_of([run]))
    click.echo(started.strip())


def documents(model: str, method: str, revision: str, dataset: str, **options: Any) -> list[dict[str, Any]]:
    """ConfigMap and WorkflowTemplate. Refuses characters that would break out of a shell line."""
    from controlplane.profiles.pipeline import Pipeline, workflow

    for name, value in {"model": model, "revision": revision, "dataset": dataset, **options}.items():
        if isinstance(value, str) and not SAFE.fullmatch(value):
            raise Malformed(f"{name}: {value!r} has characters that do not belong into a name or address")
    return workflow(Pipeline(recipe=QuantizationRecipe(model, method, revision, dataset), **options))


def text_of(found: list[dict[str, Any]]) -> str:
    """The documents as YAML."""
    import yaml

    return str(yaml.safe_dump_all(found, sort_keys=False, width=1000))


def call(words: list[str], given: str) -> str:
    """Run a program with this input; its failure is ours, with its own words."""
    try:
        found = subprocess.run(words, input=given, capture_output=True, text=True, check=False)
    except OSError as wrong:
        raise Malformed(f"{words[0]} cannot be run: {wrong.strerror}") from None
    if found.returncode:
        raise click.ClickException(f"{' '.join(words)} failed: {found.stderr.strip()}")
    return found.stdout
