"""Writes histories, a moment after something happened and a few at a time: nobody waits for them.

Used by the controller. A new leader looks through the histories of all that it takes up, and those must not stand
before a rollback in the API server's queue.
"""

import asyncio

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Key, key_of
from controlplane.operator.event_log import EventLog
from controlplane.ports import Clock
from controlplane.reconcile.loop import Spawn

AFTER = 2.0
"""Seconds in which new events of a rollout are gathered before its history is written."""
AT_A_TIME = 2


class EventLogWriter:
    """Of all namespaces."""

    def __init__(self, clock: Clock, spawn: Spawn) -> None:
        """`spawn` runs a coroutine in the background, or closes it."""
        self._clock, self._spawn = clock, spawn
        self._writing: set[Key] = set()
        self._pens = asyncio.Semaphore(AT_A_TIME)

    def write(self, books: EventLog, owner: Object, *, at_once: bool = False) -> None:
        """Let what waits of this ModelCanary's history be written, unless that is so already."""
        key = key_of(owner)
        if books.waiting(key[1]) and key not in self._writing:
            self._writing.add(key)
            self._spawn(self._write(books, key, owner, 0.0 if at_once else AFTER))

    async def _write(self, books: EventLog, key: Key, owner: Object, seconds: float) -> None:
        try:
            await self._clock.sleep(seconds)
            async with self._pens:
                await books.flush(key[1], owner)
        finally:
            self._writing.discard(key)
