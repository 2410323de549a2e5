"""`kubectl canary completion`, and the program `kubectl_complete-canary`, which kubectl's own completion calls.

kubectl asks a program of that name on the PATH what may follow `kubectl canary …`; its answer is one word a line, with
a description behind a tab, and a last line `:4` (offer no files).
"""

import sys

import click
from click.shell_completion import ShellComplete

from controlplane.cli.completion import completion_of

PROGRAM, VARIABLE = "kubectl-canary", "_KUBECTL_CANARY_COMPLETE"
NO_FILES = ":4"


def _canary() -> click.Command:
    from controlplane.kubectl.main import canary

    return canary


command = completion_of(
    PROGRAM,
    VARIABLE,
    _canary,
    """Print the completion of a shell, to be sourced: verbs, options, and names of rollouts and namespaces.

    It completes `kubectl-canary`. `kubectl canary` is completed by kubectl's own completion (kubectl completion bash).
    """,
)


def main() -> None:
    """Answer kubectl: what may follow the words given."""
    words = sys.argv[1:] or [""]
    for item in ShellComplete(_canary(), {}, PROGRAM, VARIABLE).get_completions(words[:-1], words[-1]):
        sys.stdout.write(f"{item.value}\t{item.help}\n" if item.help else f"{item.value}\n")
    sys.stdout.write(f"{NO_FILES}\n")
