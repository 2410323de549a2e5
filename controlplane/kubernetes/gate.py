"""How many requests may be under way at once, and who goes first.

Used by `client.py`. A rollback must not stand in line behind routine writes: urgent requests are let in first, and some
places are theirs alone, so that sixteen slow answers do not hold them up either.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Gate:
    """At most `places` at once, of which `kept` are only for the urgent."""

    def __init__(self, places: int, kept: int) -> None:
        self._free = places
        self._kept = kept
        self._urgent: deque[asyncio.Future[None]] = deque()
        self._ordinary: deque[asyncio.Future[None]] = deque()

    @asynccontextmanager
    async def passing(self, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a place, hold it, give it back. First come, first served within each lane."""
        await self._enter(urgent=urgent)
        try:
            yield
        finally:
            self._leave()

    async def _enter(self, *, urgent: bool) -> None:
        lane = self._urgent if urgent else self._ordinary
        if not lane and self._free > (0 if urgent else self._kept):
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        lane.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # It may have been passed over already.
                    lane.remove(turn)
            else:
                self._leave()  # The place came in the same moment as the cancellation: pass it on.
            raise

    def _leave(self) -> None:
        self._free += 1
        for lane, kept in ((self._urgent, 0), (self._ordinary, self._kept)):
            while lane and self._free > kept:
                turn = lane.popleft()
                if not turn.cancelled():
                    self._free -= 1
                    turn.set_result(None)
