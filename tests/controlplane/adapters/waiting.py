"""Waiting for what another process does: shared by the tests of the local platform's adapters."""

import asyncio
from collections.abc import Callable

import psutil

PATIENCE_S = 60.0
"""Far beyond what anything here takes on a busy machine; only a test that fails waits so long."""


def alive(pid: int) -> bool:
    """Whether the process runs; one that has ended and that nobody waited for does not."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; TimeoutError when it never does."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - another process sets no event of ours
            await asyncio.sleep(0.01)
