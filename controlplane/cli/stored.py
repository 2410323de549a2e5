"""A rollout of this machine, read from its store, and how people name one: the common part of the verbs that show.

Whether it runs or not makes no difference; nothing is asked of it and nothing is changed. What its process saw last
(`controlplane.view.live`) is joined where that is wanted.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from controlplane.readmodel.record import RolloutRecord

if TYPE_CHECKING:
    from canary.errors import SerinusError
    from canary.rollout import Event
    from controlplane.ports import Stored
    from controlplane.readmodel.rollout_view import RolloutView


AGAIN = 0.5
"""Seconds between two looks; a rollout's process writes down what it sees once a second, and events at once."""


@dataclass(frozen=True, slots=True)
class StoredRollout(RolloutRecord):
    """A rollout of this machine."""

    name: str
    folder: Path
    events: "Sequence[Event]"
    """Of the attempt that was asked for, in order; never empty."""

    def looked(self, now: float) -> "RolloutView":
        """With what its process saw last, if it still does at `now` (seconds since the epoch)."""
        from controlplane.readmodel.rollout_view import view_of
        from controlplane.view.live import read_live

        return view_of(self.spec, self.rollout, read_live(self.folder, self.name), now)


def named(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which rollout: `target`, its name or its canary.yml, and `state`, where that is not in its usual place."""
    command = click.option(
        "--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs."
    )(command)
    return click.argument("target", shell_complete=complete_names)(command)


def found(target: str, state: Path | None, attempt: int | None = None) -> StoredRollout:
    """The rollout that is meant; leaves with exit code 2 where there is none, 1 where it cannot be read."""
    from canary.errors import SerinusError

    try:
        return asyncio.run(find(target, state, attempt))
    except SerinusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(code_of(error)) from error


def code_of(error: "SerinusError") -> int:
    """The exit code: 2 where what was asked for is at fault, 1 where this machine is."""
    from canary.errors import BadInput, SpecError

    return 2 if isinstance(error, BadInput | SpecError) else 1


async def find(target: str, state: Path | None, attempt: int | None = None) -> StoredRollout:
    """The rollout that is meant. Raises `BadInput` where there is none, and `SpecError` for a file with faults."""
    from controlplane.cli.place import place_of

    name, folder = place_of(target, state)
    return await read(name, folder, attempt)


async def read(name: str, folder: Path, attempt: int | None = None) -> StoredRollout:
    """The rollout of this name in a state folder, as it is now."""
    from canary.errors import BadInput
    from controlplane.adapters.sqlite_store import SqliteStore

    store = SqliteStore(folder / "serinus.db")
    try:
        stored, events = await store.load(name), list(await store.history(name, attempt))
    finally:
        await store.close()
    if stored is None or not events:
        raise BadInput(f"{name} has no such rollout in {folder}.")
    return StoredRollout(stored, name, folder, events)


async def again(here: StoredRollout, say: Callable[[str], None]) -> StoredRollout:
    """The rollout a moment later. A store that cannot be read is told once, and waited for."""
    from canary.errors import Unavailable

    quiet = True
    while True:
        await asyncio.sleep(AGAIN)
        try:
            return await read(here.name, here.folder)
        except Unavailable as error:
            if quiet:
                say(f"{error} It is tried again.")
            quiet = False


async def all_of(folders: "Sequence[Path]", told: Callable[[str], None]) -> "list[Stored]":
    """The newest rollout of every name in these state folders; one that cannot be read is told and hides no other."""
    from canary.errors import SerinusError
    from controlplane.adapters.sqlite_store import SqliteStore

    kept: list[Stored] = []
    for folder in folders:
        store = SqliteStore(folder / "serinus.db")
        try:
            found = [each for name in await store.names() if (each := await store.load(name)) is not None]
            kept += [each for each in found if _is_readable(each, folder, told)]
        except SerinusError as error:
            told(str(error))
        finally:
            await store.close()
    return kept


def _is_readable(stored: "Stored", folder: Path, told: Callable[[str], None]) -> bool:
    """Whether its plan can be understood; where not, that is told."""
    from canary.errors import ExternalError
    from canary.spec.stored import from_text

    try:
        from_text(stored.spec_text)
    except ExternalError as error:
        told(f"{stored.rollout.name} in {folder}: {error}")
        return False
    return True


def folders_in(root: Path) -> list[Path]:
    """The state folders below this one, in order."""
    return sorted(file.parent for file in root.glob("*/serinus.db"))


def complete_names(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Rollouts of this machine, each with its phase; where none begins so, files. Never prints anything."""
    from controlplane.adapters.state_dir import default_state_folder

    state: Path | None = context.params.get("state")
    near = [Path(state)] if state else folders_in(default_state_folder("any").parent)
    kept = asyncio.run(all_of([each for each in near if (each / "serinus.db").is_file()], lambda _sentence: None))
    begin_so = [each.rollout for each in kept if each.rollout.name.startswith(begun)]
    return [CompletionItem(each.name, help=each.phase.value) for each in begin_so] or [
        CompletionItem(begun, type="file")
    ]
