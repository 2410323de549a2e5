"""How many requests may be under way at once, and who goes first.

Used by `client.py`. A rollback must not stand in line behind routine writes: urgent requests are let in first, and some
places are theirs alone, so that slow answers to all the others do not hold them up either. What waits can be hastened:
a rollout whose canary has just broken may be waiting for a routine write of its own. Of the others those go first that
were let in lately: hundreds that begin at one moment, ten writes each, would wait for each other at every one of them
until all have lost their patience, and begin again.
"""

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

Lane = dict[asyncio.Future[None], Hashable]
"""Those that wait, in the order in which they came, and whose each is."""
LATELY = 3
"""Of so many for each place it is known that they were let in lately."""


class PriorityLimiter:
    """At most `places` at once, of which `kept` are only for the urgent."""

    def __init__(self, places: int, kept: int) -> None:
        self._free = places
        self._kept = kept
        self._lately: dict[Hashable, None] = {}
        """Whose ordinary requests were let in, the newest last."""
        self._many = places * LATELY
        self._urgent: Lane = {}
        self._ordinary: Lane = {}

    @asynccontextmanager
    async def passing(self, *, urgent: bool = False, whose: Hashable = None) -> AsyncIterator[None]:
        """Wait for a place, hold it, give it back.

        Within each lane who was let in lately goes first, by `whose`, and then who came first.
        """
        await self._enter(urgent=urgent, whose=whose)
        try:
            yield
        finally:
            self._leave()

    def hasten(self, whose: Hashable) -> None:
        """Let what waits here of this one's be urgent from now on."""
        for turn in [turn for turn, waiting in self._ordinary.items() if waiting == whose]:
            self._urgent[turn] = self._ordinary.pop(turn)
        self._let_in()

    async def _enter(self, *, urgent: bool, whose: Hashable) -> None:
        lane = self._urgent if urgent else self._ordinary
        if not lane and self._free > (0 if urgent else self._kept):
            self._free -= 1
            self._note(whose)
            return
        turn = asyncio.get_running_loop().create_future()
        lane[turn] = whose
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                for each in (self._urgent, self._ordinary):
                    each.pop(turn, None)  # It may have been passed over already.
            else:
                self._leave()  # The place came in the same moment as the cancellation: pass it on.
            raise

    def _leave(self) -> None:
        self._free += 1
        self._let_in()

    def _let_in(self) -> None:
        for lane, kept in ((self._urgent, 0), (self._ordinary, self._kept)):
            while lane and self._free > kept:
                turn = next((turn for turn, whose in lane.items() if whose in self._lately), next(iter(lane)))
                self._note(lane.pop(turn))
                if not turn.cancelled():
                    self._free -= 1
                    turn.set_result(None)

    def _note(self, whose: Hashable) -> None:
        """This one was let in."""
        if whose is not None:
            self._lately.pop(whose, None)
            self._lately[whose] = None
            if len(self._lately) > self._many:
                del self._lately[next(iter(self._lately))]
