"""Until when Envoy's workers have all followed, by what is seen of its uptime; and that a real worker can be late."""

import asyncio
import ctypes
import math
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.weights import ALL_STABLE, Weights
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.envoy_workers import Workers
from tests.controlplane.adapters.upstreams import upstream
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.patience import now

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
EVERY_THREAD = 0x40000000


def test_one_flush_since_a_moment_may_have_begun_before_it_and_two_have_not() -> None:
    workers = Workers()
    assert workers.look(7, 100.0) == -math.inf
    assert workers.look(7, 101.0) == -math.inf
    assert workers.look(8, 102.0) == -math.inf
    assert workers.look(9, 103.0) == 101.0
    assert workers.look(9, 104.0) == 101.0
    assert workers.look(12, 105.0) == 102.0


def test_a_clock_that_was_set_back_takes_nothing_for_settled() -> None:
    workers = Workers()
    for at in range(100, 105):
        workers.look(at, float(at))
    assert workers.look(105, 50.0) == -math.inf


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=30), st.floats(0.01, 2))
def test_nothing_is_settled_that_a_flush_did_not_begin_after(flushes: list[tuple[float, float]], every: float) -> None:
    """Flushes one after the other, each after a pause and as long as its slowest worker makes it."""
    begun, ended, t = [0.0], [0.0], 0.0
    for pause, length in flushes:
        begun.append(t + pause)
        t += pause + length
        ended.append(t)
    workers, at = Workers(), 0.0
    while at <= t:
        newest = max(index for index, end in enumerate(ended) if end <= at)
        assert workers.look(math.floor(ended[newest]), at) <= max(begun[: newest + 1])
        at += every


def name_of(thread: int) -> str:
    """What its process calls it."""
    return Path(f"/proc/{thread}/comm").read_text(encoding="utf-8")


@contextmanager
def standing(thread: int) -> Iterator[None]:
    """This thread gets no processor inside the block, and the others of its process do."""
    ptrace = ctypes.CDLL(None, use_errno=True).ptrace
    for request in (SEIZE, INTERRUPT):
        if ptrace(request, thread, 0, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.waitpid(thread, EVERY_THREAD)
    try:
        yield
    finally:
        ptrace(DETACH, thread, 0, 0)


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[EnvoyRouter]:
    """Half of the traffic on each arm, through a real Envoy."""
    async with (
        upstream("stable") as stable,
        upstream("canary") as canary,
        EnvoyRouter(tmp_path, listen="127.0.0.1:0", now=now, patience_s=PATIENCE_S) as envoy,
    ):
        await envoy.set_endpoints(
            {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}},
            {"stable": {"stable-0": stable}, "canary": {"canary-0": canary}},
        )
        await envoy.set_weights(Weights(500_000))
        yield envoy
    await EnvoyProcess(tmp_path, print).stop_left_behind(grace_s=0.0)


@pytest.mark.real
async def test_weights_are_not_settled_while_a_worker_has_not_taken_them(router: EnvoyRouter) -> None:
    """Envoy's main thread says that they are in force, and a worker that stands still sends by the old ones."""

    async def settled() -> float:
        found = (await router.in_flight())["canary"].settled
        assert found is not None
        return found

    worker = next(each for each in psutil.Process(router.pid).threads() if name_of(each.id).startswith("wrk:")).id
    while await settled() < 0:  # noqa: ASYNC110 - another process sets no event of ours
        await asyncio.sleep(0.05)
    with standing(worker):
        asked = now()
        await router.set_weights(ALL_STABLE)
        assert (await router.seen()).weights == ALL_STABLE
        for _ in range(60):  # three times as long as it takes where nobody stands
            assert await settled() < asked
            await asyncio.sleep(0.1)
    async with asyncio.timeout(PATIENCE_S):
        while await settled() < asked:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)
