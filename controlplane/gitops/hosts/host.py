"""The port of a git host: what Serinus asks of GitHub, GitLab, Gitea and Forgejo, whatever each of them calls it.

Implemented by the three adapters beside it; used by `controlplane.gitops` on one machine and by whoever follows git
sources in a cluster. Plain values in and out. Every method is one or a few requests and keeps nothing; it raises
`HostFailed`, whose `why` says what to do about it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from canary.errors import ExternalError

State = Literal["pending", "success", "failure", "error"]
LONGEST_TEXT = 140
"""Characters of a status; GitHub refuses longer ones."""
LONGEST_CONTEXT = 200
"""Characters of a status's name."""


class HostFailureKind(StrEnum):
    """Kinds of failure, by what to do about them."""

    DOWN = "down"
    """It cannot be reached or does not answer: try again."""
    BUSY = "busy"
    """It asks to wait."""
    TOKEN = "token"  # noqa: S105 - the name of a failure
    """The token is wrong or has expired: somebody has to renew it, and it is read again at each use."""
    FORBIDDEN = "forbidden"
    """The token is good and may not do this."""
    MISSING = "missing"
    """There is no such thing, or it may not be seen."""
    INVALID = "invalid"
    """It understood and will not: the commit is unknown, the branch has no changes, there is one already."""


REFUSED = frozenset({HostFailureKind.FORBIDDEN, HostFailureKind.MISSING, HostFailureKind.INVALID})
"""Failures that concern what was asked, and not the host as a whole."""


class HostFailed(ExternalError):  # noqa: N818 - reads as what happened
    """A request failed. `str()` is a clause that begins with the host's name and holds no secret."""

    def __init__(self, why: HostFailureKind, clause: str, wait: float | None = None) -> None:
        """`wait`: seconds that the host asks to be left alone."""
        super().__init__(clause)
        self.why = why
        self.wait = wait


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A proposed change, as it is now."""

    number: int
    url: str
    """For people."""
    state: Literal["open", "merged", "closed"]
    """`closed` is without having been merged."""
    head: str
    """The branch that it proposes."""
    base: str
    """The branch that it is for."""
    merged_as: str = ""
    """The commit by which it came into that branch, where the host says so."""


@dataclass(frozen=True, slots=True)
class Comment:
    """What somebody said below a pull request."""

    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """What is said of a commit in one line."""

    context: str
    """Its name, `serinus/chat`; of two with one name on one commit the newer counts."""
    state: State
    text: str
    """At most `LONGEST_TEXT` characters."""
    url: str = ""
    """Where more is to be seen."""


class Host(Protocol):
    """One repository on one host."""

    @property
    def name(self) -> str:
        """As people call the host: `GitHub`."""
        ...

    @property
    def pull_request(self) -> str:
        """What it calls one: `pull request` or `merge request`."""
        ...

    async def find(self, branch: str, base: str) -> PullRequest | None:
        """The newest one from a branch into another, whatever has become of it."""
        ...

    async def open(self, branch: str, base: str, title: str, text: str) -> PullRequest:
        """Propose a branch; `text` is Markdown. Fails with `INVALID` where one is open already."""
        ...

    async def see(self, number: int) -> PullRequest:
        """How one is now."""
        ...

    async def close(self, number: int) -> None:
        """Close one without merging it."""
        ...

    async def comments(self, number: int) -> Sequence[Comment]:
        """What stands below one, oldest first."""
        ...

    async def say(self, number: int, text: str, comment: int | None = None) -> int:
        """Say something below one, or change what was said; answers the comment's id."""
        ...

    async def brought_by(self, commit: str) -> Sequence[PullRequest]:
        """The merged ones that brought a commit; none where the host knows of none."""
        ...

    async def set_status(self, commit: str, status: Status) -> None:
        """Put a status on a commit; the same one twice is no failure."""
        ...
