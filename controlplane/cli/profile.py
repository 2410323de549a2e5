"""`serinus profile`: what a quantized variant needs, does and costs, predicted or measured.

A table of sub commands; each is a module of `controlplane.profiles.commands`, imported when it is called, so that
`predict` starts quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path

    from canary.spec.models import CanarySpec

COMMANDS = {
    "predict": "Predict latency, memory and cost of one variant on one GPU type.",
    "fit": "Find what fits where, how many replicas carry a rate, and the cheapest plan.",
    "compare": "Put quantizations or GPUs side by side, as a table and a chart.",
    "measure": "Measure an endpoint under load and save a profile that calibrates predictions.",
    "args": "Print the vLLM arguments of a variant, with a reason for each.",
    "fingerprint": "Check that the canary is the model that was meant.",
    "catalogue": "List the GPUs, models and quantizations that can be named.",
    "validate": "Hold the predictor against measurements in a CSV file.",
}
"""Sub command (and its module) to its line in `--help`."""


class LazyProfile(click.Group):
    """Imports a sub command only when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The sub command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        found = import_module(f"controlplane.profiles.commands.{cmd_name}").command
        if not isinstance(found, click.Command):
            raise TypeError(f"controlplane.profiles.commands.{cmd_name}.command is not a click command")
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table as help text, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyProfile)
@click.pass_context
def command(context: click.Context, /) -> None:
    """Predict and measure a variant's memory, speed and cost on a GPU."""
    context.obj = read_plan


def read_plan(path: Path) -> CanarySpec:
    """The plan of a canary.yml, for the sub commands that look at both variants. A faulty file ends with exit code
    2.
    """
    from canary.errors import BadInput, SpecError
    from controlplane.profiles.commands.options import ProfileFault
    from controlplane.spec_files import load

    try:
        return load(path).canary.spec
    except (SpecError, BadInput) as wrong:
        raise ProfileFault(str(wrong)) from None
