"""Reads the numbers on a fixed grid, so that slow answers do not add up, and says when it cannot keep up.

Run by `operator.py` while this replica leads. One reading at a time; while it takes longer than a period, rollouts are
told all the same, for silence is news too.
"""

import asyncio
from collections.abc import Awaitable, Callable

from controlplane.operator.tally import Tally

QUIET = 60.0
"""Seconds between two warnings that ticks slip."""


class Ticker:
    """One grid."""

    def __init__(
        self,
        read: Callable[[], Awaitable[None]],
        told: Callable[[], Awaitable[None]],
        *,
        period: float,
        tally: Tally,
        say: Callable[[str], None],
    ) -> None:
        """`read` reads the numbers, `told` lets rollouts look at them; `period`: seconds."""
        self._read, self._told = read, told
        self._period, self._tally, self._say = period, tally, say
        self._warned_at = float("-inf")
        self._complaint = ""

    async def run(self) -> None:
        """Tick for ever."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        reading: asyncio.Task[None] | None = None
        async with asyncio.TaskGroup() as tasks:
            while True:
                now = loop.time()
                slow = reading is not None and not reading.done()
                self._note(now - due, slow=slow)
                if slow:
                    await self._told()
                else:
                    reading = tasks.create_task(self._once())
                due += self._period * max(1, -(-(now - due) // self._period))
                await asyncio.sleep(due - loop.time())

    async def _once(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            await self._read()
        except Exception as error:  # noqa: BLE001 - without numbers rollouts are blind, with a bug they must not be blinder
            if repr(error) != self._complaint:
                self._complaint = repr(error)
                self._say(f"A bug of ours while reading the numbers, please report it: {error!r}.")
        self._tally.tick_seconds = loop.time() - began
        await self._told()

    def _note(self, late: float, *, slow: bool) -> None:
        tally, now = self._tally, asyncio.get_running_loop().time()
        tally.ticks += 1
        tally.slip = max(late, 0.0)
        if late > self._period / 2 or slow:
            tally.ticks_slipped += 1
            if now - self._warned_at >= QUIET:
                self._warned_at = now
                why = "the last reading is not back yet" if slow else f"it is {late:.1f} s late"
                self._say(f"The tick of {self._period:g} s slips: {why}. Verdicts come later by as much.")
