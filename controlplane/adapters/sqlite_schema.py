"""The tables of the SQLite store and how a file from an older Serinus gets them. A file from a newer one is refused.

Used by `sqlite_store.py` when it opens a file. A new release appends a migration and never edits an old one.
"""

import sqlite3

APPLICATION_ID = int.from_bytes(b"SERI")
"""SQLite's mark for whose file it is."""

MIGRATIONS = (
    """
    CREATE TABLE rollouts (
        name TEXT PRIMARY KEY, attempt INTEGER NOT NULL, version INTEGER NOT NULL,
        spec_text TEXT NOT NULL, state TEXT NOT NULL
    ) STRICT;
    CREATE TABLE events (
        number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL, attempt INTEGER NOT NULL, body TEXT NOT NULL
    ) STRICT;
    CREATE INDEX events_of_an_attempt ON events (name, attempt, number);
    CREATE TABLE requests (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, id TEXT NOT NULL, verb TEXT NOT NULL,
        "by" TEXT NOT NULL, at REAL NOT NULL, "full" INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0,
        UNIQUE (name, id)
    ) STRICT;
    """,
    """
    CREATE TABLE frames (
        number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, attempt INTEGER NOT NULL,
        bytes_so_far INTEGER NOT NULL, body BLOB NOT NULL
    ) STRICT;
    CREATE INDEX frames_of_an_attempt ON frames (name, attempt, number);
    """,
    """
    ALTER TABLE requests ADD COLUMN "to" REAL;
    """,
)
LATEST = len(MIGRATIONS)


class NotOurs(Exception):  # noqa: N818 - a property of the file; told on as BadInput
    """The file belongs to another program or to a newer Serinus. The text goes on after the file's name."""


def prepare(connection: sqlite3.Connection) -> None:
    """Make the connection safe and bring the file's tables up to date; raises `NotOurs`, changing nothing."""
    _refuse_what_is_not_ours(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL: a state that was reported as saved survives a power cut. It costs milliseconds, a few times a minute.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    if _format_of(connection) == LATEST:
        return
    with connection:
        connection.execute("BEGIN IMMEDIATE")
        # Asked again under the lock: another program may have done it meanwhile.
        for number in range(_format_of(connection), LATEST):
            for statement in MIGRATIONS[number].split(";"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _refuse_what_is_not_ours(connection: sqlite3.Connection) -> None:
    found = _format_of(connection)
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if tables and owner != APPLICATION_ID:
        raise NotOurs("is a database of another program")
    if found > LATEST:
        raise NotOurs(
            f"was written by a newer Serinus (format {found}, this one knows up to {LATEST}): update Serinus, or give "
            f"another folder with --state"
        )


def _format_of(connection: sqlite3.Connection) -> int:
    number: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return number
