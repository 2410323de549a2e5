"""`serinus list` and `serinus diff`: the rollouts of this machine, and what one of them tries.

Read from their stores, whether they run or not; nothing is asked of them and nothing is changed. A folder that cannot
be read is told and hides no other.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from controlplane.cli.printing import print_differences
from controlplane.cli.shape import OutputShape, show
from controlplane.cli.stored import all_of, folders_in, found, named

if TYPE_CHECKING:
    from controlplane.ports import Stored

HEAD = ("NAME", "PHASE", "STAGE", "WEIGHT", "SINCE")
WIDE = ("STABLE", "CANARY", "ATTEMPT", "REVISION")


@click.command("list")
@click.option("--state", type=click.Path(path_type=Path, file_okay=False), help="Folder with folders of rollouts.")
@click.option("-o", "--output", type=OutputShape("table", "wide", "json", "yaml", "name"), default="table", help="How.")
@click.option("--no-headers", is_flag=True, help="Omit the header line.")
def listed(state: Path | None, output: str, no_headers: bool) -> None:
    """List the rollouts on this machine, those that may need attention first."""
    from canary.serial import event_line
    from controlplane.adapters.state_dir import default_state_folder
    from controlplane.view.table import table, width_here

    root = state or default_state_folder("any").parent
    kept = asyncio.run(_all(root))
    if output == "name":
        for each in kept:
            click.echo(each.rollout.name)
        return
    if output not in {"table", "wide"}:
        show([event_line(each.rollout.history[-1]) for each in kept], output)
        return
    if not kept:
        click.echo(f"There is no rollout with its state in {root}.", err=True)
        return
    wide = output == "wide"
    head = () if no_headers else (*HEAD, *(WIDE if wide else ()), "MESSAGE")
    for line in table(head, [_row(each, wide=wide) for each in kept], width_here()):
        click.echo(line)


@click.command("diff")
@named
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def diff(target: str, state: Path | None, output: str) -> None:
    """Show how the canary differs from stable. TARGET is the rollout's name or its canary.yml."""
    here = found(target, state)
    print_differences(here.variants, here.name, output)


async def _all(root: Path) -> Sequence["Stored"]:
    """Every rollout below a folder, the most urgent first."""
    from controlplane.view.urgency import urgency

    kept = await all_of(await asyncio.to_thread(folders_in, root), lambda sentence: click.echo(sentence, err=True))
    return sorted(kept, key=lambda each: (urgency(each.rollout.phase.value), each.rollout.name))


def _row(stored: "Stored", *, wide: bool) -> Sequence[str]:
    from canary.format import duration
    from canary.spec.stored import from_text
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.view.text import clean

    rollout = stored.rollout
    spec = from_text(stored.spec_text).spec
    stages = len(spec.stages)
    passed = float(int(max(SystemClock().now() - rollout.since, 0.0)))
    stage = f"{min(rollout.stage + 1, stages)}/{stages}"
    return (
        rollout.name,
        rollout.phase.value,
        stage,
        str(rollout.weights),
        duration(passed),
        *((spec.stable.name, spec.canary.name, str(rollout.attempt), rollout.revision[:12]) if wide else ()),
        clean(rollout.message),
    )
