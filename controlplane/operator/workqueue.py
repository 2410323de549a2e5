"""Which rollout is looked at next: each at most once at a time, those that lower traffic before all others.

Filled by the controller, worked off by its workers. A key that is poked while it waits is still one key; one that is
poked while it is worked on is worked on again. Holds no rollouts and decides nothing about them.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection
from typing import Generic, TypeVar

K = TypeVar("K")


class WorkQueue(Generic[K]):
    """Keys in two lanes."""

    def __init__(self) -> None:
        self._urgent: dict[K, None] = {}
        self._others: dict[K, None] = {}
        self._busy: set[K] = set()
        self._again: dict[K, bool] = {}
        """Keys poked while they are worked on, and whether urgently."""
        self._closed = False
        self._unbusy = asyncio.Event()
        self._unbusy.set()
        self._one_done = asyncio.Event()
        self._idle: dict[bool, deque[asyncio.Future[None]]] = {False: deque(), True: deque()}
        """Workers that wait: those for every key, and those for urgent ones only."""

    def poke(self, key: K, *, urgent: bool = False) -> None:
        """Let this be looked at soon. Returns at once."""
        if key in self._busy:
            self._again[key] = self._again.get(key, False) or urgent
            return
        if urgent:
            self._others.pop(key, None)
            self._urgent.setdefault(key)
        elif key not in self._urgent:
            self._others.setdefault(key)
        self._wake(urgent)

    def close(self) -> None:
        """Hand nothing out any more."""
        self._closed = True

    async def emptied(self) -> None:
        """Wait until nothing is worked on."""
        await self._unbusy.wait()

    async def through(self, keys: Collection[K]) -> None:
        """Wait until none of these waits or is worked on."""
        while not self._busy.isdisjoint(keys) or any(key in self._urgent or key in self._others for key in keys):
            self._one_done.clear()
            await self._one_done.wait()

    def __len__(self) -> int:
        """How many wait, whatever is being worked on."""
        return len(self._urgent) + len(self._others)

    async def run(self, work: Callable[[K], Awaitable[None]], *, workers: int, reserved: int) -> None:
        """Work keys off, for ever. `reserved` workers take urgent keys only, so that these never wait for slow ones.

        `work` has to deal with every failure of its own: what it raises ends the queue.
        """
        async with asyncio.TaskGroup() as tasks:
            for number in range(workers + reserved):
                tasks.create_task(self._worker(work, urgent_only=number >= workers))

    async def _worker(self, work: Callable[[K], Awaitable[None]], *, urgent_only: bool) -> None:
        while True:
            lanes = (self._urgent,) if urgent_only else (self._urgent, self._others)
            lane = next((lane for lane in lanes if lane), None)
            if lane is None or self._closed:
                waiter = asyncio.get_running_loop().create_future()
                self._idle[urgent_only].append(waiter)
                await waiter
                continue
            key = next(iter(lane))
            del lane[key]
            self._busy.add(key)
            self._unbusy.clear()
            try:
                await work(key)
            finally:
                self._busy.discard(key)
                self._one_done.set()
                if not self._busy:
                    self._unbusy.set()
                urgent = self._again.pop(key, None)
                if urgent is not None:
                    self.poke(key, urgent=urgent)

    def _wake(self, urgent: bool) -> None:
        """One worker that has nothing to do; a reserved one only where no other is free."""
        for urgent_only in (False, True) if urgent else (False,):
            waiting = self._idle[urgent_only]
            while waiting:
                waiter = waiting.popleft()
                if not waiter.done():
                    waiter.set_result(None)
                    return
