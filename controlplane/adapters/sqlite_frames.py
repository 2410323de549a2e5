"""The recording of a rollout in the SQLite store: a compressed piece for each save, so many bytes and no more.

Used by `sqlite_store.py`, on its thread and in its transactions. A piece stands on its own feet (its first snapshot is
whole), so that one can be read without those before it. What frames mean is `canary.frame`.
"""

import sqlite3
import zlib
from collections.abc import Sequence

from canary.frame import Begun, Frame, FrameEncoder, frames_of
from canary.rollout import Rollout

MOST_BYTES = 64 * 1024 * 1024
"""Compressed bytes of one attempt; what happens after that is not recorded. `docs/replay.md` says how long it lasts."""
ATTEMPTS = 3
"""Newest attempts of a name whose recordings are kept."""


def append(connection: sqlite3.Connection, rollout: Rollout, frames: Sequence[Frame]) -> None:
    """Add what led to this state, if there is room; a new attempt makes room by forgetting the oldest recordings."""
    if not frames:
        return
    if isinstance(frames[0], Begun):
        oldest = rollout.attempt - ATTEMPTS
        connection.execute("DELETE FROM frames WHERE name = ? AND attempt <= ?", (rollout.name, oldest))
    newest = connection.execute(
        "SELECT bytes_so_far FROM frames WHERE name = ? AND attempt = ? ORDER BY number DESC LIMIT 1",
        (rollout.name, rollout.attempt),
    ).fetchone()
    (size,) = newest or (0,)
    if size < MOST_BYTES:
        body = _packed(frames)
        connection.execute(
            "INSERT INTO frames (name, attempt, bytes_so_far, body) VALUES (?, ?, ?, ?)",
            (rollout.name, rollout.attempt, size + len(body), body),
        )


def read(connection: sqlite3.Connection, name: str, attempt: int | None) -> Sequence[Frame]:
    """All frames of an attempt (None: the newest); raises ValueError for what cannot be understood."""
    rows = connection.execute(
        "SELECT body FROM frames WHERE name = :name"
        " AND attempt = COALESCE(:attempt, (SELECT attempt FROM rollouts WHERE name = :name)) ORDER BY number",
        {"name": name, "attempt": attempt},
    )
    return [frame for (body,) in rows for frame in _unpacked(body)]


def _packed(frames: Sequence[Frame]) -> bytes:
    write = FrameEncoder()
    return zlib.compress("\n".join(write.line(frame) for frame in frames).encode())


def _unpacked(body: bytes) -> Sequence[Frame]:
    try:
        return list(frames_of(zlib.decompress(body).decode().split("\n")))
    except zlib.error as error:
        raise ValueError(f"a piece of the recording: {error}") from error
