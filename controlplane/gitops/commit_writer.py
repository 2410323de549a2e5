"""Commits and notes of ours: made from objects without a work tree, pushed as compare-and-swap.

The writing half of `bare_repository.py`, which mixes it in. Whatever somebody else pushes in between is read again and
kept.
"""

import asyncio
import random
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from canary.errors import BadInput, Conflict, ExternalError
from canary.spec.source import printable, quoted
from controlplane.gitops.commit_log import SECTION, CommitInfo
from controlplane.gitops.git import Git, GitFailed, GitFailureKind, Limits
from controlplane.gitops.remote import Remote

NOTES = "refs/notes/serinus"
TRIES = 5
"""Times that a commit of ours is made anew when somebody else pushes first, before it is left for later."""
_AUTHOR = re.compile(r"(?P<name>[^<>]*[^<>\s])\s*<(?P<mail>[^<>\s@]+@[^<>\s@]+)>")


@dataclass(frozen=True, slots=True)
class CommitAuthor:
    """Who our commits are by."""

    name: str = "Serinus"
    email: str = "serinus@localhost"
    key: Path | None = None
    """File with the private ssh key that signs them; None leaves them unsigned."""


def parse_author(author: str, key: Path | None) -> CommitAuthor:
    """Who is meant by `Name <mail@example.com>`; Serinus itself by nothing. Raises `BadInput`."""
    if key is not None and not key.is_file():
        raise BadInput(f"The file for the key, {printable(str(key))}, does not exist; nothing was started.")
    if not author:
        return CommitAuthor(key=key)
    found = _AUTHOR.fullmatch(author)
    if found is None or not author.isprintable():
        raise BadInput(f"{quoted(author)} is no author; expected 'Name <mail@example.com>'. Nothing was started.")
    return CommitAuthor(found["name"], found["mail"], key)


class ProtectedBranch(ExternalError):  # noqa: N818 - what the branch is
    """The host does not let us push to the branch."""


class RepositoryReader(Protocol):
    """What writing needs to know of the repository."""

    async def fetch(self) -> str | None:
        """The branch's newest commit."""
        ...

    async def recent(self, commit: str) -> Sequence[CommitInfo]:
        """The newest commits, newest first."""
        ...

    async def file(self, commit: str, path: str, *, limit: int) -> bytes | None:
        """The content of an ordinary file in a commit."""
        ...


