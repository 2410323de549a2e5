"""Reads the numbers on a fixed grid, so that slow answers do not add up, and says when it cannot keep up.

Run by `operator.py` while this replica leads. One reading at a time; while it takes longer than a period, rollouts are
told all the same, for silence is news too. A reading never waits until all rollouts have looked at the one before: the
newest numbers are what a broken canary is found by, and who has not looked yet looks at those.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from canary.format import duration
from controlplane.operator.counters import OperatorCounters

QUIET = 60.0
"""Seconds between two warnings that ticks slip."""

Tell = Callable[[], Coroutine[object, object, None]]


class Ticker:
    """One grid."""

    def __init__(
        self,
        read: Callable[[], Awaitable[None]],
        *,
        period: float,
        tally: OperatorCounters,
        say: Callable[[str], None],
    ) -> None:
        """`read` reads the numbers; `period`: seconds."""
        self._read = read
        self._reading: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._period, self._tally, self._say = period, tally, say
        self._warned_at = float("-inf")
        self._complaint = ""

    def is_reading(self) -> bool:
        """Whether numbers are being read just now."""
        return self._reading is not None and not self._reading.done()

    async def run(self, dispatch: Callable[[], Awaitable[None]], rest: Callable[[], None] = lambda: None) -> None:
        """Tick for ever. `dispatch` lets rollouts look at the numbers, and is cancelled where newer ones come.

        `rest` is called when all have looked and nobody waits for anything.
        """

        async def tell() -> None:
            try:
                await dispatch()
            except Exception as error:  # noqa: BLE001 - the next tick is told again, and an end of this would end all
                self._complain("while telling rollouts of new numbers", error)
            rest()

        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = loop.time()
                slow = self.is_reading()
                self._note(now - due, slow=slow)
                if slow:
                    self._tell(tasks, tell)
                else:
                    self._reading = tasks.create_task(self._once(tasks, tell))
                due += self._period * max(1, -(-(now - due) // self._period))
                await asyncio.sleep(due - loop.time())

    async def _once(self, tasks: asyncio.TaskGroup, tell: Tell) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._read()
        except Exception as error:  # noqa: BLE001 - without numbers rollouts are blind, with a bug they must not be blinder
            self._complain("while reading the numbers", error)
        self._tally.tick_seconds = loop.time() - began
        self._tell(tasks, tell)

    def _tell(self, tasks: asyncio.TaskGroup, tell: Tell) -> None:
        if self._telling is not None:
            self._telling.cancel()
        self._telling = tasks.create_task(tell())

    def _complain(self, when: str, error: Exception) -> None:
        """Once for each error, however often it comes."""
        if repr(error) != self._complaint:
            self._complaint = repr(error)
            self._tally.bugs += 1
            self._say(f"A bug of ours {when}, please report it: {error!r}.")

    def _note(self, late: float, *, slow: bool) -> None:
        tally, now = self._tally, asyncio.get_running_loop().time()
        tally.ticks += 1
        tally.slip = max(late, 0.0)
        if late > self._period / 2 or slow:
            tally.ticks_slipped += 1
            if now - self._warned_at >= QUIET:
                self._warned_at = now
                why = "the last reading is not back yet" if slow else f"it is {duration(late)} late"
                self._say(f"The tick of {self._period:g} s slips: {why}. Verdicts come later by as much.")
