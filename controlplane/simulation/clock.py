"""Virtual time: an asyncio loop that never waits, and the clock port on top of it.

Used by `story.py`. Whenever every task waits, the loop jumps to the moment when the first of them goes on, so timeouts,
sleeps and back-offs of the real code happen in their true order and in no time. The only place of the simulation that
knows asyncio's inner pace; it decides nothing about the world.
"""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

EPOCH = 1_767_225_600.0
"""Virtual time begins at 2026-01-01T00:00:00Z in every simulation, so that its story is the same on every day."""


class _Jump(selectors.SelectSelector):
    """A selector that never waits for its sockets: it moves time on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Move time on by `timeout` instead of waiting."""
        if timeout is None:
            raise RuntimeError("every task of the simulation waits for something that never happens")
        self.now += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is virtual seconds from 0."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        """Virtual seconds since the simulation began."""
        return self._jump.now

    def run_in_executor(  # type: ignore[override]  # the result is a future here too
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Do at once and in order what another thread would do at some time: it takes no virtual time."""
        done: asyncio.Future[T] = self.create_future()
        try:
            done.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whoever awaits it gets it, as from a thread
            done.set_exception(error)
        return done


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(story)


class VirtualClock:
    """The clock that the controller reads. May be wrong, as clocks are: see `jumps`."""

    def __init__(self, jumped: Callable[[float], float] = lambda _t: 0.0) -> None:
        """`jumped` answers by how many seconds the clock is off at a virtual time."""
        self._jumped = jumped

    def now(self) -> float:
        """Seconds since the epoch, as the controller's machine believes."""
        t = self.t
        return EPOCH + t + self._jumped(t)

    @property
    def t(self) -> float:
        """True virtual seconds since the simulation began."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)
