"""What all GitSources share, and how it is shared: git processes, and room on the disk for copies of repositories.

One of these for an operator. Namespaces do not trust each other, so none may have more than a part of either: a
repository that hangs, or that is too large, is its own namespace's trouble. Given to
`controlplane.gitops.bare_repository`, which asks before each call of git; fetches nothing itself.
"""

import asyncio
import shutil
import stat
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from canary.errors import BadInput
from canary.spec.source import quoted
from controlplane.fair_queue import FairQueue
from controlplane.gitops.git import MEBI, GitFailed, GitFailureKind
from controlplane.kubernetes.cache import Key

PROCESSES, OF_ONE = 8, 2
"""Calls of git under way at once, of all namespaces and of one."""
OF_A_NAMESPACE = 0.5
"""Share of the disk that one namespace's copies may take."""
USED_AT_MOST = 0.9
LEAST = 1 * MEBI
"""Bytes without which no fetch is begun."""
UNITS = {"Mi": MEBI, "Gi": 1024 * MEBI}


@dataclass(frozen=True, slots=True)
class Quota:
    """How much there is."""

    disk: int = 1024 * MEBI
    """Bytes for all copies. A tenth stays free: a volume that is full ends the whole pod."""
    source: int = 256 * MEBI
    """Bytes for one source's."""
    sources: int = 20
    """GitSources of a namespace that are followed; the oldest are."""


def size_of(text: str) -> int:
    """Bytes of `256Mi` or `1Gi`. Raises `BadInput`."""
    number, unit = text[:-2], text[-2:]
    if unit not in UNITS or not number.isdecimal() or not int(number):
        raise BadInput(f"{quoted(text)} is no size; expected one such as 256Mi or 1Gi.")
    return int(number) * UNITS[unit]


class MachineQuota:
    """Everything that is shared."""

    def __init__(self, cache: Path, quota: Quota | None = None) -> None:
        """`cache`: the folder of all copies, which nobody else writes to."""
        self.quota = quota or Quota()
        self._cache = cache
        self._turns = FairQueue(PROCESSES, OF_ONE)
        self._promised: dict[Key, int] = {}
        """Bytes that fetches under way may still bring."""

    def folder(self, key: Key) -> Path:
        """Where the copy of a source is."""
        return self._cache / ".".join(key)

    def share(self, key: Key) -> "SourceShare":
        """What one source has of it."""
        return SourceShare(self, key)

    @asynccontextmanager
    async def turn(self, key: Key) -> AsyncIterator[None]:
        """Wait for a place, and hold it: each namespace has few, and whose turns were fewest goes next."""
        async with self._turns.held(key[0]):
            yield

    @asynccontextmanager
    async def fetching(self, key: Key) -> AsyncIterator[int]:
        """The bytes that a fetch may bring, kept for it until it is over. Raises `GitFailed` where there is no room."""
        used = await asyncio.to_thread(self._used)
        taken = {each: used.get(each, 0) + self._promised.get(each, 0) for each in used.keys() | self._promised.keys()}
        of_namespace = sum(size for each, size in taken.items() if each[0] == key[0])
        disk = int(self.quota.disk * USED_AT_MOST)
        left = {
            f"this GitSource's copy may take {_mebi(self.quota.source)}": self.quota.source - taken.get(key, 0),
            f"the copies of namespace {key[0]} may take {_mebi(disk * OF_A_NAMESPACE)}": (
                int(disk * OF_A_NAMESPACE) - of_namespace
            ),
            f"all copies may take {_mebi(disk)}": disk - sum(taken.values()),
        }
        why, granted = min(left.items(), key=lambda item: item[1])
        if granted < LEAST:
            raise GitFailed(GitFailureKind.TOO_LARGE, f"{why}, and no room is left")
        self._promised[key] = self._promised.get(key, 0) + granted
        try:
            yield granted
        finally:
            self._promised[key] -= granted
            if not self._promised[key]:
                del self._promised[key]

    async def clear(self, keys: Iterable[Key]) -> None:
        """Remove every copy but those of these sources."""
        kept = {self.folder(key).name for key in keys}
        await asyncio.to_thread(self._remove, kept)

    def _remove(self, kept: set[str]) -> None:
        for folder in self._copies():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _used(self) -> dict[Key, int]:
        found: dict[Key, int] = {}
        for folder in self._copies():
            namespace, _, name = folder.name.partition(".")
            found[namespace, name] = _size(folder)
        return found

    def _copies(self) -> list[Path]:
        try:
            return [
                each for each in self._cache.iterdir() if "." in each.name and each.is_dir() and not each.is_symlink()
            ]
        except FileNotFoundError:
            return []


@dataclass(frozen=True, slots=True)
class SourceShare:
    """The room of one source. Implements `controlplane.gitops.git.MachineShare`."""

    room: MachineQuota
    key: Key

    def turn(self) -> AbstractAsyncContextManager[None]:
        """See `MachineQuota.turn`."""
        return self.room.turn(self.key)

    def fetching(self) -> AbstractAsyncContextManager[int]:
        """See `MachineQuota.fetching`."""
        return self.room.fetching(self.key)


def _size(folder: Path) -> int:
    """Bytes of all files; what goes away meanwhile counts for nothing."""
    total = 0
    for each in folder.rglob("*"):
        try:
            found = each.lstat()
        except OSError:
            continue
        total += found.st_size if stat.S_ISREG(found.st_mode) else 0
    return total


def _mebi(size: float) -> str:
    return f"{size / MEBI:.0f} MiB"
