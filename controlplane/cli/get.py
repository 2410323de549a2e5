"""`serinus get`: one rollout of this machine on one screen; with `-w` redrawn until it ends.

The same picture and the same screen as `serinus run` draws, from its store and from what its process saw last. Without
a terminal, `-w` appends a line for each thing that happens. Nothing is asked of the rollout: Ctrl-C touches nothing.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.stored import Found, find, named, read

if TYPE_CHECKING:
    from controlplane.api.look import Looked
    from controlplane.ports import Clock
    from controlplane.view.watcher import Watcher

AGAIN = 0.5
"""Seconds between two looks; its process writes down what it sees once a second, and events at once."""
CODES = {"promoted": 0}
NEXT = "promote: serinus promote {target}   stop: serinus abort {target}"
NOBODY = "Nobody carries {name} out now: it goes on when `serinus run` is started again with its file."
BACK = "{name} is carried out again."


@click.command("get")
@named
@click.option("-w", "--watch", is_flag=True, help="Go on until the rollout ends; Ctrl-C touches nothing.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["screen", "json", "name"]),
    default="screen",
    help="json: its last event; with -w, one event a line.",
)
def command(target: str, state: Path | None, watch: bool, output: str) -> None:
    """Show one rollout: traffic, stages, gates with both variants' values, why, and what is next.

    TARGET is its name or its canary.yml. Exit codes: 0, with -w also promoted; 1 with -w rolled back or failed; 2 there
    is no such rollout.
    """
    from canary.errors import SerinusError
    from controlplane.adapters.system_clock import SystemClock

    if watch and output == "name":
        raise click.UsageError("-w shows a screen or, with -o json, events; -o name has no end to write.")
    again = f"{target}{f' --state {state}' if state else ''}"
    try:
        code = asyncio.run(_shown(target, state, again, SystemClock(), watch=watch, output=output))
    except SerinusError as error:
        click.echo(str(error), err=True)
        code = 2
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)


async def _shown(target: str, state: Path | None, again: str, clock: "Clock", *, watch: bool, output: str) -> int:
    """Show it once or until it ends; answers the exit code."""
    here = await find(target, state)
    if watch:
        return await _watch(here, again, clock, output)
    if output == "screen":
        _print(here, again, clock.now())
    elif output == "json":
        from canary.serial import event_line

        click.echo(json.dumps(event_line(here.events[-1]), ensure_ascii=False))
    else:
        click.echo(here.name)
    return 0


def _print(here: Found, again: str, now: float) -> None:
    from controlplane.view.model import picture
    from controlplane.view.still import still

    looked = here.looked(now)
    shown = picture(here.spec, looked.rollout, looked.seen, here.until(now), looked.rates, of_record=not looked.running)
    for line in still(shown, _hint(here, again)):
        click.echo(line)
    if not (looked.running or here.stored.rollout.finished):
        click.echo(NOBODY.format(name=here.name), err=True)


async def _watch(here: Found, again: str, clock: "Clock", output: str) -> int:
    """Feed a view until the rollout has ended. A rollout that takes this one's place is followed on."""
    view: Watcher | None = None
    revision, carried = "", True
    try:
        while True:
            looked, rollout = here.looked(clock.now()), here.stored.rollout
            if view is None or revision != rollout.revision:
                if view is not None:
                    view.close()
                view, revision = _view(here, again, looked, clock, output), rollout.revision
            for event in here.events:
                view.event(event)
            view.update(looked.rollout, looked.seen)
            if rollout.finished and rollout.result != "superseded":
                return CODES.get(rollout.result or "", 1)
            if carried != looked.running:
                carried = looked.running
                view.say((BACK if carried else NOBODY).format(name=here.name))
            await clock.sleep(AGAIN)
            here = await read(here.name, here.folder)
    finally:
        if view is not None:
            view.close()


def _view(here: Found, again: str, looked: "Looked", clock: "Clock", output: str) -> "Watcher":
    from controlplane.view.watcher import open_watcher

    return open_watcher(
        "json" if output == "json" else "text",
        sys.stdout,
        here.spec,
        now=clock.now,
        revision=here.stored.rollout.revision,
        hint=_hint(here, again),
        of_record=not looked.running,
    )


def _hint(here: Found, again: str) -> str:
    """What a person can do now, in commands to copy."""
    return "" if here.stored.rollout.finished else NEXT.format(target=again)
