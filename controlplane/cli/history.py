"""`serinus history`, `serinus status` and `serinus why`: what happened to a rollout here, where it is, and why.

Read from its store, whether it runs or not; nothing is asked of it.
"""

import json
import sys
from pathlib import Path

import click

from controlplane.cli.stored import found, named

CODES = {"promoted": 0, None: 0}


@click.command()
@named
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def history(target: str, state: Path | None, attempt: int | None, output: str) -> None:
    """Print everything that happened to a rollout. TARGET is its name or its canary.yml."""
    from canary.serial import event_line
    from controlplane.view.marks import marks_for
    from controlplane.view.plain import event_text

    marks = marks_for(sys.stdout.encoding)
    for event in found(target, state, attempt).events:
        click.echo(json.dumps(event_line(event), ensure_ascii=False) if output == "json" else event_text(event, marks))


@click.command()
@named
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def status(target: str, state: Path | None, output: str) -> None:
    """Say where a rollout is, and why. TARGET is its name or its canary.yml.

    Exit codes: 0 under way or promoted, 1 rolled back or failed.
    """
    from canary.serial import event_line
    from controlplane.view.explain import status_lines

    here = found(target, state)
    rollout = here.stored.rollout
    if output == "json":
        click.echo(json.dumps(event_line(here.events[-1]), ensure_ascii=False))
    else:
        for line in status_lines(rollout):
            click.echo(line)
    raise SystemExit(CODES.get(rollout.result, 1))


@click.command()
@named
def why(target: str, state: Path | None) -> None:
    """Explain a rollout's present verdicts, and the smallest change that would flip each.

    TARGET is its name or its canary.yml.
    """
    from controlplane.view.explain import why_lines

    here = found(target, state)
    for line in why_lines(here.spec, here.stored.rollout):
        click.echo(line)
