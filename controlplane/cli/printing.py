"""What the verbs that show a rollout print, the same for `serinus` and for `kubectl canary`.

Each is handed what its program found, in a state folder or in a cluster; nothing is read here.
"""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from canary.rollout import Event
    from controlplane.readmodel.record import RolloutRecord


def print_history(events: "Iterable[Event]", output: str) -> None:
    """Everything that happened, a line an event; `json`: the lines of docs/contracts.md."""
    from canary.serial import event_line
    from controlplane.view.marks import marks_for
    from controlplane.view.plain import event_text

    marks = marks_for(sys.stdout.encoding)
    for event in events:
        click.echo(json.dumps(event_line(event), ensure_ascii=False) if output == "json" else event_text(event, marks))


def print_status(record: "RolloutRecord", output: str) -> None:
    """Where it is; `json`: its last event."""
    from canary.serial import event_line
    from controlplane.view.explain import status_lines

    if output == "json":
        click.echo(json.dumps(event_line(record.rollout.history[-1]), ensure_ascii=False))
        return
    for line in status_lines(record.rollout):
        click.echo(line)


def print_why(record: "RolloutRecord") -> None:
    """Its present verdicts, and the smallest change that would flip each."""
    from controlplane.view.explain import why_lines

    for line in why_lines(record.spec, record.rollout):
        click.echo(line)


def print_differences(variants: Mapping[str, Mapping[str, Any]], name: str, output: str) -> None:
    """What the canary has that stable has not; `name`: what the rollout is called, for where there is nothing."""
    from controlplane.readmodel.panels_diff import changes
    from controlplane.view.table import differences

    changed = changes(variants["stable"], variants["canary"])
    if output == "json":
        click.echo(json.dumps(changed, ensure_ascii=False))
        return
    if not changed:
        click.echo(f"{name}: stable and canary are the same, so there is nothing to try.")
    for line in differences(changed):
        click.echo(line)
