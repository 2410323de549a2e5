"""Branches of ours on which a commit waits for somebody to merge it: made, kept fresh, taken away.

The part of `bare_repository.py` that `pull_requests.py` uses. A branch that somebody else went on from is theirs and is
left alone.
"""

from collections.abc import Callable

from canary.errors import ExternalError
from controlplane.gitops.commit_log import CommitInfo, read_log
from controlplane.gitops.commit_writer import CommitWriter, RepositoryReader
from controlplane.gitops.git import Git, GitFailed, GitFailureKind

TIP = "refs/serinus/proposed"
"""Where the store keeps the branch that is looked at."""


class Branches:
    """The branches of one repository."""

    def __init__(self, git: Git, reader: RepositoryReader, writer: CommitWriter) -> None:
        self._git = git
        self._reader = reader
        self._writer = writer

    async def put(
        self, branch: str, head: str, path: str, after: bytes, message: str, mark: Callable[[CommitInfo], bool]
    ) -> str:
        """A branch whose one commit changes one file of `head` to `after`; answers its newest commit.

        One that says so already, on the same state of the file, stays as it is (`mark` knows our commit). Raises
        `ExternalError`.
        """
        ref = f"refs/heads/{branch}"
        try:
            old = await self._tip(ref)
            if old and not (mark(await self._facts(old)) and await self._is_stale(old, head, path, after)):
                return old
            return await self._writer.push(old, await self._writer.make(head, path, after, message), ref)
        except GitFailed as error:
            raise ExternalError(f"The branch {branch} is not in {self._git.remote.url} yet: {error}.") from error

    async def drop(self, branch: str, mark: Callable[[CommitInfo], bool]) -> None:
        """Take a branch away if its newest commit is still ours. Raises `ExternalError`."""
        ref = f"refs/heads/{branch}"
        try:
            old = await self._tip(ref)
            if old and mark(await self._facts(old)):
                await self._writer.push(old, "", ref)
        except GitFailed as error:
            if error.why is not GitFailureKind.MOVED:
                raise ExternalError(f"The branch {branch} is still in {self._git.remote.url}: {error}.") from error

    async def _tip(self, ref: str) -> str:
        """The newest commit of a branch, fetched; nothing where there is no such branch."""
        url = self._git.remote.url
        listed = await self._git.run("ls-remote", "--refs", "--end-of-options", url, ref)
        if not listed:
            return ""
        flags = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--quiet")
        await self._git.run("fetch", *flags, "--end-of-options", url, f"+{ref}:{TIP}", limited=True)
        return (await self._git.run("rev-parse", "--verify", TIP)).decode().strip()

    async def _facts(self, commit: str) -> CommitInfo:
        return (await read_log(self._git, "--max-count=1", commit))[0][0]

    async def _is_stale(self, tip: str, head: str, path: str, after: bytes) -> bool:
        """Whether the file has changed since, here or there, so that the branch would not merge as it is."""
        limit = self._writer.limits.output
        ours = await self._reader.file(tip, path, limit=limit)
        if ours != after:
            return True
        from_ = await self._reader.file(f"{tip}^", path, limit=limit)
        return from_ != await self._reader.file(head, path, limit=limit)
