"""Asynchronous tests in virtual time: hours pass in no time, in their true order, and a late machine decides nothing.

For tests whose world is all coroutines. A virtual loop hears no sockets, and does in place what a thread would do. What
needs sockets runs on pytest's own loop, and there waits for what happens and never for how long it takes.
"""

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

from controlplane.simulation.clock import play

P = ParamSpec("P")


def in_virtual_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make an ordinary test of an asynchronous one; it may take fixtures that are not asynchronous themselves."""

    @functools.wraps(test)
    def told(*args: P.args, **kwargs: P.kwargs) -> None:
        play(test(*args, **kwargs))

    # pytest shall see the arguments, but not the coroutine function, which it would run on a real loop.
    told.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    del told.__wrapped__
    return told
