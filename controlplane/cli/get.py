"""`serinus get`: one rollout of this machine on one screen; with `-w` redrawn until it ends.

The same picture and the same screen as `serinus run` draws, from its store and from what its process saw last. Without
a terminal, `-w` appends a line for each thing that happens. Nothing is asked of the rollout: Ctrl-C touches nothing.
"""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.shape import OutputShape, must_have_an_end, show, watched
from controlplane.cli.signals import INTERRUPTED
from controlplane.cli.stored import StoredRollout, again, code_of, find, named

if TYPE_CHECKING:
    from canary.weights import Arm
    from controlplane.ports import Clock
    from controlplane.view.watcher import Watcher

CODES = {"promoted": 0}
NEXT = "promote: serinus promote {target}   stop: serinus abort {target}"
NOBODY = "Nobody carries {name} out now: it goes on when `serinus run` is started again with its file."
BACK = "{name} is carried out again."


@click.command("get")
@named
@watched(OutputShape("screen", "json", "yaml", "name"), "its last event")
def command(target: str, state: Path | None, watch: bool, output: str) -> None:
    """Show one rollout: traffic, stages, gates with both variants' values, why, and what is next.

    TARGET is its name or its canary.yml. Exit codes: 0, with -w also promoted; 1 with -w rolled back or failed; 2 there
    is no such rollout.
    """
    from canary.errors import SerinusError
    from controlplane.adapters.system_clock import SystemClock

    must_have_an_end(output, watch=watch)
    said = f"{target}{f' --state {state}' if state else ''}"
    try:
        code = asyncio.run(_shown(target, state, said, SystemClock(), watch=watch, output=output))
    except SerinusError as error:
        click.echo(str(error), err=True)
        code = code_of(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    raise SystemExit(code)


async def _shown(target: str, state: Path | None, said: str, clock: "Clock", *, watch: bool, output: str) -> int:
    """Show it once or until it ends; answers the exit code."""
    here = await find(target, state)
    if watch:
        return await _watch(here, said, clock, output)
    if output == "screen":
        _print(here, said, clock.now())
    elif output == "name":
        click.echo(here.name)
    else:
        from canary.serial import event_line

        show(event_line(here.events[-1]), output)
    return 0


def _print(here: StoredRollout, said: str, now: float) -> None:
    from controlplane.view.model import picture
    from controlplane.view.still import still

    looked = here.looked(now)
    shown = picture(here.spec, looked.rollout, looked.seen, here.until(now), looked.rates, of_record=not looked.running)
    for line in still(shown, _hint(here, said)):
        click.echo(line)
    if not (looked.running or here.rollout.finished):
        click.echo(NOBODY.format(name=here.name), err=True)


async def _watch(here: StoredRollout, said: str, clock: "Clock", output: str) -> int:
    """Feed a view until the rollout has ended. A rollout that takes this one's place is followed on."""
    looked, carried = here.looked(clock.now()), True

    def rates(_totals: object) -> "Mapping[Arm, float]":
        return looked.rates

    def view_of(here: StoredRollout) -> "Watcher":
        return open_watcher(
            "json" if output == "json" else "text",
            sys.stdout,
            here.spec,
            now=clock.now,
            revision=here.rollout.revision,
            hint=_hint(here, said),
            rates=rates,
        )

    from controlplane.view.watcher import open_watcher

    view, revision = view_of(here), here.rollout.revision
    try:
        while True:
            rollout = here.rollout
            if revision != rollout.revision:
                view.close()
                view, revision = view_of(here), rollout.revision
            for event in here.events:
                view.event(event)
            view.update(looked.rollout, looked.seen)
            if here.over:
                return CODES.get(rollout.result or "", 1)
            if carried != looked.running and not rollout.finished:
                carried = looked.running
                view.say((BACK if carried else NOBODY).format(name=here.name))
            here = await again(here, view.say)
            looked = here.looked(clock.now())
    finally:
        view.close()


def _hint(here: StoredRollout, said: str) -> str:
    """What a person can do now, in commands to copy."""
    return "" if here.rollout.finished else NEXT.format(target=said)
