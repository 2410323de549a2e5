"""Keeps rollouts, their whole history and people's requests in one SQLite file, for rollouts on one machine.

Behind the port `RolloutStore`. One thread of its own does all the writing and reading, so the loop never waits for a
disk; every write is flushed before it counts, because what was saved decides what may happen after a crash. Knows
nothing of rollouts but their name, attempt and events.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from canary.errors import BadInput, Conflict, Unavailable
from canary.frame import Frame
from canary.rollout import Event, Rollout
from canary.serial import event_from_text, event_to_text, rollout_from_text, rollout_to_text
from canary.snapshot import OperatorRequest
from controlplane.adapters import sqlite_frames
from controlplane.adapters.pending_frames import PendingFrames
from controlplane.adapters.sqlite_schema import NotOurs, prepare
from controlplane.ports import Stored
from controlplane.private_files import open_private, private_folder

T = TypeVar("T")
V = TypeVar("V")
Work = Callable[[sqlite3.Connection], T]

_WORDS_FOR_CODES = {
    sqlite3.SQLITE_BUSY: "is locked by another program",
    sqlite3.SQLITE_LOCKED: "is locked by another program",
    sqlite3.SQLITE_FULL: "cannot grow: the disk is full",
    sqlite3.SQLITE_READONLY: "cannot be written",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_PERM: "cannot be opened",
    sqlite3.SQLITE_IOERR: "cannot be read or written: the disk reports an error",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_NOTADB: "is not a database",
}
IN_MEMORY = ":memory:"
"""What SQLite takes for no file at all."""
_PRIMARY = 0xFF
"""SQLite's extended codes carry the primary one in their lowest byte."""


class Damaged(Exception):  # noqa: N818 - a property of a row; told on as Unavailable
    """A row can be read and not be understood."""


