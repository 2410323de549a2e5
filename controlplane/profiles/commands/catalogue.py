"""`serinus profile catalogue`: the GPUs, models and quantizations that can be named, with sources and dates."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from controlplane.profiles.commands.options import ProfileCommand, additions, output, print_json
from controlplane.profiles.sources import catalogue
from profiles.accelerator import Accelerator
from profiles.catalogue import distinct
from profiles.model import ModelShape
from profiles.quantization import Quantization

SECTIONS = ("gpus", "models", "quantizations")


@click.command(cls=ProfileCommand)
@click.argument("section", type=click.Choice(SECTIONS), required=False)
@additions
@output
def command(section: str | None, catalogues: tuple[Path, ...], output: str) -> None:
    """List what the catalogue knows; SECTION is one of gpus, models, quantizations."""
    known = catalogue(catalogues)
    for name in [section] if section else SECTIONS:
        entries: list[Any] = distinct(getattr(known, name))
        as_of, source = known.sources[name]
        if output == "json":
            for entry in entries:
                found = asdict(entry)
                if "windowed" in found:
                    found["windowed"] = str(found["windowed"])
                print_json({"section": name, "as_of": as_of, "source": source, **found})
            continue
        click.echo(f"{name} (as of {as_of}; {source})")
        for entry in entries:
            click.echo(f"  {line(entry)}")


def line(entry: Accelerator | ModelShape | Quantization) -> str:
    """One entry for a person."""
    match entry:
        case Accelerator():
            price = entry.price
            cost = f"${price.low:g}-{price.high:g}/h ({price.as_of or 'yours'})" if price else "no price"
            peaks = ", ".join(
                f"{name} {rate / 1e12:.0f}"
                for name, rate in (("fp16", entry.fp16), ("fp8", entry.fp8), ("int8", entry.int8), ("fp4", entry.fp4))
                if rate
            )
            return (
                f"{entry.name:<14}{entry.memory_gib:>6.1f} GiB{entry.bandwidth / 1e9:>6.0f} GB/s  "
                f"cc {entry.capability:<5g}{peaks} T/s, {cost}"
            )
        case ModelShape():
            experts = f", {entry.experts} experts ({entry.experts_per_token} a token)" if entry.experts > 1 else ""
            return (
                f"{entry.name:<30}{entry.parameters / 1e9:>8.3f} B  "
                f"KV {entry.kv_bytes_per_token() / 1024:>5g} KiB/token  context {entry.max_context}{experts}"
            )
        case Quantization():
            plugin = f", needs {entry.plugin}" if entry.plugin else ""
            return f"{entry.name:<14}{entry.bytes_per_parameter:>7g} B/parameter of {entry.scope}{plugin}"
