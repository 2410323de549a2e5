"""The options that several `serinus profile` commands share, and the deployment they describe."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from controlplane.profiles.sources import model_shape
from profiles.accelerator import Accelerator
from profiles.catalogue import Catalogue
from profiles.deployment import Deployment
from profiles.engine import Engine
from profiles.errors import Malformed, ProfileError
from profiles.model import ModelShape
from profiles.quantization import Quantization

KV_BYTES = {
    "auto": 2.0,
    "bfloat16": 2.0,
    "float16": 2.0,
    "fp8": 1.0,
    "fp8_e4m3": 1.0,
    "fp8_e5m2": 1.0,
    "int8_per_token_head": 1.0,
}
"""`--kv-cache-dtype` to bytes a value."""


class ProfileFault(click.ClickException):
    """Bad input: shown as a sentence, exit code 2."""

    exit_code = 2


class ProfileCommand(click.Command):
    """A command whose refusals are sentences, not tracebacks."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run; a `ProfileError` becomes exit code 2."""
        try:
            return super().invoke(ctx)
        except ProfileError as wrong:
            raise ProfileFault(str(wrong)) from None


def output(command: Callable[..., None]) -> Callable[..., None]:
    """`-o text|json`."""
    return click.option(
        "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True, help="How to print."
    )(command)


def additions(command: Callable[..., None]) -> Callable[..., None]:
    """`--catalogue FILE`, as often as wanted."""
    return click.option(
        "--catalogue",
        "catalogues",
        type=click.Path(path_type=Path),
        multiple=True,
        help="YAML with your own gpus, models, quantizations.",
    )(command)


def concurrency(command: Callable[..., None]) -> Callable[..., None]:
    """How many requests at once."""
    return click.option(
        "--concurrency",
        "--batch-size",
        type=click.FloatRange(0, min_open=True),
        default=1,
        show_default=True,
        help="Requests at once.",
    )(command)


def requests(command: Callable[..., None]) -> Callable[..., None]:
    """What callers send, and what a GPU costs."""
    size = click.FloatRange(1)
    for option in (
        click.option("--price", type=click.FloatRange(0), help="Your dollars a GPU-hour; wins over the catalogue's."),
        click.option("--output-tokens", type=size, default=128, show_default=True, help="Answer tokens of a request."),
        click.option("--input-tokens", type=size, default=512, show_default=True, help="Prompt tokens of a request."),
    ):
        command = option(command)
    return command


def engine_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Flags of the engine that memory and speed depend on."""
    for option in reversed(
        (
            click.option(
                "--engine",
                default="vllm",
                show_default=True,
                help="Engine with or without version: vllm-0.33.0, trtllm, sglang.",
            ),
            click.option("--max-model-len", type=click.IntRange(1), help="Longest context that is admitted."),
            click.option("--max-num-seqs", type=click.IntRange(1), help="Sequences that run at once."),
            click.option("--max-num-batched-tokens", type=click.IntRange(1), help="Prompt tokens of one step."),
            click.option(
                "--gpu-memory-utilization",
                type=click.FloatRange(0, 1, min_open=True),
                help="Share of memory that the engine reserves.",
            ),
            click.option(
                "--kv-cache-dtype",
                type=click.Choice(sorted(KV_BYTES)),
                default="auto",
                show_default=True,
                help="Type of the KV cache.",
            ),
            click.option(
                "--allow-fallback", is_flag=True, help="Accept the weight-only kernel where the GPU lacks the units."
            ),
        )
    ):
        command = option(command)
    return command


def deployment(known: Catalogue, model: str, gpu: str, count: int, quantization: str, **flags: Any) -> Deployment:
    """The deployment that the options name; other flags by their field names, None leaves the engine's default."""
    return wanted(model_shape(model, known), known.gpu(gpu), known.quantization(quantization), count, **flags)


def wanted(
    model: ModelShape,
    gpu: Accelerator,
    quantization: Quantization,
    count: int,
    *,
    engine: str = "vllm",
    kv_cache_dtype: str = "auto",
    gpu_memory_utilization: float | None = None,
    **flags: Any,
) -> Deployment:
    """The same from catalogue entries."""
    chosen = Deployment(
        model=model,
        gpu=gpu,
        quantization=quantization,
        gpus=count,
        engine=Engine.named(engine),
        kv_value_bytes=KV_BYTES[kv_cache_dtype],
        memory_utilization=gpu_memory_utilization,
    )
    if kv_cache_dtype.startswith("fp8") and gpu.capability < 8.9:
        raise Malformed(f"{gpu.name} (compute capability {gpu.capability}) has no FP8 KV cache; it needs 8.9")
    return replace(chosen, **{name: value for name, value in flags.items() if value is not None})


def print_json(found: object) -> None:
    """One JSON object on one line."""
    click.echo(json.dumps(found))
