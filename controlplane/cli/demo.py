"""`serinus demo`: two rollouts on this machine in about a minute, one promoted and one put back.

Chooses the view, and makes sure that Ctrl-C leaves nothing running. The play itself is `controlplane.demo.play`.
"""

import asyncio
import shutil
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.complaint import complain
from controlplane.cli.signals import on_any_signal

if TYPE_CHECKING:
    from canary.spec.models import ModelCanary
    from controlplane.demo.play import Extra
    from controlplane.view.watcher import Watcher

PATIENCE = 240.0
"""Seconds after which the demo gives up on a machine that is too busy to show anything."""
DONE, FAILED, BAD_INPUT, TIMED_OUT = range(4)


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@click.option("--rps", type=click.FloatRange(50, 2000), default=300.0, show_default=True, help="Requests a second.")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option(
    "--git", "by_git", is_flag=True, help="The same by commits to a repository: see what Serinus writes back."
)
def command(output: str, rps: float, state: Path | None, by_git: bool) -> None:
    """Watch two rollouts on this machine: one healthy and promoted, one that goes wrong and is put back.

    Starts a small model server twice, a real Envoy before them, and sends them requests. Nothing else on this machine
    is touched, and nothing is left running.
    """
    from canary.errors import BadInput, ExternalError
    from controlplane.adapters.state_dir import default_state_folder

    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode shows `?`, and the demo goes on
    code = FAILED
    try:
        code = asyncio.run(_run(output, rps, state or default_state_folder("demo"), by_git=by_git))
    except* BadInput as errors:
        complain(errors)
        code = BAD_INPUT
    except* ExternalError as errors:
        complain(errors)
    raise SystemExit(code)


async def _run(output: str, rps: float, state: Path, *, by_git: bool) -> int:
    """Play until the end or until somebody stops it; the exit code."""
    from canary.format import duration
    from controlplane.demo.git import GitDemo
    from controlplane.demo.play import Demo, held_world
    from controlplane.demo.story import told
    from controlplane.view.lines import LineWriter

    say = LineWriter(sys.stderr if output == "json" else sys.stdout).write
    _cancel_on_signals(asyncio.current_task())
    try:
        async with held_world(state) as world, asyncio.timeout(PATIENCE):
            make = GitDemo if by_git else Demo
            demo = make(world, rate=rps, open_view=lambda plan, extra: _open(output, plan, extra), say=say)
            scenes = await demo.play()
            epilogue = await demo.log() if isinstance(demo, GitDemo) else []
    except asyncio.CancelledError:
        say("Stopped. Everything that the demo started has been ended.")
        return FAILED
    except TimeoutError:
        late = f"The demo did not end within {duration(PATIENCE)}"
        say(f"{late}; everything that it started has been ended. Logs: {world}")
        return TIMED_OUT
    say("")
    for line in told(scenes, demo.stats, demo.numbers_from):
        say(line)
    for line in epilogue:
        say(line)
    if not all(scene.as_planned for scene in scenes):
        say(f"That is not how it should go. Logs: {world}")
        return FAILED
    await asyncio.to_thread(shutil.rmtree, world)
    return DONE


def _cancel_on_signals(playing: asyncio.Task[int] | None) -> None:
    """Ctrl-C and TERM end the play, once: what has to be ended afterwards is not to be interrupted again."""
    asked = False

    def stop() -> None:
        nonlocal asked
        if playing is not None and not asked:
            asked = True
            playing.cancel()

    on_any_signal(stop)


def _open(output: str, plan: "ModelCanary", extra: "Extra") -> "Watcher":
    from canary.spec.parse import revision
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.view.jsonl import JsonLines
    from controlplane.view.watcher import open_watcher

    if output == "json":
        return JsonLines(sys.stdout, extra=extra)
    now = SystemClock().now
    return open_watcher(output, sys.stdout, plan.spec, now=now, revision=revision(plan), hint="stop: Ctrl-C")
