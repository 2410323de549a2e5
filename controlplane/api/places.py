"""Where rollouts are found: what every source of them offers to the routes, and the one for a user's state directory.

Used by every route; `cluster.py` is the source for a cluster. A rollout is addressed by an id made of names that were
found, never by a path, so nothing outside of the state directory can be asked for. Opens stores when they are first
read and again when they were replaced.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from canary.errors import SerinusError
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.api.door import Person
from controlplane.api.problem import HttpProblem
from controlplane.readmodel.directory import RolloutHandle
from controlplane.readmodel.local import FILE, LocalRollout
from controlplane.readmodel.rollout_view import LIVE, Staleness

VERBS = ("promote", "pause", "resume", "abort", "approve")
"""What `serinus run` can be asked for."""
NO_RETRY = "On this machine a rollout begins once more by `serinus run`, or by `serinus retry` where a controller runs."
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(~[a-z0-9][a-z0-9.-]{0,62})?")


class StoreSource(Protocol):
    """All rollouts that one person may see."""

    async def places(self) -> tuple[Sequence[RolloutHandle], Mapping[str, str]]:
        """Every rollout, and by name what is wrong with those that cannot be shown."""
        ...

    async def find(self, id_: str, to: str = "get") -> RolloutHandle:
        """The rollout of this id; raises `HttpProblem` for anything else, whatever it looks like.

        `to`: what is meant to be done: get, watch, or a verb of `actions.Asking`.
        """
        ...

    async def may(self, place: RolloutHandle) -> Sequence[str]:
        """The verbs that this person may ask this rollout for."""
        ...

    def kept(self, place: RolloutHandle, messages: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        """A stream about this rollout, for as long as this person may watch it."""
        ...


class Sources(Protocol):
    """All rollouts there are, before it is known who asks."""

    @property
    def where(self) -> str:
        """Whose rollouts these are, for headings: `this machine`."""
        ...

    @property
    def counted(self) -> StoreSource | None:
        """What `/metrics` counts; None where somebody else counts it."""
        ...

    def seen_by(self, person: Person) -> StoreSource:
        """What this person may see."""
        ...

    def lost(self) -> Staleness:
        """Whether what is shown may be behind the world."""
        ...

    async def unready(self) -> str:
        """Why nothing can be served yet, as a sentence; empty where it can."""
        ...


class Home:
    """The folder of state folders, `$XDG_STATE_HOME/serinus` by default.

    Implements `Sources`, and `StoreSource` for its one owner.
    """

    where = "this machine"

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; the folder may be missing."""
        self.folder = folder
        self._open: dict[str, tuple[tuple[int, int], SqliteStore]] = {}

    async def places(self) -> tuple[list[LocalRollout], Mapping[str, str]]:
        """Every rollout by id, and by folder name what is wrong with stores that cannot be read."""
        found, problems = [], {}
        for name in self._folders():
            try:
                found += await self._inside(name)
            except SerinusError as error:
                problems[name] = str(error)
        return found, problems

    async def find(self, id_: str, to: str = "get") -> LocalRollout:
        """The rollout of this id; raises `HttpProblem` (404) for anything else, whatever it looks like."""
        if to == "retry":
            raise HttpProblem(409, "Not here", f"{NO_RETRY} Nothing was asked.")
        if _ID.fullmatch(id_):
            folder = id_.partition("~")[0]
            if folder in self._folders():
                for place in await self._inside(folder):
                    if place.id == id_:
                        return place
        raise HttpProblem(
            404, "No such rollout", "There is no rollout of this name here. The list shows those there are."
        )

    @property
    def counted(self) -> "Home":
        """See `Sources`."""
        return self

    def seen_by(self, person: Person) -> "Home":
        """See `Sources`: whoever has the token is its owner."""
        return self

    def lost(self) -> Staleness:
        """See `Sources`: files are read when they are asked for."""
        return LIVE

    async def may(self, place: RolloutHandle) -> Sequence[str]:
        """See `StoreSource`."""
        return VERBS

    def kept(self, place: RolloutHandle, messages: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        """See `StoreSource`."""
        return messages

    async def unready(self) -> str:
        """See `Sources`: every store can be read."""
        _, problems = await self.places()
        return f"{len(problems)} state folder(s) cannot be read; the list says which." if problems else ""

    async def close(self) -> None:
        """Let go of all stores."""
        for _, store in self._open.values():
            await store.close()
        self._open.clear()

    def _folders(self) -> list[str]:
        """Names of the folders that have a store; links do not count, they may lead anywhere."""
        try:
            children = sorted(self.folder.iterdir())
        except OSError:
            return []
        return [
            child.name
            for child in children
            if _ID.fullmatch(child.name)
            and "~" not in child.name
            and not child.is_symlink()
            and (child / FILE).is_file()
            and not (child / FILE).is_symlink()
        ]

    async def _inside(self, folder: str) -> list[LocalRollout]:
        store = await self._store(folder)
        return [
            LocalRollout(name if name == folder else f"{folder}~{name}", name, self.folder / folder, store)
            for name in await store.names()
        ]

    async def _store(self, folder: str) -> SqliteStore:
        """The folder's store; a file that was replaced is opened anew."""
        file = self.folder / folder / FILE
        try:
            found = file.stat()
        except OSError as error:
            raise HttpProblem(404, "No such rollout", f"The state folder {folder} was removed just now.") from error
        identity = (found.st_dev, found.st_ino)
        known = self._open.get(folder)
        if known is not None and known[0] == identity:
            return known[1]
        store = SqliteStore(file)
        self._open[folder] = (identity, store)
        if known is not None:
            await known[1].close()
        return store
