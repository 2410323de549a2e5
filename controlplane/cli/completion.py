"""`serinus completion`: what a shell needs to complete `serinus`."""

import click
from click.shell_completion import get_completion_class

PROGRAM, VARIABLE = "serinus", "_SERINUS_COMPLETE"
HOW = {
    "bash": "source <(serinus completion bash)",
    "zsh": "source <(serinus completion zsh)",
    "fish": "serinus completion fish | source",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(HOW)))
def command(shell: str) -> None:
    """Print the completion of a shell, to be sourced: commands, options, and names of rollouts."""
    from controlplane.cli.main import serinus

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"Nothing is known of {shell}.")
    click.echo(f"# {HOW[shell]}")
    click.echo(made(serinus, {}, PROGRAM, VARIABLE).source())
