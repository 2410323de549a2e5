"""`serinus events`: what is worth knowing of a rollout on this machine, as a cluster would tell it in its Events.

The same entries, by the same rule, as the operator makes Kubernetes Events of; `serinus history` has all of them.
"""

import json
from pathlib import Path

import click

from controlplane.cli.stored import found, named

HEAD = ("LAST SEEN", "TYPE", "REASON", "MESSAGE")


@click.command("events")
@named
@click.option("--attempt", type=click.IntRange(min=1), help="An earlier rollout of this name; the newest by default.")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="json: one event a line.")
@click.option("--no-headers", is_flag=True, help="Omit the header line.")
def command(target: str, state: Path | None, attempt: int | None, output: str, no_headers: bool) -> None:
    """Print the most important events of a rollout, oldest first. TARGET is its name or its canary.yml."""
    from canary.format import duration
    from canary.serial import event_line
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.operator.events import notable
    from controlplane.view.table import table, width_here
    from controlplane.view.text import clean

    told = notable(found(target, state, attempt).events)
    if output == "json":
        for event, _ in told:
            click.echo(json.dumps(event_line(event), ensure_ascii=False))
        return
    now = SystemClock().now()
    rows = [
        (duration(float(int(max(now - event.at, 0.0)))), kind, event.reason.value, clean(event.message))
        for event, kind in told
    ]
    for line in table(() if no_headers else HEAD, rows, width_here()):
        click.echo(line)
