"""`serinus plan`: what a plan would take with this traffic, before anything is started.

Reads the plan, prints the forecast. The forecast itself is `controlplane.forecast`.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.catalogue import catalogue_option
from controlplane.cli.share import SHARE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from canary.snapshot import Counters
    from canary.spec.models import ModelCanary
    from controlplane.forecast import Forecast, GpuForecast, StageForecast
    from profiles.catalogue import Catalogue


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--rps", type=click.FloatRange(min=0, min_open=True), default=200.0, show_default=True)
@click.option("--noise", type=click.Choice(["iid", "real", "harsh"]), default="real", show_default=True)
@click.option(
    "--rated",
    type=SHARE,
    default="100%",
    show_default=True,
    help="Share of requests that KPIs are known of, as where few users rate an answer.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@catalogue_option
@click.option("--prometheus", metavar="URL", help="Learn the noise from stable's last hours there.")
@click.option("--namespace", help="Where the servers are, with --prometheus (the plan's own, or default).")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1),
    default=15.0,
    show_default=True,
    help="Seconds between two scrapes, with --prometheus.",
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def command(
    file: Path,
    rps: float,
    noise: str,
    rated: float,
    seed: int,
    settings: Path | None,
    additions: tuple[Path, ...],
    prometheus: str | None,
    namespace: str | None,
    interval: float,
    output: str,
) -> None:
    """Forecast FILE at so many requests a second: time and requests to each verdict, GPUs, memory, money.

    The plan is played in a virtual world with a healthy canary and with broken ones. Exit code: 0 a healthy canary gets
    through, 1 it does not (a gate cannot be decided with this traffic), 2 bad input, or a variant that cannot run on
    its GPUs.
    """
    from canary.errors import BadInput, ExternalError, SpecError
    from controlplane.forecast import forecast
    from controlplane.profiles.sources import catalogue
    from profiles.errors import ProfileError

    try:
        known = catalogue(additions)
        plan = _plan(file, settings, known)
    except (BadInput, SpecError, ProfileError) as error:
        click.echo(f"{error}\nNothing was forecast.", err=True)
        raise SystemExit(2) from error
    past: Sequence[Counters] = ()
    if prometheus is not None:
        try:
            past = _past(plan, prometheus, namespace or plan.metadata.namespace or "default", interval)
        except ExternalError as error:
            click.echo(f"{error}\nNothing was forecast.", err=True)
            raise SystemExit(1) from error
    result = forecast(plan, rps=rps, noise=noise, rated=rated, seed=seed, known=known, past=past)
    if prometheus is not None and result.learnt_from is None:
        few = f"has {len(past)} readings of {plan.spec.stable.name}" if past else f"knows no {plan.spec.stable.name}"
        click.echo(f"Prometheus on {prometheus} {few}: too few to learn from. The noise is simulated.", err=True)
    if output == "json":
        click.echo(json.dumps({**asdict(result), "decidable": result.decidable}, ensure_ascii=False))
    else:
        for line in lines(result, plan.metadata.name, rps):
            click.echo(line)
    raise SystemExit(0 if result.decidable else 1)


def _plan(file: Path, settings: Path | None, known: "Catalogue") -> "ModelCanary":
    """The plan in the file, if its variants can run on their GPUs; what is only unknown is said."""
    from canary.errors import SpecError
    from controlplane import spec_files
    from controlplane.cli.validate import as_warning
    from controlplane.profiles.canary_check import checked

    document = spec_files.load(file, settings=settings)
    found = checked(document, known)
    if found.faults:
        raise SpecError(found.faults)
    for warning in found.warnings:
        click.echo(as_warning(warning), err=True)
    return document.canary


def _past(plan: "ModelCanary", url: str, namespace: str, interval: float) -> "Sequence[Counters]":
    """What stable has done lately; raises `ExternalError`."""
    import asyncio
    from time import time

    from controlplane.evidence.baseline_history import stable_before

    return asyncio.run(stable_before(plan, url, time(), namespace=namespace, interval=interval))


def lines(forecast: "Forecast", name: str, rps: float) -> list[str]:
    """The forecast as text."""
    from canary.format import duration

    told = [f"{name} at {rps:g} requests a second, with a canary as good as stable:", ""]
    for number, stage in enumerate(forecast.stages, 1):
        told += _stage(number, stage)
    if forecast.decidable:
        told += ["", f"Promoted after {duration(forecast.seconds)}."]
    elif forecast.put_back_by:
        told += ["", f"Rolled back after {duration(forecast.seconds)}, though nothing is wrong: {forecast.put_back_by}"]
        told.append("Its gate takes chance for harm: give it more traffic, a longer window or a wider limit.")
    else:
        advice = "give it more traffic, longer holds or wider gates"
        told += ["", f"Not promoted within {duration(forecast.seconds)}: {advice}."]
    if forecast.learnt_from is not None:
        told.append(f"How stable differs from itself is learnt from its own last {duration(forecast.learnt_from)}.")
    for harm, seconds in forecast.found_after.items():
        found = f"be rolled back {duration(seconds)} after its first traffic" if seconds is not None else "not be found"
        told.append(f"A canary with {harm} would {found}.")
    told += [_gpus(each, forecast.seconds) for each in forecast.gpus]
    return told


def _gpus(each: "GpuForecast", seconds: float) -> str:
    """`nf4 occupies 1 × L40S (it fits: …), about $…` with what is known of it."""
    from canary.format import dollars

    told = f"{each.variant} occupies {each.gpus} × {each.gpu}"
    if each.fits is None or each.needed_gib is None or each.reserved_gib is None:
        told += " (whether it fits is not known)"
    else:
        verdict = "fits" if each.fits else "does not fit"
        told += f" ({verdict}: needs at least {each.needed_gib:.1f} of {each.reserved_gib:.1f} GiB on each)"
    if each.dollars_an_hour is None:
        return f"{told}; nobody knows its price."
    dated = each.price_date or "your price"
    total = each.dollars_an_hour * seconds / 3600
    return f"{told}, about {dollars(total)} for this rollout ({dollars(each.dollars_an_hour)} an hour, {dated})."


def _stage(number: int, stage: "StageForecast") -> list[str]:
    from canary.format import count, duration, share

    lasts = "does not end" if stage.lasts is None else f"lasts {duration(stage.lasts)}"
    longer = stage.lasts is not None and stage.lasts > 1.1 * stage.hold and stage.gates
    why = " (longer than its hold: evidence takes that long)" if longer else ""
    told = [f"  stage {number}  {share(stage.traffic)}  held {duration(stage.hold)}, {lasts}{why}"]
    for gate in stage.gates:
        if gate.passes_after is None:
            told.append(f"    ◌ {gate.gate}: not decided with this traffic")
        else:
            samples = f", {count(gate.samples)} canary {gate.counted}" if gate.samples else ""
            told.append(f"    ✔ {gate.gate}: passes after {duration(gate.passes_after)}{samples}")
        if gate.below_noise and gate.margin is not None and gate.noise_floor is not None:
            noise = f"the {share(gate.noise_floor)} by which stable differs from itself in that time"
            told.append(f"      its margin of {share(gate.margin)} is below {noise}")
    return told
