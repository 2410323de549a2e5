"""`serinus alerts test`: whether the alert channels of a canary.yml work, before a rollout needs them.

Starts no rollout. Exit codes: 0 when every channel took its test, 1 when one did not, 2 for bad input.
"""

import asyncio
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

import click


@click.group()
def command() -> None:
    """Test the alert channels of a canary.yml."""


@command.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--settings", type=click.Path(path_type=Path), help="Settings for a short form, instead of serinus.yml.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="json: one object a channel.")
def test(file: Path, settings: Path | None, output: str) -> None:
    """Send a test alert to each channel of FILE, and say what became of it."""
    from canary.errors import BadInput, SpecError
    from controlplane import spec_files
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.alerts.alert_dispatcher import local_deps
    from controlplane.alerts.channel_test import try_channels
    from controlplane.view.marks import marks_for

    try:
        plan = spec_files.load(file, settings=settings).canary
        outcomes = asyncio.run(try_channels(plan, local_deps(SystemClock(), os.environ)))
    except (BadInput, SpecError) as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    if not outcomes:
        click.echo(f"{file} names no alerts; nothing was sent.", err=True)
        raise SystemExit(2)
    marks = marks_for(sys.stdout.encoding)
    for outcome in outcomes:
        if output == "json":
            click.echo(json.dumps({**asdict(outcome), "arrived": not outcome.problem}))
        elif outcome.problem:
            click.echo(f"{marks.failed} {outcome.channel}: {outcome.problem}")
        else:
            click.echo(f"{marks.passed} {outcome.channel}: arrived; it is told of {', '.join(outcome.told_of)}")
    raise SystemExit(1 if any(outcome.problem for outcome in outcomes) else 0)