class CommitWriter:
    """Pushes to one branch of one repository."""

    def __init__(self, git: Git, reader: RepositoryReader, identity: CommitAuthor) -> None:
        self._git = git
        self._reader = reader
        self._identity = identity

    @property
    def remote(self) -> Remote:
        """Where it pushes to."""
        return self._git.remote

    @property
    def limits(self) -> Limits:
        """What it may cost."""
        return self._git.limits

    async def commit(
        self, path: str, change: Callable[[bytes], bytes | None], message: str, mark: Callable[[CommitInfo], bool]
    ) -> str | None:
        """Push a commit that changes one file; answers its id, or the one that is there already (`mark` knows it).

        `change` gets the file as it is on the branch and answers it changed; None, like a file that is gone, means that
        there is nothing to write any more, and so is the answer. Raises `ExternalError`, and `Conflict` when others
        kept pushing first, `ProtectedBranch` when the host lets nobody push to the branch.
        """
        for number in range(TRIES):
            head = await self._reader.fetch()
            if head is None:
                return None
            if done := next((facts for facts in await self._reader.recent(head) if mark(facts)), None):
                return done.id
            before = await self._reader.file(head, path, limit=self.limits.output)
            after = change(before) if before is not None else None
            if after is None or after == before:
                return None
            try:
                return await self.push(head, await self.make(head, path, after, message), self.remote.ref)
            except GitFailed as error:
                if error.why is not GitFailureKind.MOVED:
                    kind = ProtectedBranch if error.why is GitFailureKind.REFUSED else ExternalError
                    raise kind(f"The commit for {path} is not in {self.remote.url} yet: {error}.") from error
            await asyncio.sleep(random.uniform(0, 0.05 * 2**number))  # noqa: S311 - spreads writers, hides nothing
        raise Conflict(f"The commit for {path} is not in {self.remote.url} yet: others pushed first {TRIES} times.")

    async def note(self, commit: str, text: str) -> None:
        """Put a note on a commit, under `refs/notes/serinus`, in place of the part of it with the same first line."""
        try:
            for _ in range(TRIES):
                old = await self._remote_notes()
                shown = await self._shown_note(commit)
                whole = _with_part(shown, text.strip())
                if shown == whole:
                    return
                if old:
                    await self._git.run("update-ref", NOTES, old)
                await self._git.run(
                    "notes",
                    f"--ref={NOTES}",
                    "add",
                    "--force",
                    "--file=-",
                    commit,
                    stdin=whole.encode(),
                    variables=self._author(),
                )
                new = (await self._git.run("rev-parse", "--verify", NOTES)).decode().strip()
                try:
                    await self.push(old, new, NOTES)
                except GitFailed as error:
                    if error.why is not GitFailureKind.MOVED:
                        raise
                else:
                    return
        except GitFailed as error:
            raise ExternalError(f"The note on {commit[:7]} is not in {self.remote.url} yet: {error}.") from error
        raise Conflict(f"The note on {commit[:7]} is not in {self.remote.url} yet: others pushed first {TRIES} times.")

    async def fetch_notes(self) -> None:
        """Have the remote's notes here. Raises `ExternalError`."""
        try:
            await self._remote_notes()
        except GitFailed as error:
            raise ExternalError(f"The notes of {self.remote.url} cannot be read: {error}.") from error

    async def _remote_notes(self) -> str:
        """The newest notes of the remote, fetched; nothing where there are none."""
        listed = await self._git.run("ls-remote", "--refs", "--end-of-options", self.remote.url, NOTES)
        if not listed:
            await self._git.run("update-ref", "-d", NOTES)
            return ""
        flags = ("--no-tags", "--no-write-fetch-head", "--quiet")
        await self._git.run("fetch", *flags, "--end-of-options", self.remote.url, f"+{NOTES}:{NOTES}", limited=True)
        return listed.decode().split("\t", 1)[0]

    async def _shown_note(self, commit: str) -> str:
        try:
            return (await self._git.run("notes", f"--ref={NOTES}", "show", commit)).decode("utf-8", "replace").strip()
        except GitFailed:
            return ""

    async def make(self, parent: str, path: str, content: bytes, message: str) -> str:
        """A commit object with one file changed; on no branch yet."""
        blob = (await self._git.run("hash-object", "-w", "--stdin", "--no-filters", stdin=content)).decode().strip()
        with tempfile.TemporaryDirectory(prefix="index-", dir=self._git.folder.parent) as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await self._git.run("read-tree", parent, variables=index)
            entry = f"100644 {blob}\t{path}\n".encode("utf-8", "surrogateescape")
            await self._git.run("update-index", "--index-info", stdin=entry, variables=index)
            tree = (await self._git.run("write-tree", variables=index)).decode().strip()
        return await self._signed(tree, ("-p", parent), message)

    async def try_to_sign(self) -> None:
        """Make a commit of nothing, in a store that there is already. Raises `GitFailed` where the key cannot sign."""
        tree = (await self._git.run("hash-object", "-w", "-t", "tree", "--stdin")).decode().strip()
        await self._signed(tree, (), "Try the key\n")

    async def _signed(self, tree: str, parents: Sequence[str], message: str) -> str:
        """A commit object, signed where there is a key."""
        key = self._identity.key
        settings = ("-c", "gpg.format=ssh", "-c", f"user.signingKey={key}") if key else ()
        sign = ("--gpg-sign",) if key else ()
        made = await self._git.run(
            *settings,
            "commit-tree",
            *sign,
            tree,
            *parents,
            "-F",
            "-",
            stdin=message.encode(),
            variables=self._author(),
        )
        return made.decode().strip()

    async def push(self, old: str, new: str, ref: str) -> str:
        """Let a ref of the remote name a new commit (empty: no more) if it still names the old. Raises `GitFailed`."""
        flags = ("--porcelain", "--no-verify", "--no-follow-tags", "--no-recurse-submodules", "--no-signed")
        await self._git.run(
            "push", *flags, f"--force-with-lease={ref}:{old}", "--end-of-options", self.remote.url, f"{new}:{ref}"
        )
        return new

    def _author(self) -> Mapping[str, str]:
        name, email = self._identity.name, self._identity.email
        return {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", name), ("EMAIL", email))
        }


def _with_part(note: str, part: str) -> str:
    """A note with one part replaced or added; a part is known by its first line."""
    first = part.partition("\n")[0]
    parts = note.split(SECTION) if note else []
    others = [each for each in parts if each.partition("\n")[0] != first]
    return note if part in parts else SECTION.join([*others, part])
