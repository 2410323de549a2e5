"""`serinus profile args`: the vLLM command line of a variant, what its image needs, and why."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from controlplane.profiles.commands.options import (
    ProfileCommand,
    additions,
    deployment,
    engine_flags,
    output,
    print_json,
)
from controlplane.profiles.sources import catalogue
from profiles.arguments import Flag, launch
from profiles.load import Workload
from profiles.prediction import predict


@click.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--gpu", required=True, help="GPU type.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="GPUs of the replica.")
@click.option("--quantization", default="bf16", show_default=True, help="How the weights are stored.")
@click.option("--source", help="Repository or path that vLLM loads; MODEL when left out.")
@click.option("--served-name", default="", help="Name that requests carry: the same for both variants.")
@click.option("--tokenizer", default="", help="Repository of the tokenizer (gguf needs it).")
@click.option(
    "--checkpoint", type=click.Choice(["quantized", "16-bit"]), help="Whether the weights are quantized already."
)
@click.option(
    "--image-has", multiple=True, help="Python package that your image has; without what it needs it is refused."
)
@click.option("--stock-image", is_flag=True, help="The image is vLLM's own: nothing beyond it.")
@engine_flags
@additions
@output
def command(
    model: str,
    gpu: str,
    count: int,
    quantization: str,
    source: str | None,
    served_name: str,
    tokenizer: str,
    checkpoint: str | None,
    image_has: tuple[str, ...],
    stock_image: bool,
    catalogues: tuple[Path, ...],
    allow_fallback: bool,
    output: str,
    **flags: Any,
) -> None:
    """Print the arguments of `vllm serve` for MODEL as this variant, one reason a flag.

    --engine vllm-0.27.1 renders for that release. Combinations that cannot run are refused with the reason.
    """
    known = catalogue(catalogues)
    chosen = deployment(known, model, gpu, count, quantization, **flags)
    alone = predict(chosen, Workload(1, 1), 1, allow_fallback=allow_fallback)
    found = launch(
        chosen,
        source or model,
        served_name=served_name,
        quantized_checkpoint=None if checkpoint is None else checkpoint == "quantized",
        tokenizer=tokenizer,
        prediction=alone,
        allow_fallback=allow_fallback,
        image_has=frozenset(image_has) if image_has or stock_image else None,
    )
    if output == "json":
        print_json({**asdict(found), "args": found.words})
        return
    click.echo(f"vllm serve {shlex.join(found.words)}\n")
    section("Arguments", found.flags)
    section("Image", found.image)
    section("Environment", found.environment)
    for note in found.notes:
        click.echo(f"Note: {note}.")


def section(title: str, flags: tuple[Flag, ...]) -> None:
    """One block of reasons."""
    if not flags:
        return
    click.echo(title)
    for flag in flags:
        glue = "=" if title == "Environment" else " " if flag.name.startswith("-") else ""
        click.echo(f"  {flag.name}{glue if flag.value else ''}{flag.value}\n      {flag.why}")
