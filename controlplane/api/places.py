"""Finds the rollouts of a user's state directory: which folders have a store, and which rollouts are in each.

Used by every route. A rollout is addressed by an id made of names that were found, never by a path, so nothing outside
of the state directory can be asked for. Opens stores when they are first read and again when they were replaced.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from canary.errors import SerinusError
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.api.problem import Refused

FILE = "serinus.db"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(~[a-z0-9][a-z0-9.-]{0,62})?")


@dataclass(frozen=True, slots=True)
class Place:
    """One rollout's store and name."""

    id: str
    """Its name where its folder has that name too, as by default; else `folder~name`."""
    name: str
    folder: Path
    store: SqliteStore


class Home:
    """The folder of state folders, `$XDG_STATE_HOME/serinus` by default."""

    def __init__(self, folder: Path) -> None:
        """Opens nothing yet; the folder may be missing."""
        self.folder = folder
        self._open: dict[str, tuple[tuple[int, int], SqliteStore]] = {}

    async def places(self) -> tuple[list[Place], Mapping[str, str]]:
        """Every rollout by id, and by folder name what is wrong with stores that cannot be read."""
        found, problems = [], {}
        for name in self._folders():
            try:
                found += await self._inside(name)
            except SerinusError as error:
                problems[name] = str(error)
        return found, problems

    async def find(self, id_: str) -> Place:
        """The rollout of this id; raises `Refused` (404) for anything else, whatever it looks like."""
        if _ID.fullmatch(id_):
            folder = id_.partition("~")[0]
            if folder in self._folders():
                for place in await self._inside(folder):
                    if place.id == id_:
                        return place
        raise Refused(404, "No such rollout", "There is no rollout of this name here. The list shows those there are.")

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

    async def _inside(self, folder: str) -> list[Place]:
        store = await self._store(folder)
        return [
            Place(name if name == folder else f"{folder}~{name}", name, self.folder / folder, store)
            for name in await store.names()
        ]

    async def _store(self, folder: str) -> SqliteStore:
        """The folder's store; a file that was replaced is opened anew."""
        file = self.folder / folder / FILE
        try:
            found = file.stat()
        except OSError as error:
            raise Refused(404, "No such rollout", f"The state folder {folder} was removed just now.") from error
        identity = (found.st_dev, found.st_ino)
        known = self._open.get(folder)
        if known is not None and known[0] == identity:
            return known[1]
        store = SqliteStore(file)
        self._open[folder] = (identity, store)
        if known is not None:
            await known[1].close()
        return store
