"""`kubectl canary diff`: what the canary has that stable has not, field by field, as the plan says it."""

from collections.abc import Mapping
from typing import Any

import click

from controlplane.cli.printing import print_differences
from controlplane.kubectl.names import complete_names
from controlplane.kubectl.session import KubectlSession, at_cluster
from controlplane.kubernetes.api import Object


@click.command("diff")
@click.argument("name", shell_complete=complete_names)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", help="What to print.")
@at_cluster
async def command(session: KubectlSession, name: str, output: str) -> int:
    """Show how the canary differs from stable. While a rollout is under way, as its own plan has it."""
    from controlplane.kubectl.find import canary

    print_differences(variants_of(await canary(session, name)), session.called(name), output)
    return 0


def variants_of(object_: Object) -> Mapping[str, Mapping[str, Any]]:
    """Both variants as their owner wrote them; while a rollout is under way, those of the plan that it carries out."""
    from controlplane.kubectl.record import record_of

    found = record_of(object_)
    if not isinstance(found, str) and not found.rollout.finished:
        return found.variants
    spec = object_.get("spec") or {}
    return {arm: spec.get(arm) or {} for arm in ("stable", "canary")}
