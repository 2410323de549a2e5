"""How Serinus writes to a repository and what it reports to the host: what an operator chose, as one value.

Made by `controlplane.cli.git_options` from options, or by whoever reads the same choices from a resource in a cluster.
Plain data: files are named here and read elsewhere, at each use. Nothing in a repository can change any of it.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Write = Literal["direct", "pull-request", "auto"]
Kind = Literal["github", "gitlab", "gitea"]


@dataclass(frozen=True, slots=True)
class GitSettings:
    """The operator's choices."""

    write: Write = "auto"
    """`direct` pushes to the branch, `pull-request` proposes, `auto` proposes where the branch refuses the push."""
    host: Kind | None = None
    """What the host is; None goes by the repository's address and knows the public hosts only."""
    api: str = ""
    """Where its API answers; empty derives that from the repository's address."""
    api_token: Path | None = None
    """File with the token for the API; None takes the one for the repository."""
    sign_key: Path | None = None
    """File with the private ssh key that signs our commits; None leaves them unsigned."""
    author: str = ""
    """Who our commits are by, `Name <mail@example.com>`; empty for Serinus itself."""
    dashboard: str = ""
    """Where the dashboard answers, for links; empty where there is none."""
    statuses: bool = True
    """Whether commits get a status, and the pull request that brought a canary a comment."""
