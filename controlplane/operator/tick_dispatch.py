"""Who looks at new numbers when: those whose numbers have turned bad at once and by themselves, then all the others.

Used by the scheduler at each tick. A call that is cut off by the next one loses nobody: whom it did not come to is
called before others who heard the last numbers. Decides nothing about anybody.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

K = TypeVar("K")

HEAD_START = 0.1
"""Seconds at most in which only those are worked on whose numbers look bad: time for a rollback's route to be written.
The others have the rest of the second."""
GIVE_WAY = 0.005
"""Seconds between two that are called while newer numbers are being read: taking those in comes first."""


class TickDispatcher(Generic[K]):
    """Everybody, once a tick."""

    def __init__(
        self,
        call: Callable[[K], None],
        through: Callable[[Collection[K]], Awaitable[None]],
        is_reading: Callable[[], bool] = lambda: False,
    ) -> None:
        """`call` lets one be looked at; `through` returns once these have been.

        `is_reading`: whether newer numbers are on their way.
        """
        self._call, self._through, self._is_reading = call, through, is_reading
        self._uncalled: dict[K, None] = {}

    async def begin(self, order: Sequence[K], alarmed: Collection[K]) -> None:
        """Call all in this order, the alarmed first. To be cancelled where newer numbers come before its end.

        The event loop has a turn after each, and what one of them writes is sent before all were looked at.
        """
        missed = frozenset(self._uncalled)
        first = [key for key in order if key in alarmed]
        others = sorted((key for key in order if key not in alarmed), key=lambda key: key not in missed)
        self._uncalled = dict.fromkeys((*first, *others))
        await self._each(first)
        if first:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEAD_START):
                    await self._through(first)
        await self._each(others)

    async def _each(self, keys: Iterable[K]) -> None:
        for key in keys:
            del self._uncalled[key]
            self._call(key)
            await asyncio.sleep(GIVE_WAY if self._is_reading() else 0)
