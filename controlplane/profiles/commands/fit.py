"""`serinus profile fit`: what fits where with which flags, how many replicas carry a rate, and which plan is
cheapest.
"""

import re
from pathlib import Path
from typing import Any

import click

from controlplane.profiles.commands.options import (
    ProfileCommand,
    additions,
    engine_flags,
    output,
    print_json,
    requests,
    wanted,
)
from controlplane.profiles.sources import catalogue, model_shape
from profiles.accelerator import GIB, Accelerator
from profiles.capacity import Misfit, Objectives, Plan, cheapest, plans
from profiles.catalogue import Catalogue
from profiles.errors import Malformed
from profiles.load import Workload

DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)")


@click.command(cls=ProfileCommand)
@click.argument("model")
@click.option("--gpus", required=True, help='What there is: "L40S:4,H100:2".')
@click.option(
    "--quantization", "quantizations", multiple=True, help="Only these; all that the GPUs can run when left out."
)
@click.option(
    "--rate", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True, help="Requests a second."
)
@click.option("--headroom", type=click.FloatRange(0), default=0.2, show_default=True, help="Share on top of the rate.")
@click.option("--ttft", help="Objective for the time to first token: 300ms.")
@click.option("--itl", help="Objective for the gap between tokens: 50ms.")
@click.option("--e2e", help="Objective for the whole request: 5s.")
@requests
@engine_flags
@additions
@output
def command(
    model: str,
    gpus: str,
    quantizations: tuple[str, ...],
    rate: float,
    headroom: float,
    ttft: str | None,
    itl: str | None,
    e2e: str | None,
    input_tokens: float,
    output_tokens: float,
    price: float | None,
    catalogues: tuple[Path, ...],
    allow_fallback: bool,
    output: str,
    **flags: Any,
) -> None:
    """Find how to serve MODEL with the GPUs that there are. MODEL may be a canary.yml: then the plan is for both
    variants.

    Plans are sorted by what they cost an hour. Exits with 1 when nothing fits.
    """
    known = catalogue(catalogues)
    there = inventory(gpus, known)
    objectives = Objectives(seconds(ttft, "--ttft"), seconds(itl, "--itl"), seconds(e2e, "--e2e"))
    workload = Workload(input_tokens, output_tokens)
    if model.endswith((".yml", ".yaml")):
        from controlplane.profiles.canary_plan import show_canary

        read_plan = click.get_current_context().obj
        show_canary(read_plan(Path(model)), there, known, workload, rate, objectives, output)
        return
    shape = model_shape(model, known)
    first = next(iter(there.values()))[0]
    found: list[Plan] = []
    misfits: list[Misfit] = []
    names = quantizations or ("bf16", "fp8", "int8-w8a8", "awq", "nvfp4", "bnb-nf4")
    for name in names:
        base = wanted(shape, first, known.quantization(name), 1, **flags)
        more, less = plans(
            base, there, workload, rate, objectives, headroom=headroom, allow_fallback=allow_fallback, price=price
        )
        found += more
        misfits += less
    found.sort(key=lambda one: (one.dollars_an_hour or float("inf"), one.gpus))
    if output == "json":
        print_json({"plans": [plan_json(one) for one in found], "misfits": [misfit_json(one) for one in misfits]})
    else:
        show(found, misfits, rate, headroom)
    click.get_current_context().exit(0 if found else 1)


def inventory(text: str, known: Catalogue) -> dict[str, tuple[Accelerator, int]]:
    """`L40S:4,H100:2` → GPU types and how many there are."""
    found: dict[str, tuple[Accelerator, int]] = {}
    for part in text.split(","):
        name, _, count = part.strip().partition(":")
        if not count.strip().isdigit() or int(count) < 1:
            raise Malformed(f'--gpus: {part.strip()!r} must be a GPU type and a number, such as "L40S:4"')
        gpu = known.gpu(name.strip())
        found[gpu.name] = (gpu, int(count) + found.get(gpu.name, (gpu, 0))[1])
    return found


