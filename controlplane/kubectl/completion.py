"""`kubectl canary completion`, and the program `kubectl_complete-canary`, which kubectl's own completion calls.

kubectl asks a program of that name on the PATH what may follow `kubectl canary …`; its answer is one word a line, with
a description behind a tab, and a last line `:4` (offer no files).
"""

import sys

import click
from click.shell_completion import ShellComplete, get_completion_class

PROGRAM, VARIABLE = "kubectl-canary", "_KUBECTL_CANARY_COMPLETE"
NO_FILES = ":4"
HOW = {
    "bash": "source <(kubectl-canary completion bash)",
    "zsh": "source <(kubectl-canary completion zsh)",
    "fish": "kubectl-canary completion fish | source",
}


@click.command("completion")
@click.argument("shell", type=click.Choice(list(HOW)))
def command(shell: str) -> None:
    """Print the completion of a shell, to be sourced: verbs, options, and names of rollouts and namespaces.

    It completes `kubectl-canary`. `kubectl canary` is completed by kubectl's own completion (kubectl completion bash).
    """
    from controlplane.kubectl.main import canary

    made = get_completion_class(shell)
    if made is None:
        raise click.UsageError(f"Nothing is known of {shell}.")
    click.echo(f"# {HOW[shell]}")
    click.echo(made(canary, {}, PROGRAM, VARIABLE).source())


def main() -> None:
    """Answer kubectl: what may follow the words given."""
    from controlplane.kubectl.main import canary

    words = sys.argv[1:] or [""]
    for item in ShellComplete(canary, {}, PROGRAM, VARIABLE).get_completions(words[:-1], words[-1]):
        sys.stdout.write(f"{item.value}\t{item.help}\n" if item.help else f"{item.value}\n")
    sys.stdout.write(f"{NO_FILES}\n")
