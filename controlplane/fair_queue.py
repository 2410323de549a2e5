"""A few at a time, and who goes next: in the order of need, or fairly among those who ask.

Used for requests to the API server (`kubernetes/request_limiter.py`), by the controller, where a new leader takes
rollouts up, and by what answers requests from outside, where no sender may keep the others out. The order is asked for
at each turn, so that a rollout whose numbers have just turned bad does not wait behind hundreds that came before it.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import count
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")
MOST_REMEMBERED = 10_000
"""Senders of whom it is known how many turns they had."""


class Turns(Generic[K]):
    """So many places, for keys of which each waits once at most."""

    def __init__(self, places: int, in_order: Callable[[Sequence[K]], Sequence[K]]) -> None:
        """`in_order`: those that wait, best first, less those that may have no place now.

        It is given them in the order in which they came.
        """
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
                self._leave(key)

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
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[key] = turn
        self._give()
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                del self._waiting[key]
            elif turn.result():
                self._leave(key)  # the place came in the same moment: pass it on
            raise

    def _give(self) -> None:
        while self._free and (waiting := self._expectant()) and (ready := self._in_order(waiting)):
            self._free -= 1
            self._given(ready[0])
            self._waiting.pop(ready[0]).set_result(True)

    def _leave(self, key: K) -> None:
        self._free += 1
        self._returned(key)
        self._give()

    def _given(self, key: K) -> None:
        """This one has a place."""

    def _returned(self, key: K) -> None:
        """This one has its place no longer."""

    def _expectant(self) -> list[K]:
        """Those that wait, without those that were cancelled and do not know it yet."""
        return [key for key, turn in self._waiting.items() if not turn.done()]


class Asking(NamedTuple):
    """Somebody who waits for a place."""

    sender: str
    is_urgent: bool
    number: int


class FairQueue(Turns[Asking]):
    """Places for whoever asks: nobody holds more than a share of them, and who had fewest lately goes next."""

    def __init__(self, places: int, of_one: int) -> None:
        """`of_one`: places that one sender may hold."""
        super().__init__(places, self._fairly)
        self._of_one = of_one
        self._numbers = count()
        self._holds: Counter[str] = Counter()
        self._had: Counter[str] = Counter()
        """Turns of each since somebody began to wait."""

    @asynccontextmanager
    async def held(self, sender: str, *, urgent: bool = False) -> AsyncIterator[None]:
        """Wait for a place and hold it. The urgent go first."""
        async with self.taken(Asking(sender, urgent, next(self._numbers))):
            yield

    def _fairly(self, waiting: Sequence[Asking]) -> Sequence[Asking]:
        ready = [each for each in waiting if self._holds[each.sender] < self._of_one]
        return [min(ready, key=self._rank)] if ready else []

    def _rank(self, asking: Asking) -> tuple[bool, int, int]:
        return not asking.is_urgent, self._had[asking.sender], asking.number

    def _given(self, key: Asking) -> None:
        self._holds[key.sender] += 1
        self._had[key.sender] += 1

    def _returned(self, key: Asking) -> None:
        self._holds[key.sender] -= 1
        if not self._holds[key.sender]:
            del self._holds[key.sender]
        if not len(self) or len(self._had) > MOST_REMEMBERED:
            self._had.clear()
