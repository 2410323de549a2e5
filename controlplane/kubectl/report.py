"""`kubectl canary report`: one rollout of a cluster on one page, to keep, to send or to print.

The page itself is `controlplane.cli.report_page`, which a laptop's rollouts have too.
"""

import asyncio
from pathlib import Path

import click

from controlplane.cli.report_page import Subject, hand_over, report_options
from controlplane.kubectl.names import complete_names
from controlplane.kubectl.session import KubectlSession, at_cluster


@click.command("report")
@click.argument("name", shell_complete=complete_names)
@report_options
@at_cluster
async def command(session: KubectlSession, name: str, output: str, file: Path | None) -> int:
    """Write a report of a rollout as one page."""
    from controlplane.kubectl.diff import variants_of
    from controlplane.kubectl.record import events_of, record

    found = await record(session, name)
    subject = Subject(
        place=f"namespace {found.object_['metadata']['namespace']}",
        stored=found.stored,
        spec=found.spec,
        seen=found.seen(),
        live=None,
        variants=variants_of(found.object_),
        events=await events_of(session, found),
        now=found.until(session.now()),
    )
    await asyncio.to_thread(hand_over, subject, session.called(found.rollout.name), output, file)
    return 0