def seconds(text: str | None, option: str) -> float | None:
    """`300ms` or `5s` → seconds."""
    if text is None:
        return None
    match = DURATION.fullmatch(text.strip())
    if not match:
        raise Malformed(f"{option}: {text!r} must be a duration such as 300ms or 2.5s")
    return float(match.group(1)) / (1000 if match.group(2) == "ms" else 1)


def plan_json(one: Plan) -> dict[str, Any]:
    """A plan as an object."""
    deployment, latency = one.prediction.deployment, one.prediction.latency
    return {
        "gpu": deployment.gpu.name,
        "gpus_per_replica": deployment.gpus,
        "quantization": deployment.quantization.name,
        "replicas": one.replicas,
        "gpus": one.gpus,
        "dollars_an_hour": one.dollars_an_hour,
        "per_1m_tokens": one.prediction.cost.per_1m_tokens.value if one.prediction.cost else None,
        "headroom": one.headroom,
        "concurrency_per_replica": one.prediction.concurrency,
        "ttft_s": latency.ttft.value,
        "itl_s": latency.itl.value,
        "e2e_s": latency.e2e.value,
        "needed_gib": one.prediction.memory.needed / GIB,
        "basis": one.prediction.basis,
        "flags": [note for note in one.prediction.notes if "--" in note],
    }


def misfit_json(one: Misfit) -> dict[str, Any]:
    """What does not work, as an object."""
    deployment = one.deployment
    return {
        "gpu": deployment.gpu.name,
        "gpus_per_replica": deployment.gpus,
        "quantization": deployment.quantization.name,
        "reason": one.reason,
    }


def show(found: list[Plan], misfits: list[Misfit], rate: float, headroom: float) -> None:
    """Both lists for a person, and the cheapest plan in a sentence."""
    if found:
        click.echo("quantization  replicas          $/h  $/1M tok  headroom     TTFT      ITL     E2E  basis")
    for one in found:
        deployment, latency = one.prediction.deployment, one.prediction.latency
        where = f"{one.replicas} x {deployment.gpus} {deployment.gpu.name}"
        hour = f"{one.dollars_an_hour:.2f}" if one.dollars_an_hour is not None else "?"
        million = f"{one.prediction.cost.per_1m_tokens.value:.3f}" if one.prediction.cost else "?"
        click.echo(
            f"{deployment.quantization.name:<12}  {where:<14}{hour:>7}{million:>10}{one.headroom:>10.0%}"
            f"{latency.ttft.value * 1e3:>7.0f} ms{latency.itl.value * 1e3:>6.1f} ms{latency.e2e.value:>6.2f} s"
            f"  {one.prediction.basis}"
        )
        for note in one.prediction.notes:
            if "--" in note:
                click.echo(f"{'':<14}{note}")
    for text, sizes in grouped(misfits).items():
        click.echo(text.format(sizes=" or ".join(str(size) for size in sizes)))
    best = cheapest(found)
    if best:
        deployment = best.prediction.deployment
        click.echo(
            f"\nCheapest for {rate:g} requests a second with {headroom:.0%} on top: {best.replicas} x "
            f"{deployment.quantization.name} on {deployment.gpus} {deployment.gpu.name}, "
            f"${best.dollars_an_hour:.2f} an hour."
        )
    elif not found:
        click.echo("Nothing carries this rate within the objectives on these GPUs.")


def grouped(misfits: list[Misfit]) -> dict[str, list[int]]:
    """The same refusal for several sizes of replica is said once: sentence (with room for the sizes) to the sizes."""
    found: dict[str, list[int]] = {}
    for one in misfits:
        reason = one.reason.replace("{", "{{").replace("}", "}}")
        text = f"no: {one.deployment.quantization.name} on {{sizes}} x {one.deployment.gpu.name}: {reason}"
        found.setdefault(text, []).append(one.deployment.gpus)
    return found
