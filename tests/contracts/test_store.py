"""What every rollout store promises, asked of the one in memory, of the SQLite file and of the status in a cluster."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.errors import Conflict, Unavailable
from canary.judge.state import JudgeMemory, JudgeState
from canary.rollout import Rollout
from canary.snapshot import Counters, OperatorRequest, PodCounters
from controlplane.adapters.memory_store import MemoryStore
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.store import StatusStore
from controlplane.ports import RolloutStore, Stored
from testing.fake_apiserver.kube import MemoryKube
from tests.canary.rollouts import ROLLOUTS, a_rollout, an_event


@pytest.fixture(params=["memory", "sqlite", "status"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[RolloutStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "status":
        yield _status_store()
        return
    sqlite = SqliteStore(tmp_path / "state" / "rollouts.db")
    yield sqlite
    await sqlite.close()


def _status_store() -> StatusStore:
    """The store over an API server in memory, with the ModelCanaries that these tests name."""
    clock = SystemClock()
    kube = MemoryKube(clock)
    for name in ("chat", "search"):
        metadata = {"name": name, "namespace": "models"}
        kube.seed(MODEL_CANARY, {"apiVersion": "serinus.dev/v1alpha1", "kind": "ModelCanary", "metadata": metadata})
    return StatusStore(kube, Cache(MODEL_CANARY), "models", now=clock.now)


async def test_a_name_without_a_rollout_has_nothing(store: RolloutStore) -> None:
    assert await store.load("chat") is None
    assert await store.history("chat") == []
    assert await store.requests("chat") == []


async def test_what_was_saved_is_loaded_as_it_was(store: RolloutStore) -> None:
    """Including the infinity that every histogram ends with."""
    pod = PodCounters(requests=7, histograms={"latency": {0.1: 5, float("inf"): 7}}, kpis={"sold": (1, 7)})
    rollout = a_rollout(
        judge=JudgeState(
            previous=Counters(5.0, {"canary": {"canary-0": pod}}), memory=JudgeMemory(("a gate",), problems=("none",))
        )
    )
    assert await store.save(rollout, "spec: ü\n", 0) == 1
    assert await store.load("chat") == Stored(rollout, "spec: ü\n", 1)


async def test_each_save_raises_the_version(store: RolloutStore) -> None:
    assert [await store.save(a_rollout(stage=stage), "", stage) for stage in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("stale", [0, 1, 3])
async def test_r2_a_stale_version_is_a_conflict_and_nothing_is_written(store: RolloutStore, stale: int) -> None:
    """Neither the state nor the events nor the answers to requests."""
    await store.save(a_rollout(history=(an_event(1),)), "first", 0)
    await store.save(a_rollout(stage=1, history=(an_event(1), an_event(2))), "second", 1)
    await store.ask("chat", OperatorRequest("q1", "pause", "ann", 5.0))
    before = (await store.load("chat"), await store.history("chat"), await store.requests("chat"))
    late = a_rollout(stage=9, history=(an_event(3), an_event(4)), answered=("q1",))
    with pytest.raises(Conflict):
        await store.save(late, "late", stale)
    assert (await store.load("chat"), await store.history("chat"), await store.requests("chat")) == before


async def test_events_are_kept_after_the_state_has_forgotten_them(store: RolloutStore) -> None:
    """A state carries only the newest events; each comes in at least one save, most come in several."""
    events = [an_event(number) for number in range(1, 13)]
    version = 0
    for end in range(2, 13, 2):
        newest = tuple(events[max(0, end - 4) : end])
        version = await store.save(a_rollout(history=newest, events=end), "", version)
    assert await store.history("chat") == events


async def test_each_attempt_has_its_own_history(store: RolloutStore) -> None:
    first, second = an_event(1, attempt=1), an_event(1, attempt=2)
    await store.save(a_rollout(attempt=1, history=(first,)), "", 0)
    await store.save(a_rollout(attempt=2, history=(second,)), "", 1)
    assert await store.history("chat") == [second]
    assert await store.history("chat", 1) == [first]
    assert await store.history("chat", 3) == []


async def test_names_do_not_see_each_other(store: RolloutStore) -> None:
    chat, search = a_rollout("chat"), a_rollout("search", history=(an_event(1, rollout="search"),))
    await store.save(chat, "c", 0)
    await store.save(search, "s", 0)
    assert await store.load("chat") == Stored(chat, "c", 1)
    assert await store.history("chat") == []
    assert len(await store.history("search")) == 1


async def test_a_request_waits_until_it_is_answered(store: RolloutStore) -> None:
    """The oldest comes first, and asking twice with the same id is asking once."""
    late, early = OperatorRequest("q2", "promote", "bob", 9.0, full=True), OperatorRequest("q1", "pause", "ann", 5.0)
    for request in (late, early, late):
        await store.ask("chat", request)
    assert list(await store.requests("chat")) == [early, late]
    await store.save(a_rollout(answered=("q1",)), "", 0)
    assert list(await store.requests("chat")) == [late]
    await store.ask("chat", early)
    assert list(await store.requests("chat")) == [late]


async def test_a_request_keeps_how_far_it_goes(store: RolloutStore) -> None:
    asked = [
        OperatorRequest("q1", "promote", "ann", 5.0),
        OperatorRequest("q2", "promote", "ann", 6.0, full=True),
        OperatorRequest("q3", "promote", "ann", 7.0, to=0.333333),
        OperatorRequest("q4", "promote", "ann", 8.0, to=0.0),
    ]
    for request in asked:
        await store.ask("chat", request)
    assert list(await store.requests("chat")) == asked


async def test_what_was_asked_of_one_attempt_is_not_asked_of_the_next(store: RolloutStore) -> None:
    """An abort that came too late must not abort the rollout that somebody starts tomorrow."""
    await store.save(a_rollout(attempt=1), "", 0)
    await store.ask("chat", OperatorRequest("q1", "abort", "ann", 5.0))
    await store.save(a_rollout(attempt=2), "", 1)
    assert list(await store.requests("chat")) == []


async def test_the_same_id_under_two_names_is_two_requests(store: RolloutStore) -> None:
    await store.ask("chat", OperatorRequest("q1", "abort", "ann", 5.0))
    await store.ask("search", OperatorRequest("q1", "pause", "bob", 6.0))
    assert [request.verb for request in await store.requests("search")] == ["pause"]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(ROLLOUTS, st.booleans()), max_size=6))
async def test_both_stores_agree_whatever_is_saved(saves: list[tuple[Rollout, bool]]) -> None:
    """The same saves, some with a stale version, leave the same state and the same history in both."""
    sqlite, memory = SqliteStore(Path(":memory:")), MemoryStore()
    for number, (rollout, stale) in enumerate(saves):
        events = tuple(replace(event, id=f"{rollout.attempt}/{number}/{i}") for i, event in enumerate(rollout.history))
        named = replace(rollout, name="chat", history=events)
        outcomes = []
        for store in (sqlite, memory):
            loaded = await store.load("chat")
            version = (loaded.version if loaded else 0) + (1 if stale else 0)
            try:
                outcomes.append(await store.save(named, "text", version))
            except Conflict:
                outcomes.append(-1)
        assert outcomes[0] == outcomes[1] == (-1 if stale else outcomes[0])
    assert await sqlite.load("chat") == await memory.load("chat")
    for attempt in (None, *range(1, 10)):
        assert await sqlite.history("chat", attempt) == await memory.history("chat", attempt)
    await sqlite.close()


async def test_a_store_that_fails_says_so_and_goes_on_when_it_can(tmp_path: Path) -> None:
    """The twin can be told to fail, so that loops can be tested against a store that is down."""
    memory = MemoryStore()
    await memory.save(a_rollout(), "", 0)
    memory.failure = Unavailable("the disk is full")
    with pytest.raises(Unavailable):
        await memory.load("chat")
    memory.failure = None
    assert await memory.load("chat") is not None
