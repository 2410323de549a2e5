"""When each rollout wants to be looked at again: one heap and one sleeper for all of them.

Set by the controller after every pass. A key has one time, the one that was set last; a key without one costs nothing.
"""

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")


class DelayQueue(Generic[K]):
    """Times on the event loop's clock, which never jumps."""

    def __init__(self, due: Callable[[K], None]) -> None:
        """`due` is called with each key when its time has come."""
        self._due = due
        self._heap: list[tuple[float, int, K]] = []
        self._current: dict[K, tuple[float, int]] = {}
        self._numbers = itertools.count()
        self._stir = asyncio.Event()

    def set(self, key: K, seconds: float) -> None:
        """Call back in so many seconds, in place of any earlier wish; infinite: not at all."""
        if math.isinf(seconds):
            self.forget(key)
            return
        at = asyncio.get_running_loop().time() + max(seconds, 0.0)
        ticket = (at, next(self._numbers))
        self._current[key] = ticket
        heapq.heappush(self._heap, (*ticket, key))
        if self._heap[0][1] == ticket[1]:
            self._stir.set()

    def forget(self, key: K) -> None:
        """Do not call back."""
        self._current.pop(key, None)

    def __len__(self) -> int:
        """How many keys have a time."""
        return len(self._current)

    async def run(self) -> None:
        """Call back, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            self._stir.clear()
            self._ring(loop.time())
            self._drop_outdated()
            wait = self._heap[0][0] - loop.time() if self._heap else None
            try:
                async with asyncio.timeout(wait):
                    await self._stir.wait()
            except TimeoutError:
                continue

    def _ring(self, now: float) -> None:
        while self._heap and self._heap[0][0] <= now:
            at, number, key = heapq.heappop(self._heap)
            if self._current.get(key) == (at, number):
                del self._current[key]
                self._due(key)

    def _drop_outdated(self) -> None:
        """What was replaced by a later wish, once it is the larger part of the heap or stands first."""
        while self._heap and self._current.get(self._heap[0][2]) != self._heap[0][:2]:
            heapq.heappop(self._heap)
        if len(self._heap) > 4 * len(self._current) + 64:
            self._heap = [entry for entry in self._heap if self._current.get(entry[2]) == entry[:2]]
            heapq.heapify(self._heap)
