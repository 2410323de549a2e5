"""A bare copy of the repository that is followed: what stands in it, and who wrote it.

Used by `controller.py` and `commit_outbox.py`. There is no work tree; files are read as blobs, and only ordinary ones.
What is written goes through `writer`. Knows nothing of rollouts.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from canary.errors import BadInput, ExternalError, Unavailable
from canary.spec.source import printable
from controlplane.gitops.branches import Branches
from controlplane.gitops.commit_log import CommitInfo, read_log
from controlplane.gitops.commit_writer import NOTES, CommitAuthor, CommitWriter
from controlplane.gitops.git import Git, GitFailed, Limits, MachineShare
from controlplane.gitops.paths import Pattern, why_refused
from controlplane.gitops.remote import Remote

HEAD = "refs/serinus/head"
"""Where the store keeps the newest commit of the branch."""
TIDY_EVERY = 100
"""Fetches that brought something, after which the store is packed."""
HISTORY = 5_000
"""Commits that are looked through for who changed a file last."""
RECENT = 500
"""Commits in which a commit of ours is looked for before it is made."""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in a commit."""

    path: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class SkippedEntry:
    """Something in a commit that matches the pattern and is not read, and why."""

    path: str
    why: str


class BareRepository:
    """One branch of one repository, in a folder of our own."""

    def __init__(
        self,
        folder: Path,
        remote: Remote,
        *,
        limits: Limits | None = None,
        identity: CommitAuthor | None = None,
        share: MachineShare | None = None,
    ) -> None:
        """`share`: what it has of the machine, where other repositories are followed as well."""
        self.remote = remote
        self.limits = limits or Limits()
        self.head: str | None = None
        """The branch's newest commit as of the last `fetch`; None before the first and for an empty repository."""
        self._identity = identity or CommitAuthor()
        self._git = Git(folder / "objects.git", remote, self.limits, share)
        self.writer = CommitWriter(self._git, self, self._identity)
        """Makes and pushes commits and notes."""
        self.branches = Branches(self._git, self, self.writer)
        """Where commits wait for somebody to merge them."""
        self._fetches = 0

    async def check(self) -> None:
        """Whether there is a git that can be used; raises `BadInput`. To be called before `open`."""
        await asyncio.to_thread(self._git.prepare)
        await self._git.check()
        if self._identity.key is not None:
            await self._check_key(self._identity.key)

    async def _check_key(self, key: Path) -> None:
        """Sign something that nobody sees, since a key that cannot would show only when a rollback is to be written."""
        with tempfile.TemporaryDirectory(prefix="sign-", dir=self._git.folder.parent) as folder:
            git = Git(Path(folder) / "objects.git", self.remote, self.limits)
            try:
                await git.run("init", "--bare", "--quiet", "--template=")
                await CommitWriter(git, self, self._identity).try_to_sign()
            except GitFailed as error:
                raise BadInput(
                    f"{printable(str(key))} cannot sign commits: {error}. Expected a private ssh key without a "
                    f"passphrase that its owner alone can read, and git 2.34 or newer. Nothing was started."
                ) from error

    async def open(self) -> None:
        """Make the store, or take over the one that is there; a damaged one is made anew, since it is only a copy."""
        folder = self._git.folder
        await asyncio.to_thread(self._git.prepare)
        try:
            await self._git.run("rev-parse", "--is-bare-repository")
            await self._git.run("fsck", "--connectivity-only", "--no-dangling")
            self.head = (await self._git.run("for-each-ref", "--format=%(objectname)", HEAD)).decode().strip() or None
        except GitFailed:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=serinus")
        await self._tidy()

    async def fetch(self) -> str | None:
        """The branch's newest commit; None while the repository has none at all. Raises `ExternalError`."""
        self.head = await self._fetch()
        if self._fetches >= TIDY_EVERY:
            await self._tidy()
        return self.head

    async def _fetch(self) -> str | None:
        try:
            listed = await self._git.run("ls-remote", "--heads", "--end-of-options", self.remote.url, self.remote.ref)
            newest = listed.decode().partition("\t")[0]
            if not newest:
                others = await self._git.run("ls-remote", "--heads", "--end-of-options", self.remote.url)
                if not others:
                    return None
                last = f" Its newest commit was {self.head[:7]}." if self.head else ""
                raise ExternalError(
                    f"The branch {self.remote.branch} is not in {self.remote.url} (any more).{last} Rollouts go on as "
                    f"they are until it is back."
                )
            if newest != self.head:
                refspec = f"+{self.remote.ref}:{HEAD}"
                flags = ("--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--quiet")
                self._fetches += 1
                await self._git.run("fetch", *flags, "--end-of-options", self.remote.url, refspec, limited=True)
            return (
                (await self._git.run("rev-parse", "--verify", "--end-of-options", f"{HEAD}^{{commit}}"))
                .decode()
                .strip()
            )
        except GitFailed as error:
            await asyncio.to_thread(self._remove_remains)
            raise ExternalError(f"{self.remote.url} cannot be read: {error}. Rollouts go on as they are.") from error

    async def _tidy(self) -> None:
        """Pack what many small fetches and commits left, so that a store that lives for years stays small."""
        self._fetches = 0
        thresholds = ("-c", "gc.auto=500", "-c", "gc.autoPackLimit=20", "-c", "gc.autoDetach=false")
        with suppress(GitFailed):
            await self._git.run(*thresholds, "gc", "--auto", "--quiet")

    def _remove_remains(self) -> None:
        """What a fetch that was ended half-way left lying; git does not come back for it."""
        for remains in (self._git.folder / "objects" / "pack").glob("tmp_*"):
            remains.unlink(missing_ok=True)

    async def descends(self, newer: str, older: str) -> bool:
        """Whether the older commit is in the history of the newer one; False after a rewritten history."""
        try:
            await self._git.run("merge-base", "--is-ancestor", older, newer)
        except GitFailed:
            return False
        return True

    async def matching(self, commit: str, pattern: Pattern) -> tuple[Sequence[Blob], Sequence[SkippedEntry]]:
        """The ordinary files that match, and what matches and is none. Raises `ExternalError` where
        they are too many.
        """
        listed = await self._git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        # A large tree is taken apart beside the loop, which may have a rollback to carry out.
        good, refused = await asyncio.to_thread(_taken_apart, listed, pattern, commit[:7], self.limits)
        sizes = await self._sizes([id_ for _, id_ in good])
        return [Blob(path, id_, sizes[id_]) for path, id_ in good], refused

    async def read(self, ids: Iterable[str], *, limit: int) -> Mapping[str, bytes]:
        """The contents of blobs by id. One that is larger than the limit is cut: its reader will say what is wrong."""
        wanted = list(dict.fromkeys(ids))
        sizes = await self._sizes(wanted)
        whole = [id_ for id_ in wanted if sizes[id_] <= limit]
        contents = await self._contents(whole)
        return contents | {id_: b"#" * (limit + 1) for id_ in wanted if sizes[id_] > limit}

    async def file(self, commit: str, path: str, *, limit: int) -> bytes | None:
        """The content of an ordinary file in a commit; None where there is none."""
        listed = await self._git.run("ls-tree", "-z", "--full-tree", commit, "--", path)
        facts, _, found = listed.decode("utf-8", "surrogateescape").rstrip("\0").partition("\t")
        if found != path or why_refused(path, *facts.split(" ")[:2]):
            return None
        id_ = facts.split(" ")[2]
        return (await self.read([id_], limit=limit))[id_]

    async def changed_by(self, commit: str, paths: Iterable[str]) -> Mapping[str, CommitInfo]:
        """The commit that changed each path last, as far back as `HISTORY`; the commit itself beyond that."""
        missing = set(paths)
        found: dict[str, CommitInfo] = {}
        if missing:
            walk = ("--name-only", "-z", "--no-renames", f"--max-count={HISTORY}")
            for facts, changed in await read_log(
                self._git, *walk, commit, "--", *(sorted(missing) if len(missing) < 100 else ())
            ):
                for path in missing.intersection(changed):
                    found[path] = facts
                missing -= found.keys()
                if not missing:
                    break
            newest = await self.facts(commit)
            found |= dict.fromkeys(missing, newest)
        return found

    async def facts(self, commit: str) -> CommitInfo:
        """One commit."""
        return (await read_log(self._git, "--max-count=1", commit))[0][0]

    async def versions(self, commit: str, path: str, *, most: int = 20) -> Sequence[str]:
        """Commits that changed a path, newest first."""
        return [facts.id for facts, _ in await read_log(self._git, f"--max-count={most}", commit, "--", path)]

    async def recent(self, commit: str, *, most: int = RECENT, notes: bool = False) -> Sequence[CommitInfo]:
        """The newest commits, newest first; with our notes on them where these are asked for.
        Raises `ExternalError`.
        """
        if notes:
            await self.writer.fetch_notes()
        return [
            facts for facts, _ in await read_log(self._git, f"--max-count={most}", commit, notes=NOTES if notes else "")
        ]

    async def merges_of(self, commit: str, *, most: int = 3) -> Sequence[str]:
        """The commits that merged one into the branch, oldest first."""
        if self.head is None:
            raise Unavailable("The branch has not been read yet.")
        try:
            found = await self._git.run(
                "rev-list", "--merges", "--ancestry-path", "--reverse", f"{commit}..{self.head}"
            )
        except GitFailed:  # a history that was rewritten does not have it any more
            return []
        return found.decode().split()[:most]

    async def _sizes(self, ids: Sequence[str]) -> Mapping[str, int]:
        if not ids:
            return {}
        asked = "".join(f"{id_}\n" for id_ in ids).encode()
        answer = await self._git.run("cat-file", "--batch-check=%(objectname) %(objectsize)", stdin=asked)
        return {id_: int(size) for id_, size in (line.split(" ") for line in answer.decode().splitlines())}

    async def _contents(self, ids: Sequence[str]) -> dict[str, bytes]:
        if not ids:
            return {}
        answer = await self._git.run(
            "cat-file", "--batch=%(objectname) %(objectsize)", stdin="".join(f"{id_}\n" for id_ in ids).encode()
        )
        contents, position = {}, 0
        while position < len(answer):
            line_end = answer.index(b"\n", position)
            id_, size = answer[position:line_end].decode().split(" ")
            position = line_end + 1 + int(size) + 1
            contents[id_] = answer[line_end + 1 : position - 1]
        return contents


def _taken_apart(
    listed: bytes, pattern: Pattern, commit: str, limits: Limits
) -> tuple[list[tuple[str, str]], list[SkippedEntry]]:
    """Path and id of the ordinary files that match, and what matches and is none. Raises `ExternalError`."""
    good, refused = [], []
    entries = listed.decode("utf-8", "surrogateescape").split("\0")[:-1]
    _bounded(commit, len(entries), limits.files, "files")
    before = pattern.steps
    for each in entries:
        facts, _, path = each.partition("\t")
        if not pattern.matches(path):
            _bounded(commit, pattern.steps - before, limits.letters, "letters in the names of its files")
            continue
        mode, kind, id_ = facts.split(" ")
        if why := why_refused(path, mode, kind):
            refused.append(SkippedEntry(printable(path), why))
        else:
            good.append((path, id_))
    _bounded(commit, len(good), limits.plans, f"files that match {pattern.text}")
    return good, refused


def _bounded(commit: str, number: int, most: int, what: str) -> None:
    if number > most:
        raise ExternalError(
            f"Commit {commit} has {number:,} {what}, more than the {most:,} that are looked through. "
            f"Rollouts go on as they are."
        )
