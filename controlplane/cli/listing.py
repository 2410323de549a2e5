"""`serinus list` and `serinus diff`: the rollouts of this machine, and what one of them tries.

Read from their stores, whether they run or not; nothing is asked of them and nothing is changed. A folder that cannot
be read is told and hides no other.
"""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from controlplane.ports import Stored

HEAD = ("NAME", "PHASE", "STAGE", "WEIGHT", "SINCE", "MESSAGE")


@click.command("list")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder with folders of rollouts.")
@click.option("-o", "--output", type=click.Choice(["table", "json", "name"]), default="table", help="How.")
@click.option("--no-headers", is_flag=True, help="Leave the line of headings out.")
def listed(state: Path | None, output: str, no_headers: bool) -> None:
    """List the rollouts on this machine, those that may need somebody first."""
    from canary.serial import event_line
    from controlplane.adapters.state_folder import default_state_folder
    from controlplane.kubectl.output import table

    root = state or default_state_folder("any").parent
    found = asyncio.run(_all(root))
    if output == "json":
        print(json.dumps([event_line(each.rollout.history[-1]) for each in found], ensure_ascii=False))
        return
    if output == "name":
        for each in found:
            click.echo(each.rollout.name)
        return
    if not found:
        click.echo(f"There is no rollout with its state in {root}.", err=True)
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in table(() if no_headers else HEAD, [_row(each) for each in found], width):
        click.echo(line)


@click.command("diff")
@click.argument("target")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder for state and logs.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def diff(target: str, state: Path | None, output: str) -> None:
    """Show what the canary has that stable has not. TARGET is the rollout's name or its canary.yml."""
    from canary.errors import SerinusError
    from canary.spec.stored import from_text
    from controlplane.api.panels_diff import changes
    from controlplane.cli.place import place_of
    from controlplane.kubectl.diff import lines

    try:
        name, folder = place_of(target, state)
        stored = asyncio.run(_load(folder, name))
    except SerinusError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
    if not stored:
        click.echo(f"{name} has no rollout in {folder}.", err=True)
        raise SystemExit(2)
    spec = from_text(stored[0].spec_text).model_dump(mode="json", by_alias=True, exclude_defaults=True)["spec"]
    changed = changes(spec["stable"], spec["canary"])
    if output == "json":
        click.echo(json.dumps(changed, ensure_ascii=False))
        return
    for line in lines(changed):
        click.echo(line)


async def _all(root: Path) -> Sequence["Stored"]:
    """Every rollout below a folder, the most urgent first."""
    from canary.errors import SerinusError
    from controlplane.kubectl.listing import ENDED, URGENT

    found: list[Stored] = []
    for file in sorted(await asyncio.to_thread(lambda: list(root.glob("*/serinus.db")))):
        try:
            found += await _load(file.parent)
        except SerinusError as error:
            click.echo(str(error), err=True)

    def need(stored: "Stored") -> tuple[int, str]:
        phase = stored.rollout.phase.value
        return URGENT.get(phase, 9 if phase in ENDED else 5), stored.rollout.name

    return sorted(found, key=need)


async def _load(folder: Path, name: str = "") -> list["Stored"]:
    """The newest rollout of this name in a state folder, or of every name."""
    from controlplane.adapters.sqlite_store import SqliteStore

    store = SqliteStore(folder / "serinus.db")
    try:
        names = [name] if name else await store.names()
        return [stored for each in names if (stored := await store.load(each)) is not None]
    finally:
        await store.close()


def _row(stored: "Stored") -> Sequence[str]:
    from canary.spec.stored import from_text
    from canary.wording import duration
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.view.format import clean

    rollout = stored.rollout
    stages = len(from_text(stored.spec_text).spec.stages)
    passed = float(int(max(SystemClock().now() - rollout.since, 0.0)))
    stage = f"{min(rollout.stage + 1, stages)}/{stages}"
    return (
        rollout.name,
        rollout.phase.value,
        stage,
        str(rollout.weights),
        duration(passed),
        clean(rollout.message),
    )
