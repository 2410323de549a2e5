"""`serinus history`, `serinus status` and `serinus why`: what happened to a rollout here, where it is, and why.

Read from its store, whether it runs or not; nothing is asked of it.
"""

import asyncio
from pathlib import Path

import click

from controlplane.cli.printing import print_history, print_status, print_why
from controlplane.cli.seconds import SECONDS
from controlplane.cli.shape import OutputShape
from controlplane.cli.signals import INTERRUPTED, waiting_for
from controlplane.cli.stored import StoredRollout, again, found, named

CODES = {"promoted": 0, None: 0}
TIMED_OUT = 3


@click.command()
@named
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
def history(target: str, state: Path | None, attempt: int | None, output: str) -> None:
    """Print the full history of a rollout. TARGET is its name or its canary.yml."""
    print_history(found(target, state, attempt).events, output)


@click.command()
@named
@click.option("--wait", is_flag=True, help="Wait until the rollout has ended.")
@click.option("--timeout", type=SECONDS, metavar="TIME", help="With --wait: for so long at most, such as 10m.")
@click.option("-o", "--output", type=OutputShape("text", "json"), default="text", help="json: its last event.")
def status(target: str, state: Path | None, wait: bool, timeout: float | None, output: str) -> None:
    """Show a rollout's state, and why; with --wait, how it ended. TARGET is its name or its canary.yml.

    Exit codes: 0 under way or promoted, 1 rolled back or failed, 2 there is no such rollout, 3 timed out, 130 after
    Ctrl-C, which touches nothing.
    """
    from canary.format import duration

    here = found(target, state)
    if wait:
        try:
            here = asyncio.run(_ended(here, timeout))
        except KeyboardInterrupt as interrupt:
            raise SystemExit(INTERRUPTED) from interrupt
    late = wait and not here.rollout.finished
    if late:
        click.echo(f"{here.name} has not ended within {duration(timeout or 0.0)}.", err=True)
    print_status(here, output)
    raise SystemExit(TIMED_OUT if late else CODES.get(here.rollout.result, 1))


@click.command()
@named
def why(target: str, state: Path | None) -> None:
    """Explain a rollout's current verdicts, and the smallest change that would change each.

    TARGET is its name or its canary.yml.
    """
    print_why(found(target, state))


async def _ended(here: StoredRollout, patience: float | None) -> StoredRollout:
    """The rollout at its end, or as it is when so many seconds have passed (None: for ever)."""
    from contextlib import suppress

    with suppress(TimeoutError), waiting_for(here.name):
        async with asyncio.timeout(patience):
            while not here.over:
                here = await again(here, lambda sentence: click.echo(sentence, err=True))
    return here
