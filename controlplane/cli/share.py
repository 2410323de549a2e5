"""A share of the traffic as an option: `75%` or `0.75`, and the shares of a plan to complete it with.

Used by `promote --to`, of this machine and of kubectl. Which shares a rollout can go to the machine decides; offering
them is a help at the tab key and no check.
"""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from canary.rollout import Rollout
    from canary.spec.models import CanarySpec


class Share(click.ParamType[float]):
    """A share as canary.yml writes it."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The share, from 0 to 1; a usage error for anything else."""
        from canary.spec.units import UnreadableNumber, share

        try:
            return share(value)
        except UnreadableNumber as error:
            self.fail(str(error), param, ctx)


SHARE = Share()


def later_shares(spec: "CanarySpec", rollout: "Rollout", begun: str) -> list[CompletionItem]:
    """The shares of the stages that are left, as canary.yml writes them."""
    from canary.spec.units import show_share

    if rollout.finished:
        return []
    shares = [show_share(stage.traffic) for stage in spec.stages[rollout.stage + 1 :]]
    return [CompletionItem(each) for each in shares if each.startswith(begun)]


def rollout_meant(context: click.Context, argument: str) -> str:
    """The rollout that the words before name; empty where none does.

    Click gives up on a line that ends in an option without its value, and leaves the words it has not dealt out.
    """
    return context.params.get(argument) or next(iter(context.args), "")


def complete_shares(context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Those of the rollout that the words before name; none where it cannot be read. Never prints anything."""
    from canary.errors import SerinusError
    from controlplane.cli.stored import find

    target, state = rollout_meant(context, "target"), context.params.get("state")
    if not target:
        return []
    try:
        here = asyncio.run(find(target, Path(state) if state else None))
    except SerinusError:
        return []
    return later_shares(here.spec, here.rollout, begun)
