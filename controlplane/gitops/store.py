"""A bare copy of the repository that is followed: what stands in it, who wrote it, and how a commit of ours gets there.

Used by `controller.py` and `writer.py`. There is no work tree; files are read as blobs, and only ordinary ones. A
commit is made from objects and pushed as compare-and-swap on the branch, so that nothing that somebody else pushed is
lost. Knows nothing of rollouts.
"""

import asyncio
import random
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from canary.errors import Conflict, WorldError
from canary.spec.source import printable
from controlplane.gitops.git import Git, GitFailed, Limits, Why
from controlplane.gitops.paths import Pattern, why_refused
from controlplane.gitops.remote import Remote

HEAD = "refs/serinus/head"
"""Where the store keeps the newest commit of the branch."""
NOTES = "refs/notes/serinus"
TRIES = 5
"""Times that a commit of ours is made anew when somebody else pushes first, before it is left for later."""
TIDY_EVERY = 100
"""Fetches that brought something, after which the store is packed."""
HISTORY = 5_000
"""Commits that are looked through for who changed a file last."""
RECENT = 500
"""Commits in which a commit of ours is looked for before it is made."""
_FORMAT = "%H%x00%an%x00%ct%x00%s%x00%(trailers:only,unfold)%x00"


@dataclass(frozen=True, slots=True)
class Facts:
    """A commit, for people: which, whose, when, what for."""

    id: str
    author: str
    at: float
    """Seconds since the epoch, as the committer's clock had it."""
    subject: str
    trailers: str = ""
    """The lines such as `Serinus-Retry: chat` at its end."""

    @property
    def short(self) -> str:
        """Seven digits, as people quote a commit."""
        return self.id[:7]

    def trailer(self, key: str) -> str:
        """The value of a trailer, or nothing."""
        found = re.search(rf"^{re.escape(key)}: (.*)$", self.trailers, re.MULTILINE | re.IGNORECASE)
        return found[1].strip() if found else ""