class SqliteStore:
    """One file; any number of programs may have it open. Raises `Unavailable` while the file cannot be used."""

    def __init__(self, file: Path, *, patience: float = 2.0) -> None:
        """`patience`: seconds to wait for another program's write. Opens nothing yet."""
        self.file = file
        self._patience = patience
        self._connection: sqlite3.Connection | None = None
        self._pending = PendingFrames()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollout-store")

    async def load(self, name: str) -> Stored | None:
        """The newest state under this name, or None."""
        return await self._do(self._read, lambda connection: _load(connection, name))

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Write state and new events in one transaction if the stored version is still `version`."""
        frames = self._pending.take(rollout)
        try:
            return await self._do(
                self._write, lambda connection: _save(connection, rollout, spec_text, version, frames)
            )
        except Exception:  # not where it is cancelled: then it is written all the same
            self._pending.put_back(frames)
            raise

    def record(self, frame: Frame) -> None:
        """Keep this frame with the next save."""
        self._pending.record(frame)

    def break_off(self) -> None:
        """The next save restates the state instead."""
        self._pending.break_off()

    async def frames(self, name: str, attempt: int | None = None) -> Sequence[Frame]:
        """The recording of one attempt (None: the newest); empty where there is none."""
        return await self._do(self._read, lambda connection: _frames(connection, name, attempt))

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt (None: the newest), in order."""
        return await self._do(self._read, lambda connection: _history(connection, name, attempt))

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """Requests without an answer, oldest first."""
        return await self._do(self._read, lambda connection: _requests(connection, name))

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Keep a request; the same id twice is one request."""
        await self._do(self._write, lambda connection: _ask(connection, name, request))

    async def names(self) -> Sequence[str]:
        """Names of all rollouts in the file, in order."""
        return await self._do(self._read, _names)

    async def close(self) -> None:
        """Finish what was begun and let go of the file. The store may be used again; it then opens the file anew."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)

    async def _do(self, how: Callable[[Work[T]], T], work: Work[T]) -> T:
        """Work on the store's own thread. Whoever is cancelled while a write runs has still written."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._say_what_failed, how, work)

    def _read(self, work: Work[T]) -> T:
        return work(self._connection or self._connect())

    def _write(self, work: Work[T]) -> T:
        with self._connection or self._connect() as connection:
            # IMMEDIATE: the version is compared under the lock that the write needs.
            connection.execute("BEGIN IMMEDIATE")
            return work(connection)

    def _say_what_failed(self, how: Callable[[Work[T]], T], work: Work[T]) -> T:
        try:
            return how(work)
        except NotOurs as error:
            self._disconnect()
            raise BadInput(f"{self.file} {error}. Nothing in it was changed.") from error
        except Damaged as error:
            raise Unavailable(f"The state in {self.file} is damaged: {error}. Nothing in it was changed.") from error
        except (sqlite3.Error, OSError) as error:
            self._disconnect()
            raise Unavailable(f"The state in {self.file} {_in_words(error)}. Nothing was written.") from error

    def _connect(self) -> sqlite3.Connection:
        if self.file.name != IN_MEMORY and not self.file.exists():
            private_folder(self.file.parent)
            # SQLite gives the files beside it the permissions that this one has.
            open_private(self.file, "a").close()
        # Autocommit mode: transactions begin and end where this file says so, and nowhere else.
        self._connection = sqlite3.connect(self.file, timeout=self._patience, isolation_level=None)
        prepare(self._connection)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None


def _load(connection: sqlite3.Connection, name: str) -> Stored | None:
    row = connection.execute("SELECT state, spec_text, version FROM rollouts WHERE name = ?", (name,)).fetchone()
    return Stored(_understood(rollout_from_text, row[0]), row[1], row[2]) if row else None


def _save(
    connection: sqlite3.Connection, rollout: Rollout, spec_text: str, version: int, frames: Sequence[Frame]
) -> int:
    row = connection.execute("SELECT version, attempt FROM rollouts WHERE name = ?", (rollout.name,)).fetchone()
    stored, attempt = row or (0, rollout.attempt)
    if stored != version:
        raise Conflict(f"{rollout.name} was read at version {version} and is at {stored} by now: read it again.")
    state = (rollout_to_text(rollout), spec_text, version + 1, rollout.attempt, rollout.name)
    if row:
        connection.execute(
            "UPDATE rollouts SET state = ?, spec_text = ?, version = ?, attempt = ? WHERE name = ?", state
        )
    else:
        connection.execute(
            "INSERT INTO rollouts (state, spec_text, version, attempt, name) VALUES (?, ?, ?, ?, ?)", state
        )
    _append_events(connection, rollout)
    sqlite_frames.append(connection, rollout, frames)
    _close_requests(connection, rollout, new_attempt=rollout.attempt != attempt)
    return version + 1


def _append_events(connection: sqlite3.Connection, rollout: Rollout) -> None:
    """Add the events that are not there yet; most were in the save before this one too."""
    newest = connection.execute(
        "SELECT id FROM events WHERE name = ? AND attempt = ? ORDER BY number DESC LIMIT ?",
        (rollout.name, rollout.attempt, len(rollout.history)),
    )
    known = {id_ for (id_,) in newest}
    connection.executemany(
        "INSERT INTO events (id, name, attempt, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        [
            (event.id, rollout.name, rollout.attempt, event_to_text(event))
            for event in rollout.history
            if event.id not in known
        ],
    )


def _close_requests(connection: sqlite3.Connection, rollout: Rollout, *, new_attempt: bool) -> None:
    """Requests that the rollout has answered are done, and so is what was asked of an attempt that is over."""
    connection.executemany(
        "UPDATE requests SET done = 1 WHERE name = ? AND id = ?", [(rollout.name, id_) for id_ in rollout.answered]
    )
    if new_attempt:
        connection.execute("UPDATE requests SET done = 1 WHERE name = ?", (rollout.name,))


def _history(connection: sqlite3.Connection, name: str, attempt: int | None) -> Sequence[Event]:
    rows = connection.execute(
        "SELECT body FROM events WHERE name = :name"
        " AND attempt = COALESCE(:attempt, (SELECT attempt FROM rollouts WHERE name = :name)) ORDER BY number",
        {"name": name, "attempt": attempt},
    )
    return [_understood(event_from_text, body) for (body,) in rows]


def _frames(connection: sqlite3.Connection, name: str, attempt: int | None) -> Sequence[Frame]:
    try:
        return sqlite_frames.read(connection, name, attempt)
    except ValueError as error:
        raise Damaged(_first_line(error)) from error


def _names(connection: sqlite3.Connection) -> Sequence[str]:
    return [name for (name,) in connection.execute("SELECT name FROM rollouts ORDER BY name")]


def _requests(connection: sqlite3.Connection, name: str) -> Sequence[OperatorRequest]:
    rows = connection.execute(
        'SELECT id, verb, "by", at, "full", "to" FROM requests WHERE name = ? AND NOT done ORDER BY at, number', (name,)
    )
    return [OperatorRequest(id_, verb, by, at, bool(full), to) for id_, verb, by, at, full, to in rows]


def _ask(connection: sqlite3.Connection, name: str, request: OperatorRequest) -> None:
    connection.execute(
        'INSERT INTO requests (name, id, verb, "by", at, "full", "to") VALUES (?, ?, ?, ?, ?, ?, ?)'
        " ON CONFLICT (name, id) DO NOTHING",
        (name, request.id, request.verb, request.by, request.at, request.full, request.to),
    )


def _understood(read: Callable[[str], V], text: str) -> V:
    try:
        return read(text)
    except ValueError as error:
        raise Damaged(_first_line(error)) from error


def _in_words(error: sqlite3.Error | OSError) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return f"cannot be used ({_first_line(error)})"
    return f"{_WORDS_FOR_CODES.get(code & _PRIMARY, 'cannot be used')} ({_first_line(error)})"


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
