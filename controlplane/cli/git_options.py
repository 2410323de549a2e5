"""The options by which Serinus writes to a repository and reports to its host, for every command that follows one.

A decorator adds them and hands the command one value, `git_settings`. What they do is in `controlplane.gitops`.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from controlplane.gitops.hosts.settings import GitSettings

F = TypeVar("F", bound=Callable[..., Any])
_FILE = click.Path(path_type=Path, dir_okay=False)


def git_options(command: F) -> F:
    """Add the options; the command gets them as one argument, `git_settings`."""

    @click.option(
        "--write",
        type=click.Choice(["direct", "pull-request", "auto"]),
        default="auto",
        show_default=True,
        help="Push to the branch, propose, or propose where the branch is protected.",
    )
    @click.option(
        "--host",
        type=click.Choice(["github", "gitlab", "gitea"]),
        help="What the host is (gitea: Forgejo too); public ones are known by their address.",
    )
    @click.option("--api", default="", metavar="URL", help="Where the host's API answers, if not where it usually is.")
    @click.option("--api-token-file", "api_token", type=_FILE, help="File with a token for the API; else --token-file.")
    @click.option("--sign-key", type=_FILE, help="File with the private ssh key that signs our commits.")
    @click.option("--author", default="", metavar="'NAME <MAIL>'", help="Who our commits are by.")
    @click.option(
        "--dashboard-url",
        "dashboard",
        default="",
        envvar="SERINUS_URL",
        metavar="URL",
        help="Where the dashboard answers, for links; else $SERINUS_URL.",
    )
    @click.option(
        "--statuses/--no-statuses",
        default=True,
        help="Commit statuses, and a comment on the pull request that brought a canary.",
    )
    @functools.wraps(command)
    def with_options(*arguments: Any, **options: Any) -> Any:
        chosen = GitSettings(**{field: options.pop(field) for field in GitSettings.__dataclass_fields__})
        return command(*arguments, git_settings=chosen, **options)

    return with_options  # type: ignore[return-value]  # the same command with more options
