"""`kubectl canary`: the verbs by name. Nothing heavy is imported until a verb is called.

Entry point `kubectl-canary`, which kubectl finds on the PATH. Exit codes: 0 done, healthy or promoted, 1 failed or
rolled back, 2 bad input, 3 timed out.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import click

from controlplane.cli.main import LazyGroup
from controlplane.kubectl.session import Where, places

COMMANDS = {
    "list": ("controlplane.kubectl.listing", "List rollouts, those that may need somebody first."),
    "get": ("controlplane.kubectl.get", "Show one rollout; with -w until it ends."),
    "status": ("controlplane.kubectl.reading:status", "Say where a rollout is; with --wait, how it ended."),
    "why": ("controlplane.kubectl.reading:why", "Explain a rollout's verdicts, and what would change them."),
    "history": ("controlplane.kubectl.reading:history", "Print the full history of a rollout."),
    "events": ("controlplane.kubectl.events", "Print the Kubernetes Events about a rollout."),
    "diff": ("controlplane.kubectl.diff", "Show how the canary differs from stable."),
    "report": ("controlplane.kubectl.report", "Write a report of a rollout as one page."),
    "promote": ("controlplane.kubectl.ask:promote", "Skip the rest of the current stage."),
    "pause": ("controlplane.kubectl.ask:pause", "Freeze the weights; the rollout still rolls back automatically."),
    "resume": ("controlplane.kubectl.ask:resume", "Continue after a pause."),
    "approve": ("controlplane.kubectl.ask:approve", "Approve the next stage."),
    "abort": ("controlplane.kubectl.ask:abort", "Return all traffic to stable and end the rollout."),
    "retry": ("controlplane.kubectl.ask:retry", "Begin a rollout that was put back once more."),
    "dashboard": ("controlplane.kubectl.dashboard", "Show rollouts in a browser, live, with your own rights."),
    "lint": ("controlplane.kubectl.lint", "Check canary.yml files for a cluster; every fault with its line."),
    "plan": ("controlplane.cli.plan", "Forecast a plan: time and requests until each verdict, GPUs, cost."),
    "doctor": ("controlplane.cli.doctor", "Check whether a cluster is ready for rollouts, and say how to fix it."),
    "completion": ("controlplane.kubectl.completion", "Print shell completion, to be sourced."),
    "version": ("controlplane.kubectl.version", "Say which version this is, and which ModelCanaries it finds."),
}
"""Command name to `module` or `module:name` (the name is `command` if it is not said) and its line in `--help`."""


class Verbs(LazyGroup):
    """The verbs of the plugin."""

    table: ClassVar[Mapping[str, tuple[str, str]]] = COMMANDS


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@places
@click.pass_context
def canary(context: click.Context, where: Where) -> None:
    """Rollouts of models in a cluster: see where they are and why, and act on them."""
    context.meta["kubectl.where"] = where


def main(argv: list[str] | None = None, **kwargs: Any) -> None:
    """Run `kubectl canary` with these arguments (None: the process's own)."""
    kwargs.setdefault("complete_var", "_KUBECTL_CANARY_COMPLETE")
    canary.main(args=argv, prog_name="kubectl canary", **kwargs)


if __name__ == "__main__":
    main()