@dataclass(frozen=True, slots=True)
class Blob:
    """A file in a commit."""

    path: str
    id: str
    size: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in a commit that matches the pattern and is not read, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Who our commits are by."""

    name: str = "Serinus"
    email: str = "serinus@localhost"


class Store:
    """One branch of one repository, in a folder of our own."""

    def __init__(
        self, folder: Path, remote: Remote, *, limits: Limits | None = None, identity: Identity | None = None
    ) -> None:
        self.remote = remote
        self.limits = limits or Limits()
        self.head: str | None = None
        """The branch's newest commit as of the last `fetch`; None before the first and for an empty repository."""
        self._git = Git(folder / "objects.git", remote, self.limits)
        self._identity = identity or Identity()
        self._fetches = 0

    async def open(self) -> None:
        """Make the store, or take over the one that is there; a damaged one is made anew, since it is only a copy."""
        folder = self._git.folder
        await asyncio.to_thread(self._git.prepare)
        await self._git.check()
        try:
            await self._git.run("rev-parse", "--is-bare-repository")
            await self._git.run("fsck", "--connectivity-only", "--no-dangling")
            self.head = (await self._git.run("for-each-ref", "--format=%(objectname)", HEAD)).decode().strip() or None
        except GitFailed:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            await self._git.run("init", "--bare", "--quiet", "--template=", "--initial-branch=serinus")
        await self._tidy()

    async def fetch(self) -> str | None:
        """The branch's newest commit; None while the repository has none at all. Raises `WorldError`."""
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
                raise WorldError(
                    f"The branch {self.remote.branch} is not in {self.remote.url} (any more). Rollouts go on as they "
                    f"are until it is back."
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
            raise WorldError(f"{self.remote.url} cannot be read: {error}. Rollouts go on as they are.") from error

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

    async def matching(self, commit: str, pattern: Pattern) -> tuple[Sequence[Blob], Sequence[Refused]]:
        """The ordinary files that match, and what matches and is none. Raises `WorldError` where they are too many."""
        listed = await self._git.run("ls-tree", "-r", "-z", "--full-tree", commit)
        entries = listed.decode("utf-8", "surrogateescape").split("\0")[:-1]
        if len(entries) > self.limits.files:
            raise WorldError(
                f"Commit {commit[:7]} has {len(entries):,} files, more than the {self.limits.files:,} that are looked "
                f"through. Rollouts go on as they are."
            )
        good, refused = [], []
        for each in entries:
            facts, _, path = each.partition("\t")
            if not pattern.matches(path):
                continue
            mode, kind, id_ = facts.split(" ")
            why = why_refused(path, mode, kind)
            if why:
                refused.append(Refused(printable(path), why))
            else:
                good.append((path, id_))
        if len(good) > self.limits.plans:
            raise WorldError(
                f"Commit {commit[:7]} has {len(good):,} files that match {pattern.text}, "
                f"more than {self.limits.plans:,}. Rollouts go on as they are."
            )
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

    async def changed_by(self, commit: str, paths: Iterable[str]) -> Mapping[str, Facts]:
        """The commit that changed each path last, as far back as `HISTORY`; the commit itself beyond that."""
        missing = set(paths)
        found: dict[str, Facts] = {}
        if missing:
            walk = ("--name-only", "-z", "--no-renames", f"--max-count={HISTORY}")
            for facts, changed in await self._log(
                *walk, commit, "--", *(sorted(missing) if len(missing) < 100 else ())
            ):
                for path in missing.intersection(changed):
                    found[path] = facts
                missing -= found.keys()
                if not missing:
                    break
            newest = await self.facts(commit)
            found |= dict.fromkeys(missing, newest)
        return found

    async def facts(self, commit: str) -> Facts:
        """One commit."""
        return (await self._log("--max-count=1", commit))[0][0]

    async def versions(self, commit: str, path: str, *, most: int = 20) -> Sequence[str]:
        """Commits that changed a path, newest first."""
        return [facts.id for facts, _ in await self._log(f"--max-count={most}", commit, "--", path)]

    async def recent(self, commit: str, *, most: int = RECENT) -> Sequence[Facts]:
        """The newest commits, newest first."""
        return [facts for facts, _ in await self._log(f"--max-count={most}", commit)]

    async def commit(
        self, path: str, change: Callable[[bytes], bytes | None], message: str, mark: Callable[[Facts], bool]
    ) -> str | None:
        """Push a commit that changes one file; answers its id, or the one that is there already (`mark` knows it).

        `change` gets the file as it is on the branch and answers it changed; None, like a file that is gone, means that
        there is nothing to write any more, and so is the answer. Raises `WorldError`, and `Conflict` when others kept
        pushing first.
        """
        for number in range(TRIES):
            head = await self.fetch()
            if head is None:
                return None
            if done := next((facts for facts in await self.recent(head) if mark(facts)), None):
                return done.id
            before = await self.file(head, path, limit=self.limits.output)
            after = change(before) if before is not None else None
            if after is None or after == before:
                return None
            try:
                return await self._push(head, await self._commit(head, path, after, message), self.remote.ref)
            except GitFailed as error:
                if error.why is not Why.MOVED:
                    raise WorldError(f"The commit for {path} is not in {self.remote.url} yet: {error}.") from error
            await asyncio.sleep(random.uniform(0, 0.05 * 2**number))  # noqa: S311 - spreads writers, hides nothing
        raise Conflict(f"The commit for {path} is not in {self.remote.url} yet: others pushed first {TRIES} times.")

    async def note(self, commit: str, text: str) -> None:
        """Put a note on a commit, under `refs/notes/serinus`; the same note twice is one."""
        try:
            for _ in range(TRIES):
                old = await self._remote_notes()
                shown = await self._shown_note(commit)
                if shown == text.strip():
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
                    stdin=text.encode(),
                    variables=self._author(),
                )
                new = (await self._git.run("rev-parse", "--verify", NOTES)).decode().strip()
                try:
                    await self._push(old, new, NOTES)
                except GitFailed as error:
                    if error.why is not Why.MOVED:
                        raise
                else:
                    return
        except GitFailed as error:
            raise WorldError(f"The note on {commit[:7]} is not in {self.remote.url} yet: {error}.") from error
        raise Conflict(f"The note on {commit[:7]} is not in {self.remote.url} yet: others pushed first {TRIES} times.")

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

    async def _commit(self, parent: str, path: str, content: bytes, message: str) -> str:
        """A commit object with one file changed; on no branch yet."""
        blob = (await self._git.run("hash-object", "-w", "--stdin", "--no-filters", stdin=content)).decode().strip()
        with tempfile.TemporaryDirectory(prefix="index-", dir=self._git.folder.parent) as folder:
            index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
            await self._git.run("read-tree", parent, variables=index)
            entry = f"100644 {blob}\t{path}\n".encode("utf-8", "surrogateescape")
            await self._git.run("update-index", "--index-info", stdin=entry, variables=index)
            tree = (await self._git.run("write-tree", variables=index)).decode().strip()
        made = await self._git.run(
            "commit-tree", tree, "-p", parent, "-F", "-", stdin=message.encode(), variables=self._author()
        )
        return made.decode().strip()

    async def _push(self, old: str, new: str, ref: str) -> str:
        """Make a ref of the remote name a new commit if it still names the old one."""
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

    async def _log(self, *arguments: str) -> Sequence[tuple[Facts, Sequence[str]]]:
        """Commits and, where asked for, the paths that they change."""
        # Nobody can know the mark beforehand and forge a commit in the words of another; NUL is in no word of git's.
        mark = secrets.token_hex(16)
        logged = await self._git.run(
            "log", "--no-show-signature", "--encoding=UTF-8", f"--format={mark}{_FORMAT}", *arguments
        )
        commits = []
        for record in logged.decode("utf-8", "surrogateescape").split(mark)[1:]:
            id_, author, at, subject, trailers, paths = record.split("\0", 5)
            facts = Facts(id_, printable(author), float(at), printable(subject), trailers.strip())
            commits.append((facts, [path for path in paths.strip("\0\n").split("\0") if path]))
        return commits

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
