"""`serinus`: the commands by name. Nothing heavy is imported until a command is called.

Entry point of the distribution. Exit codes: 0 done or healthy, 1 failed or rolled back, 2 bad input, 3 timed out.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

import click

from canary.errors import BadInput, SerinusError, SpecError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "demo": ("controlplane.cli.demo", "Watch two rollouts on this machine: one promoted, one rolled back."),
    "run": ("controlplane.cli.run", "Run one rollout on this machine, to its end."),
    "list": ("controlplane.cli.listing:listed", "List the rollouts on this machine."),
    "get": ("controlplane.cli.get", "Show one rollout on this machine; with -w until it ends."),
    "status": ("controlplane.cli.history:status", "Show the state of a rollout on this machine, and why."),
    "why": ("controlplane.cli.history:why", "Explain a rollout's verdicts, and what would change them."),
    "history": ("controlplane.cli.history:history", "Print the full history of a rollout on this machine."),
    "events": ("controlplane.cli.events", "Print the most important events of a rollout on this machine."),
    "diff": ("controlplane.cli.listing:diff", "Show how a rollout's canary differs from stable."),
    "report": ("controlplane.cli.report", "Write a report of a rollout as one page."),
    "dashboard": ("controlplane.cli.dashboard", "Show every rollout on this machine in a browser."),
    "promote": ("controlplane.cli.ask:promote", "Skip the rest of the current stage."),
    "pause": ("controlplane.cli.ask:pause", "Freeze the weights; the rollout still rolls back automatically."),
    "resume": ("controlplane.cli.ask:resume", "Continue after a pause."),
    "approve": ("controlplane.cli.ask:approve", "Approve the next stage."),
    "abort": ("controlplane.cli.ask:abort", "Return all traffic to stable and end the rollout."),
    "controller": (
        "controlplane.cli.controller",
        "Follow a git repository: commits start rollouts, results are commits.",
    ),
    "retry": ("controlplane.cli.controller:retry", "Allow a controller to try a rejected revision again."),
    "doctor": ("controlplane.cli.doctor", "Check whether a cluster is ready for rollouts, and say how to fix it."),
    "stop": ("controlplane.cli.stop", "Stop what a run left serving on this machine."),
    "alerts": ("controlplane.cli.alerts", "Test the alert channels of a canary.yml."),
    "validate": ("controlplane.cli.validate", "Check canary.yml files; every fault with file, line and column."),
    "lint": ("controlplane.cli.validate:lint", "Check canary.yml files for this machine; every fault with its line."),
    "schema": ("controlplane.cli.schema", "Print the JSON Schema of canary.yml, for editors."),
    "plan": ("controlplane.cli.plan", "Forecast a plan: time and requests until each verdict, GPUs, cost."),
    "render": ("controlplane.cli.render", "Print the Kubernetes objects of a stage, without applying them."),
    "simulate": ("controlplane.cli.simulate", "Simulate a rollout with virtual traffic, in about a second."),
    "replay": ("controlplane.cli.replay", "Decide a recorded rollout again, with the same or an edited canary.yml."),
    "eval": ("controlplane.cli.evaluate", "Measure a variant's answers against stable's, on a data set."),
    "judge": ("controlplane.cli.judge", "Judge counts from standard input, one verdict per line."),
    "profile": ("controlplane.cli.profile", "Predict and measure a variant's memory, speed and cost on a GPU."),
    "quantize": ("controlplane.cli.quantize", "Create a quantized checkpoint, or render the Job that does."),
    "pipeline": ("controlplane.cli.pipeline", "Render the workflow from a quantized checkpoint to its canary."),
    "completion": ("controlplane.cli.completion", "Print shell completion, to be sourced."),
    "server": ("controlplane.cli.server", "The sample model server of the demo."),
}
"""Command name to `module` or `module:name` (the name is `command` if it is not said) and its line in `--help`."""


class LazyGroup(click.Group):
    """Lists commands from a table and imports one only when it is called."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS
    """The table above; the kubectl plugin has its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Command names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in self.table:
            return None
        module, _, name = self.table[cmd_name][0].partition(":")
        command = getattr(import_module(module), name or "command")
        if not isinstance(command, click.Command):
            raise TypeError(f"{self.table[cmd_name][0]} is not a click command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; what it does not say itself of an error of ours is said here, and is no traceback."""
        try:
            return super().invoke(ctx)
        except SerinusError as error:
            click.echo(str(error), err=True)
            ctx.exit(2 if isinstance(error, BadInput | SpecError) else 1)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem]":
        """Names from the table with their lines, without importing anything, and the options."""
        from click.shell_completion import CompletionItem

        begun = [
            CompletionItem(name, help=line) for name, (_, line) in self.table.items() if name.startswith(incomplete)
        ]
        return [*begun, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table as help text, without importing anything."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="serinus", message="%(prog)s %(version)s")
def serinus() -> None:
    """Ship model changes safely: a canary gets traffic step by step and loses it the moment the evidence says so."""


def main(argv: list[str] | None = None, **kwargs: Any) -> None:
    """Run `serinus` with these arguments (None: the process's own)."""
    serinus.main(args=argv, prog_name="serinus", **kwargs)


if __name__ == "__main__":
    main()
