"""`serinus simulate`: a rollout played in a virtual world, instantly, with the real loop, machine and judge.

Reads the plan, chooses the world, prints the story. The world itself is `controlplane.simulation`.
"""

import json
import shutil
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from canary.spec.models import ModelCanary
    from controlplane.simulation.scenarios import Scenario
    from controlplane.simulation.story import Story

EXIT_CODES = {"promoted": 0, "timed_out": 3}
"""Results with a code of their own; all others are 1."""
LONGEST_LINE = 160


class Duration(click.ParamType[float]):
    """`5s`, `10m`, `30d`: as durations are written in canary.yml."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, more than none."""
        from canary.spec.units import UnreadableNumber, seconds

        try:
            length = seconds(value)
        except UnreadableNumber as error:
            self.fail(str(error), param, ctx)
        if length <= 0:
            self.fail(f"expected a duration above zero, got {value}", param, ctx)
        return length


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--scenario", default="healthy", show_default=True, help="Which fault to simulate; --list shows all.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of all randomness.")
@click.option("--rps", type=click.FloatRange(0, 1e6), default=200.0, show_default=True, help="Requests a second.")
@click.option(
    "--noise",
    type=click.Choice(["iid", "real", "harsh"]),
    default="real",
    show_default=True,
    help="How far traffic is from independent requests at a constant rate.",
)
@click.option("--interval", type=Duration(), help="Time between scrapes (default: 5s, more in long holds).")
@click.option("--for", "horizon", type=Duration(), help="Stop after this virtual time (default: three times the plan).")
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@click.option("--record", type=click.Path(path_type=Path, file_okay=False), help="New folder for its state.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@click.option("--list", "list_scenarios", is_flag=True, help="Show the scenarios and exit.")
def command(
    file: Path | None,
    scenario: str,
    seed: int,
    rps: float,
    noise: str,
    interval: float | None,
    horizon: float | None,
    settings: Path | None,
    record: Path | None,
    output: str,
    list_scenarios: bool,
) -> None:
    """Simulate the rollout of FILE (or of a sample plan), and show what would happen.

    The same plan, scenario and seed always give the same output. Exit code: 0 promoted, 1 rolled back or failed, 2 bad
    input, 3 undecided when the simulation ended.
    """
    from controlplane.simulation.story import simulate

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if list_scenarios:
        _print_scenarios(output)
        return
    chosen = _scenario(scenario)
    plan = _plan(file, settings)
    story = simulate(plan, chosen, seed=seed, rps=rps, noise=noise, interval=interval, horizon=horizon)
    if record is not None:
        _record(story, plan, record)
    if output == "json":
        _print_events(plan, story)
    else:
        _print_story(plan, chosen, story, f"Seed {seed}, {rps:g} requests a second, {noise} noise")
    raise SystemExit(EXIT_CODES.get(story.result, 1))


def _plan(file: Path | None, settings: Path | None) -> "ModelCanary":
    """The plan, or exit code 2 with every fault."""
    from canary.errors import BadInput, SpecError
    from controlplane.simulation.sample import SAMPLE
    from controlplane.spec_files import load

    try:
        return load(file or SAMPLE, settings=settings).canary
    except (BadInput, SpecError) as error:
        click.echo(f"{error}\nNothing was simulated.", err=True)
    raise SystemExit(2)


def _scenario(name: str) -> "Scenario":
    """The scenario of this name, or exit code 2 with the nearest one."""
    from difflib import get_close_matches

    from controlplane.simulation.scenarios import SCENARIOS

    if name in SCENARIOS:
        return SCENARIOS[name]
    near = get_close_matches(name, SCENARIOS, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    click.echo(f"There is no scenario {name!r}.{hint} --list shows all.", err=True)
    raise SystemExit(2)


def _record(story: "Story", plan: "ModelCanary", folder: Path) -> None:
    """Keep it for `serinus replay`, `history` and `why`; exit code 2 where it cannot be."""
    import asyncio

    from canary.errors import SerinusError
    from controlplane.simulation.record import keep

    try:
        asyncio.run(keep(story, plan, folder))
    except SerinusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error


def _print_scenarios(output: str) -> None:
    from controlplane.simulation.scenarios import TABLE
    from controlplane.simulation.telling import scenario_lines

    if output == "json":
        for each in TABLE:
            plain = {"name": each.name, "happens": each.happens, "expected": each.promise, "result": each.result}
            click.echo(json.dumps(plain, ensure_ascii=False))
        return
    for line in scenario_lines(_width()):
        click.echo(line)


def _print_events(plan: "ModelCanary", story: "Story") -> None:
    from controlplane.simulation.telling import event_lines

    for line in event_lines(story, plan.metadata.name):
        print(json.dumps(line, ensure_ascii=False), flush=True)


def _print_story(plan: "ModelCanary", scenario: "Scenario", story: "Story", conditions: str) -> None:
    from canary.format import duration
    from controlplane.simulation.telling import ending, heading, told
    from controlplane.view.marks import marks_for

    scraped = f"{conditions}; scraped every {duration(story.interval)} in the longest stage."
    for line in heading(plan.spec, plan.metadata.name, scenario, scraped):
        click.echo(line)
    click.echo()
    for line in told(story, marks_for(sys.stdout.encoding or "utf-8"), _width()):
        click.echo(line)
    click.echo()
    for line in ending(story, scenario):
        click.echo(line)


def _width() -> int:
    return min(shutil.get_terminal_size().columns, LONGEST_LINE)
