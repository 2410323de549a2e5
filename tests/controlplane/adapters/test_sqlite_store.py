"""The SQLite file itself: crashes, locks, full disks, damage, other programs' files, older and newer formats."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from canary.errors import BadInput, Conflict, Unavailable
from canary.snapshot import OperatorRequest
from controlplane.adapters.sqlite_schema import APPLICATION_ID, LATEST, MIGRATIONS
from controlplane.adapters.sqlite_store import SqliteStore
from tests.canary.rollouts import a_rollout, an_event


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "rollouts.db"


@pytest.fixture
async def store(file: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(file, patience=0.05)
    yield store
    await store.close()


async def _pragma(store: SqliteStore, text: str) -> object:
    return await store._do(store._read, lambda connection: connection.execute(f"PRAGMA {text}").fetchone())


def _contents(file: Path) -> bytes:
    return file.read_bytes()


def _write(file: Path, contents: bytes) -> None:
    file.write_bytes(contents)


async def test_another_program_sees_what_was_saved_and_writes_in_turn(store: SqliteStore, file: Path) -> None:
    """Two connections take turns by version; whoever read before the other wrote is told."""
    other = SqliteStore(file)
    await store.save(a_rollout(), "", 0)
    seen = await other.load("chat")
    assert seen is not None
    await other.save(a_rollout(stage=1), "", seen.version)
    with pytest.raises(Conflict):
        await store.save(a_rollout(stage=2), "", 1)
    loaded = await store.load("chat")
    assert loaded is not None
    assert (loaded.rollout.stage, loaded.version) == (1, 2)
    await other.close()


async def test_a_locked_file_is_said_to_be_locked_and_works_again_afterwards(store: SqliteStore, file: Path) -> None:
    await store.save(a_rollout(), "", 0)
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Unavailable, match=r"rollouts\.db is locked by another program .* Nothing was written\."):
        await store.save(a_rollout(stage=1), "", 1)
    assert await store.load("chat") is not None, "reading goes on beside a writer"
    holder.close()
    assert await store.save(a_rollout(stage=1), "", 1) == 2


async def test_a_full_disk_loses_nothing_that_was_saved(store: SqliteStore) -> None:
    await store.save(a_rollout(), "", 0)
    await _pragma(store, "max_page_count = 12")
    with pytest.raises(Unavailable, match="the disk is full"):
        await store.save(a_rollout(message="x" * 100_000, history=(an_event(1),)), "", 1)
    loaded = await store.load("chat")
    assert loaded is not None
    assert (loaded.version, await store.history("chat")) == (1, [])


async def test_a_file_that_is_no_database_is_named_and_left_as_it_is(store: SqliteStore, file: Path) -> None:
    _write(file, b"this is a letter, not a database\n" * 100)
    before = _contents(file)
    with pytest.raises(Unavailable, match="is not a database"):
        await store.load("chat")
    assert _contents(file) == before


async def test_a_row_that_cannot_be_understood_is_one_sentence(store: SqliteStore, file: Path) -> None:
    await store.save(a_rollout(), "", 0)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE rollouts SET state = '{\"name\": 3'")
    connection.close()
    with pytest.raises(Unavailable, match="is damaged") as caught:
        await store.load("chat")
    assert "\n" not in str(caught.value)


async def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    _write(tmp_path / "state", b"a file where a folder should be")
    store = SqliteStore(tmp_path / "state" / "rollouts.db")
    with pytest.raises(Unavailable, match="cannot be used"):
        await store.load("chat")


async def test_r10_a_file_of_a_newer_serinus_is_refused_untouched(file: Path) -> None:
    older = SqliteStore(file)
    await older.save(a_rollout(), "", 0)
    await older.close()
    with sqlite3.connect(file) as connection:
        connection.execute(f"PRAGMA user_version = {LATEST + 6}")
    connection.close()
    before = _contents(file)
    with pytest.raises(BadInput, match=f"newer Serinus .format {LATEST + 6}, this one knows up to {LATEST}"):
        await SqliteStore(file).load("chat")
    assert _contents(file) == before


@pytest.mark.parametrize("format_", range(1, LATEST))
async def test_r10_a_file_of_an_older_serinus_goes_on_with_its_requests(file: Path, format_: int) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for migration in MIGRATIONS[:format_]:
            connection.executescript(migration)
        connection.execute(f"PRAGMA user_version = {format_}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(
            'INSERT INTO requests (name, id, verb, "by", at, "full") VALUES (?, ?, ?, ?, ?, ?)',
            ("chat", "q1", "promote", "ann", 5.0, 1),
        )
    store = SqliteStore(file)
    old, new = (
        OperatorRequest("q1", "promote", "ann", 5.0, full=True),
        OperatorRequest("q2", "promote", "b", 6.0, to=0.5),
    )
    await store.ask("chat", new)
    assert list(await store.requests("chat")) == [old, new]
    await store.close()


async def test_the_database_of_another_program_is_refused_untouched(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    before = _contents(file)
    with pytest.raises(BadInput, match="database of another program"):
        await SqliteStore(file).load("chat")
    assert _contents(file) == before


async def test_every_commit_is_flushed_and_readers_do_not_wait_for_writers(store: SqliteStore) -> None:
    """WAL and FULL are what the promise after a power cut rests on."""
    await store.load("chat")
    assert await _pragma(store, "journal_mode") == ("wal",)
    assert await _pragma(store, "synchronous") == (2,)


_WRITER = """
import asyncio, sys
from contextlib import closing
from pathlib import Path
from controlplane.adapters.sqlite_store import SqliteStore
from tests.canary.rollouts import a_rollout, an_event

async def main():
    store, number = SqliteStore(Path(sys.argv[1])), 0
    while True:
        number += 1
        await store.save(a_rollout(stage=number, history=(an_event(number),), events=number), "", number - 1)
        print(number, flush=True)

asyncio.run(main())
"""


def _write_until_killed(file: Path, saves: int) -> int:
    """How many saves the program reported before it was killed."""
    command = [sys.executable, "-c", _WRITER, str(file)]
    said = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while said < saves:
            said = int(writer.stdout.readline())
        writer.kill()
        return max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])


@pytest.mark.real
async def test_r1_a_program_killed_while_it_writes_leaves_a_whole_state(file: Path) -> None:
    """What it said it had saved is there, and state and events agree to the last one."""
    said = _write_until_killed(file, saves=20)
    store = SqliteStore(file)
    loaded = await store.load("chat")
    assert loaded is not None
    assert loaded.version >= said
    assert loaded.rollout.stage == loaded.version
    assert [event.id for event in await store.history("chat")] == [f"chat/1/{n}" for n in range(1, loaded.version + 1)]
    await store.close()
