"""`kubectl canary diff`: what the canary has that stable has not, field by field, as the plan says it."""

import json
from collections.abc import Mapping
from typing import Any

import click

from controlplane.kubectl.names import complete_names
from controlplane.kubectl.session import Session, at_cluster
from controlplane.kubernetes.api import Object


@click.command("diff")
@click.argument("name", shell_complete=complete_names)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@at_cluster
async def command(session: Session, name: str, output: str) -> int:
    """Show what the canary has that stable has not. While a rollout is under way, as its own plan has it."""
    from controlplane.kubectl.find import canary
    from controlplane.readmodel.panels_diff import changes
    from controlplane.view.table import differences

    variants = variants_of(await canary(session, name))
    changed = changes(variants["stable"], variants["canary"])
    if output == "json":
        click.echo(json.dumps(changed, ensure_ascii=False))
        return 0
    if not changed:
        click.echo(f"{session.called(name)}: stable and canary are the same, so there is nothing to try.")
        return 0
    for line in differences(changed):
        click.echo(line)
    return 0


def variants_of(object_: Object) -> Mapping[str, Mapping[str, Any]]:
    """Both variants as their owner wrote them; while a rollout is under way, those of the plan that it carries out."""
    from controlplane.kubectl.record import record_of

    found = record_of(object_)
    if isinstance(found, str) or found.rollout.finished:
        spec = object_.get("spec") or {}
    else:
        spec = found.plan.model_dump(mode="json", by_alias=True, exclude_defaults=True)["spec"]
    return {arm: spec.get(arm) or {} for arm in ("stable", "canary")}
