"""When each rollout is reconciled: a work queue, a delay queue and the dispatch of new metrics, by one priority policy.

Made by `operator.py` and run by the controller while this replica leads; until then, and after it, whatever is added is
left out. Holds keys only: what a key is and what reconciling does is the controller's business.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from controlplane.operator.delay_queue import DelayQueue
from controlplane.operator.tick_dispatch import TickDispatcher
from controlplane.operator.ticker import Ticker
from controlplane.operator.workqueue import WorkQueue

WORKERS, RESERVED = 512, 32
"""Passes at the same time; reserved ones are for urgent keys.

So many that when all rollouts breach at one moment, each has its route in line before the first state is written: the
client lets routes through before states.
"""
K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Priority(Generic[K]):
    """Which key goes before which."""

    is_urgent: Callable[[K], bool] = lambda _: False
    """Whether it goes before all others, and has workers of its own."""
    order: Callable[[Sequence[K]], Sequence[K]] = lambda keys: keys
    """The order in which new metrics are dispatched: the worst come first,"""
    is_alarming: Callable[[K], bool] = lambda _: False
    """and before all of them those that look as if the canary had just broken. Such a key is urgent too."""
    promote: Callable[[K], None] = lambda _: None
    """Lets the writes that an alarming key waits for go before those of others."""


class Scheduler(Generic[K]):
    """Hands each key to one worker at a time."""

    def __init__(self, priority: Priority[K], ticker: Ticker, on_bug: Callable[[K, Exception], None]) -> None:
        """`on_bug` reports a key of which the policy could not tell whether it is urgent; it is reconciled then too."""
        self.priority, self.ticker = priority, ticker
        self._on_bug = on_bug
        self._is_open = False
        self._queue: WorkQueue[K] = WorkQueue()
        self._delays: DelayQueue[K] = DelayQueue(self.add)
        self._dispatcher: TickDispatcher[K] = TickDispatcher(self.add, self._processed, ticker.is_reading)

    def __len__(self) -> int:
        """How many keys wait for a worker."""
        return len(self._queue)

    def add(self, key: K) -> None:
        """Reconcile this soon. Never raises: whoever adds one has others to add."""
        if not self._is_open:
            return
        urgent = False
        try:
            urgent = self.priority.is_alarming(key) or self.priority.is_urgent(key)
        except Exception as error:  # noqa: BLE001 - whatever this one holds, the others are added
            self._on_bug(key, error)
        self._queue.poke(key, urgent=urgent)

    async def dispatch(self, keys: Sequence[K]) -> None:
        """New metrics have come for these keys. May be cancelled and called again, with newer ones."""
        alarming = {key for key in keys if self.priority.is_alarming(key)}
        for key in alarming:
            self.priority.promote(key)
        await self._dispatcher.begin(self.priority.order(keys), alarming)

    async def run(self, reconcile: Callable[[K], Awaitable[float]], first: Iterable[K]) -> None:
        """Reconcile keys until cancelled, beginning with `first`, in this order.

        `reconcile` answers in how many seconds its key is due again at the latest, and never raises.
        """

        async def work(key: K) -> None:
            self._delays.set(key, await reconcile(key))

        self._is_open = True
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._delays.run(), name="delay queue")
                for key in first:
                    self.add(key)
                await self._queue.run(work, workers=WORKERS, reserved=RESERVED)
        finally:
            self._is_open = False
            self._queue, self._delays = WorkQueue(), DelayQueue(self.add)

    async def drain(self) -> None:
        """Begin nothing new, and wait until nothing is under way."""
        self._queue.close()
        await self._queue.emptied()

    async def _processed(self, keys: Iterable[K]) -> None:
        await self._queue.through(frozenset(keys))
