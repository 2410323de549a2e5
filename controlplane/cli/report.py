"""`serinus report`: one rollout of this machine on one page, to keep, to send or to print.

The page itself is `report_page.py`, which a cluster's rollouts have too.
"""

from pathlib import Path

import click

from controlplane.cli.report_page import Subject, hand_over, report_options
from controlplane.cli.stored import found, named


@click.command("report")
@named
@report_options
def command(target: str, state: Path | None, output: str, file: Path | None) -> None:
    """Write a report of a rollout as one page. TARGET is its name or its canary.yml."""
    from canary.errors import BadInput
    from controlplane.adapters.system_clock import SystemClock
    from controlplane.view.live import read_live

    here = found(target, state)
    now = here.until(SystemClock().now())
    subject = Subject(
        place=f"on this machine in {here.folder}",
        stored=here.stored,
        spec=here.spec,
        seen=here.looked(now).seen,
        live=read_live(here.folder, here.name),
        variants=here.variants,
        events=here.events,
        now=now,
    )
    try:
        hand_over(subject, here.name, output, file)
    except BadInput as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from error
