"""`serinus profile compare`: quantizations or GPUs side by side, as a table and as a chart."""

from pathlib import Path
from typing import Any

import click

from controlplane.profiles.commands.options import (
    ProfileCommand,
    additions,
    concurrency,
    engine_flags,
    output,
    print_json,
    requests,
    wanted,
)
from controlplane.profiles.sources import catalogue, model_shape
from profiles.accelerator import GIB
from profiles.chart import Bar, ChartPanel
from profiles.cost import scaled
from profiles.errors import ProfileRefused
from profiles.load import Workload
from profiles.prediction import Prediction, predict
from profiles.report import as_json

Row = tuple[str, Prediction | None, str]
"""Name of the variant, its prediction or None, and the reason of a refusal."""


@click.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--gpu", "gpus", multiple=True, required=True, help="GPU type; give several to compare them.")
@click.option("--count", type=click.IntRange(1), default=1, show_default=True, help="GPUs of the replica.")
@click.option(
    "--quantization", "quantizations", multiple=True, help="Several to compare; bf16, fp8, awq and bnb-nf4 if none."
)
@requests
@concurrency
@engine_flags
@click.option("--chart", type=click.Path(path_type=Path), help="Write a chart (.svg or .html).")
@additions
@output
def command(
    model: str,
    gpus: tuple[str, ...],
    count: int,
    quantizations: tuple[str, ...],
    input_tokens: float,
    output_tokens: float,
    concurrency: float,
    price: float | None,
    allow_fallback: bool,
    chart: Path | None,
    catalogues: tuple[Path, ...],
    output: str,
    **flags: Any,
) -> None:
    """Compare variants of MODEL under one load. What cannot run stays in the list, with its reason."""
    known = catalogue(catalogues)
    shape = model_shape(model, known)
    rows: list[Row] = []
    for gpu in gpus:
        for name in quantizations or ("bf16", "fp8", "awq", "bnb-nf4"):
            chosen = wanted(shape, known.gpu(gpu), known.quantization(name), count, **flags)
            label = f"{chosen.quantization.name} on {chosen.gpu.name}"
            try:
                found = predict(
                    chosen,
                    Workload(input_tokens, output_tokens),
                    concurrency,
                    price=price,
                    allow_fallback=allow_fallback,
                )
                rows.append((label, found, found.shortage))
            except ProfileRefused as refused:
                rows.append((label, None, str(refused)))
    if chart:
        from controlplane.profiles.charts import write

        heading = f"{shape.name}, {input_tokens:g} in, {output_tokens:g} out, {concurrency:g} at once"
        write(panels(rows), heading, chart)
    if output == "json":
        for label, prediction, reason in rows:
            print_json(as_json(prediction) if prediction else {"variant": label, "refused": reason})
        return
    show(rows)


def panels(rows: list[Row]) -> list[ChartPanel]:
    """Latency, throughput, memory and money, one panel each."""

    def bars(kind: str, by: float) -> list[Bar]:
        return [
            Bar(label, scaled(getattr(one.latency, kind), by) if one else None, "refused") for label, one, _ in rows
        ]

    money = [
        Bar(label, one.cost.per_1m_tokens if one and one.cost else None, "refused" if one is None else "no price")
        for label, one, _ in rows
    ]
    return [
        ChartPanel("Time to first token, ms", bars("ttft", 1e3)),
        ChartPanel("Between tokens, ms", bars("itl", 1e3)),
        ChartPanel("Output tokens a second", bars("tokens_per_second", 1.0)),
        ChartPanel("Dollars per million output tokens", money),
    ]


def show(rows: list[Row]) -> None:
    """The table; the fastest first would hide the order that was asked for, so rows stay as they are."""
    width = max(len(label) for label, _, _ in rows)
    click.echo(f"{'variant':<{width}}     TTFT      ITL      E2E   tok/s  GiB/GPU  $/1M tok  basis")
    for label, one, reason in rows:
        if one is None:
            click.echo(f"{label:<{width}}  no: {reason}")
            continue
        latency = one.latency
        money = f"{one.cost.per_1m_tokens.value:.3f}" if one.cost else "?"
        click.echo(
            f"{label:<{width}}{latency.ttft.value * 1e3:>6.0f} ms{latency.itl.value * 1e3:>6.1f} ms"
            f"{latency.e2e.value:>7.2f} s{latency.tokens_per_second.value:>8.0f}{one.memory.needed / GIB:>9.1f}"
            f"{money:>10}  {one.basis}"
        )
        if reason:
            click.echo(f"{'':<{width}}  does not fit: {reason}")
