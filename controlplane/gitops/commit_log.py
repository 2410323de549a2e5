"""The history of a repository: commits as values, read from `git log` in a way that no commit can forge.

Used by `bare_repository.py` and `commit_writer.py`. Words that people wrote are made printable here; trailers are as
git finds them.
"""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace

from canary.spec.source import printable
from controlplane.gitops.git import Git

_FORMAT = "%H%x00%an%x00%ct%x00%s%x00%(trailers:only,unfold)%x00%N%x00"
SECTION = "\n\n----\n\n"
"""Between the parts of a note that say different things of one commit."""


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """A commit, for people: which, whose, when, what for."""

    id: str
    author: str
    at: float
    """Seconds since the epoch, as the committer's clock had it."""
    subject: str
    trailers: str = ""
    """The lines such as `Serinus-Retry: chat` at its end."""
    note: str = ""
    """Our note on it, where that was asked for."""

    @property
    def short(self) -> str:
        """Seven digits, as people quote a commit."""
        return self.id[:7]

    def trailer(self, key: str) -> str:
        """The value of a trailer, or nothing."""
        found = re.search(rf"^{re.escape(key)}: (.*)$", self.trailers, re.MULTILINE | re.IGNORECASE)
        return found[1].strip() if found else ""

    def noted(self) -> "Sequence[CommitInfo]":
        """This commit once for each section of the note on it, with that section's trailers."""
        return [replace(self, trailers=section) for section in self.note.split(SECTION) if section]


async def read_log(git: Git, *arguments: str, notes: str = "") -> Sequence[tuple[CommitInfo, Sequence[str]]]:
    """Commits and, where asked for, the paths that they change; with the notes of a ref where one is named."""
    # Nobody can know the mark beforehand and forge a commit in the words of another; NUL is in no word of git's.
    mark = secrets.token_hex(16)
    shown = ("--no-show-signature", f"--notes={notes}" if notes else "--no-notes", "--encoding=UTF-8")
    logged = await git.run("log", *shown, f"--format={mark}{_FORMAT}", *arguments)
    commits = []
    for record in logged.decode("utf-8", "surrogateescape").split(mark)[1:]:
        id_, author, at, subject, trailers, note, paths = record.split("\0", 6)
        facts = CommitInfo(id_, printable(author), float(at), printable(subject), trailers.strip(), note.strip())
        commits.append((facts, [path for path in paths.strip("\0\n").split("\0") if path]))
    return commits
