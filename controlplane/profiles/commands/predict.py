"""`serinus profile predict`: fit, speed and cost of one variant under one load, without touching a GPU."""

import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import click

from controlplane.profiles.commands.options import (
    ProfileCommand,
    additions,
    concurrency,
    deployment,
    engine_flags,
    output,
    print_json,
    requests,
)
from controlplane.profiles.sources import catalogue
from profiles.load import Workload
from profiles.measured import Level
from profiles.prediction import predict
from profiles.report import as_json, as_text

PRICE_AGE_DAYS = 90
"""Older prices are said to be old: they move by a factor of two a year."""


@click.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--gpu", required=True, help="GPU type, such as L40S (serinus profile catalogue lists them).")
@click.option(
    "--count", type=click.IntRange(1), default=1, show_default=True, help="GPUs of the replica (tensor parallel)."
)
@click.option("--quantization", default="bf16", show_default=True, help="How the weights are stored.")
@requests
@concurrency
@engine_flags
@click.option(
    "--profile",
    "profiles",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Saved by `profile measure`; calibrates.",
)
@additions
@output
def command(
    model: str,
    gpu: str,
    count: int,
    quantization: str,
    input_tokens: float,
    output_tokens: float,
    concurrency: float,
    price: float | None,
    profiles: tuple[Path, ...],
    catalogues: tuple[Path, ...],
    allow_fallback: bool,
    output: str,
    **flags: Any,
) -> None:
    """Predict what MODEL needs, does and costs on a GPU.

    MODEL is a name of the catalogue, a config.json (or its directory) or a Hugging Face repository. Every figure
    comes with the range that holds it in four cases of five. Exits with 1 when the load does not fit.
    """
    known = catalogue(catalogues)
    chosen = deployment(known, model, gpu, count, quantization, **flags)
    levels: tuple[Level, ...] = ()
    if profiles:
        from controlplane.profiles.saved import levels_for

        levels = levels_for(chosen, profiles)
    found = predict(
        chosen,
        Workload(input_tokens, output_tokens),
        concurrency,
        price=price,
        levels=levels,
        allow_fallback=allow_fallback,
    )
    if found.cost and found.cost.price_date and (age := days_since(found.cost.price_date)) > PRICE_AGE_DAYS:
        click.echo(f"The price of {found.deployment.gpu.name} is {age} days old; give yours with --price.", err=True)
    if output == "json":
        print_json(as_json(found))
        if not found.fits:
            click.echo(found.shortage, err=True)
    else:
        click.echo(as_text(found))
    click.get_current_context().exit(0 if found.fits else 1)


def days_since(day: str) -> int:
    """Days from an ISO date to today."""
    return (datetime.fromtimestamp(time.time(), UTC).date() - date.fromisoformat(day)).days
