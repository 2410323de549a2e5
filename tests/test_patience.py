"""The loop of these tests: what came in time is in time, however late anybody looked; what never comes is late."""

import asyncio
import socket
import time

import pytest

from tests.patience import STEP, PatientLoop


def _hold_up() -> None:
    """A machine that does something else, as far as this process can tell."""
    time.sleep(0.3)


async def test_every_asynchronous_test_runs_on_it() -> None:
    assert isinstance(asyncio.get_running_loop(), PatientLoop)


async def test_an_answer_that_lay_there_while_the_process_was_held_up_is_in_time() -> None:
    loop = asyncio.get_running_loop()
    here, there = socket.socketpair()
    here.setblocking(False)
    with here, there:
        loop.call_soon(_hold_up)
        loop.call_later(0.01, there.send, b"answer")
        async with asyncio.timeout(0.2):
            assert await loop.sock_recv(here, 100) == b"answer"


async def test_being_held_up_counts_as_one_step() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    _hold_up()
    assert loop.time() - began <= STEP + 1e-9


async def test_what_never_comes_is_late_after_its_time() -> None:
    loop = asyncio.get_running_loop()
    began, really = loop.time(), time.monotonic()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3 * STEP):
            await asyncio.Event().wait()
    assert loop.time() - began >= 3 * STEP
    assert time.monotonic() - really >= 3 * STEP - 1e-3
