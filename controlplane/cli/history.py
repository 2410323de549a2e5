"""`serinus history`, `serinus status` and `serinus why`: what happened to a rollout here, where it is, and why.

Read from its store, whether it runs or not; nothing is asked of it.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from canary.rollout import Event
    from controlplane.ports import Stored

CODES = {"promoted": 0, None: 0}


@click.command()
@click.argument("target")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def history(target: str, state: Path | None, attempt: int | None, output: str) -> None:
    """Print everything that happened to a rollout. TARGET is its name or its canary.yml."""
    from canary.serial import event_line
    from controlplane.view.marks import marks_for
    from controlplane.view.plain import event_text

    _, events = _read(target, state, attempt)
    marks = marks_for(sys.stdout.encoding)
    for event in events:
        click.echo(json.dumps(event_line(event), ensure_ascii=False) if output == "json" else event_text(event, marks))


@click.command()
@click.argument("target")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def status(target: str, state: Path | None, output: str) -> None:
    """Say where a rollout is, and why. TARGET is its name or its canary.yml.

    Exit codes: 0 under way or promoted, 1 rolled back or failed.
    """
    from canary.serial import event_line
    from controlplane.view.explain import status_lines

    stored, events = _read(target, state, None)
    rollout = stored.rollout
    if output == "json":
        click.echo(json.dumps(event_line(events[-1]), ensure_ascii=False))
    else:
        for line in status_lines(rollout):
            click.echo(line)
    raise SystemExit(CODES.get(rollout.result, 1))


@click.command()
@click.argument("target")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
def why(target: str, state: Path | None) -> None:
    """Explain a rollout's present verdicts, and the smallest change that would flip each.

    TARGET is its name or its canary.yml.
    """
    from canary.spec.stored import from_text
    from controlplane.view.explain import why_lines

    stored, _ = _read(target, state, None)
    for line in why_lines(from_text(stored.spec_text).spec, stored.rollout):
        click.echo(line)


def _read(target: str, state: Path | None, attempt: int | None) -> "tuple[Stored, list[Event]]":
    """The state and the events; leaves with exit code 2 where there are none."""
    from canary.errors import BadInput, SerinusError
    from controlplane.cli.place import place_of

    try:
        name, folder = place_of(target, state)
        stored, events = asyncio.run(_load(name, folder, attempt))
        if stored is None or not events:
            raise BadInput(f"{name} has no such rollout in {folder}.")
    except SerinusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    return stored, events


async def _load(name: str, folder: Path, attempt: int | None) -> "tuple[Stored | None, list[Event]]":
    from controlplane.adapters.sqlite_store import SqliteStore

    store = SqliteStore(folder / "serinus.db")
    try:
        return await store.load(name), list(await store.history(name, attempt))
    finally:
        await store.close()
