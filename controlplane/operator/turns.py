"""A few at a time, and whoever needs it most next: the order in which a new leader takes rollouts up.

Used by the roster. The order is asked for at each turn anew, so that one whose numbers have just turned bad does not
wait behind hundreds that came before it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

K = TypeVar("K")


class Turns(Generic[K]):
    """So many places, for keys of which each waits once at most."""

    def __init__(self, places: int, in_order: Callable[[Sequence[K]], Sequence[K]]) -> None:
        """`in_order` puts those that wait into their order; they come in the order in which they came."""
        self._free = places
        self._in_order = in_order
        self._waiting: dict[K, asyncio.Future[bool]] = {}
        """What each is told: whether it has a place."""
        self._closed = False

    @asynccontextmanager
    async def taken(self, key: K) -> AsyncIterator[bool]:
        """Wait for a place, hold it, give it to the next. Given False there is none: nobody has a turn any more."""
        has_place = await self._turn(key)
        try:
            yield has_place
        finally:
            if has_place:
                self._leave()

    def open(self) -> None:
        """Give turns from now on; they are given at first."""
        self._closed = False

    def close(self) -> None:
        """Give no turns any more, and let nobody wait for one. Who has one may finish."""
        self._closed = True
        for key in self._expectant():
            self._waiting.pop(key).set_result(False)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def _turn(self, key: K) -> bool:
        if self._closed:
            return False
        if self._free:
            self._free -= 1
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[key] = turn
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                del self._waiting[key]
            elif turn.result():
                self._leave()  # the place came in the same moment: pass it on
            raise

    def _leave(self) -> None:
        if waiting := self._expectant():
            self._waiting.pop(self._in_order(waiting)[0]).set_result(True)
        else:
            self._free += 1

    def _expectant(self) -> list[K]:
        """Those that wait, without those that were cancelled and do not know it yet."""
        return [key for key, turn in self._waiting.items() if not turn.done()]
