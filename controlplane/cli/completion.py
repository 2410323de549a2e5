"""`completion` of `serinus` and of `kubectl-canary`: what a shell needs to complete their words."""

from collections.abc import Callable

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "serinus", "_SERINUS_COMPLETE"
HOW = {
    "bash": "source <({program} completion bash)",
    "zsh": "source <({program} completion zsh)",
    "fish": "{program} completion fish | source",
}


def completion_of(program: str, variable: str, commands: Callable[[], click.Command], words: str) -> click.Command:
    """The command that prints a program's completion. `commands` imports what is completed; `words` are its help."""

    @click.command("completion", help=words)
    @click.argument("shell", type=click.Choice(list(HOW)))
    def command(shell: str) -> None:
        made = get_completion_class(shell)
        if made is None:
            raise click.UsageError(f"Nothing is known of {shell}.")
        click.echo(f"# {HOW[shell].format(program=program)}")
        click.echo(made(commands(), {}, program, variable).source())

    return command


def _serinus() -> click.Command:
    from controlplane.cli.main import serinus

    return serinus


command = completion_of(
    PROGRAM,
    VARIABLE,
    _serinus,
    "Print the completion of a shell, to be sourced: commands, options, and names of rollouts.",
)
