"""The recording in the SQLite file: with the state or not at all, so much and no more, and damage is said."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.errors import Conflict, Unavailable
from canary.frame import Begun, Frame, Looked, Restated
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot, VariantStatus
from canary.weights import ALL_STABLE
from controlplane.adapters import sqlite_frames
from controlplane.adapters.sqlite_store import SqliteStore
from tests.canary.rollouts import a_rollout

READY = VariantStatus(1.0, 1, 1)


def looked(at: float) -> Looked:
    pod = PodCounters(at, 0, {"latency": {0.1: at, float("inf"): at}})
    counters = Counters(at, {"stable": {"s-0": pod}})
    return Looked(at, Snapshot(READY, READY, RouteStatus(1.0, ALL_STABLE), MetricsStatus(at, counters)))


def begun(attempt: int = 1) -> Begun:
    return Begun(0.0, "chat", "r1", attempt, "{}")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(tmp_path / "serinus.db", patience=0.05)
    yield store
    await store.close()


async def saved(store: SqliteStore, frames: list[Frame], version: int = 0, attempt: int = 1) -> int:
    for frame in frames:
        store.record(frame)
    return await store.save(a_rollout(attempt=attempt), "", version)


async def test_what_was_recorded_comes_back_over_all_saves(store: SqliteStore) -> None:
    version = await saved(store, [begun(), looked(1)])
    await saved(store, [looked(2), looked(3)], version)
    assert await store.frames("chat") == [begun(), looked(1), looked(2), looked(3)]


async def test_what_was_not_saved_is_not_recorded(store: SqliteStore, tmp_path: Path) -> None:
    """A killed process leaves a record that ends where its state does."""
    await saved(store, [begun()])
    store.record(looked(1))
    another = SqliteStore(tmp_path / "serinus.db")
    assert await another.frames("chat") == [begun()]
    await another.close()


async def test_a_save_that_fails_loses_no_frame_and_writes_none_twice(store: SqliteStore) -> None:
    version = await saved(store, [begun()])
    store.record(looked(1))
    with pytest.raises(Conflict):
        await store.save(a_rollout(), "", version + 7)
    store.record(looked(2))
    await store.save(a_rollout(), "", version)
    assert await store.frames("chat") == [begun(), looked(1), looked(2)]


async def test_what_did_not_come_about_is_restated(store: SqliteStore) -> None:
    version = await saved(store, [begun()])
    store.record(looked(1))
    store.break_off()
    await saved(store, [looked(2)], version)
    first, restated = await store.frames("chat")
    assert (first, type(restated)) == (begun(), Restated)
    await saved(store, [looked(3)], version + 1)
    assert (await store.frames("chat"))[2:] == [looked(3)]


async def test_a_recording_has_a_bound(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its beginning stays whole: a replay reaches as far as it goes."""
    monkeypatch.setattr(sqlite_frames, "MOST_BYTES", 600)
    version, at = await saved(store, [begun()]), 0.0
    for _ in range(20):
        frames: list[Frame] = [looked(at := at + 1)]
        version = await saved(store, frames, version)
    kept = await store.frames("chat")
    assert kept[0] == begun()
    assert 2 < len(kept) < 15
    assert kept[1:] == [looked(number + 1.0) for number in range(len(kept) - 1)]


async def test_recordings_of_old_attempts_make_room(store: SqliteStore) -> None:
    version = 0
    for attempt in range(1, 6):
        version = await saved(store, [begun(attempt)], version, attempt)
    kept = [attempt for attempt in range(1, 6) if await store.frames("chat", attempt)]
    assert kept == list(range(6 - sqlite_frames.ATTEMPTS, 6))
    assert await store.frames("chat") == [begun(5)]


async def test_a_damaged_piece_is_said(store: SqliteStore, tmp_path: Path) -> None:
    await saved(store, [begun()])
    with sqlite3.connect(tmp_path / "serinus.db") as file:
        file.execute("UPDATE frames SET body = ?", (b"rust",))
    file.close()
    with pytest.raises(Unavailable, match="is damaged: a piece of the recording"):
        await store.frames("chat")
