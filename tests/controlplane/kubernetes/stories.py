"""Asynchronous tests in virtual time: hours pass in no time, in their true order."""

import functools
from collections.abc import Awaitable, Callable

from controlplane.simulation.clock import play


def story(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Make an ordinary test of an asynchronous one that runs in virtual time."""

    @functools.wraps(test)
    def told() -> None:
        async def whole() -> None:
            await test()

        play(whole())

    # Or pytest would look at the wrapped coroutine function and run it on a real loop.
    del told.__wrapped__
    return told
