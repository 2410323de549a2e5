"""The loop of the asynchronous tests: its clock does not hold it against a test when its process could not run.

`conftest.py` gives it to every asynchronous test. A limit of 0.3 s is over when the loop has listened for 0.3 s and
nothing came, and not when the machine was busy elsewhere and the answer lay there all the while. Other processes have
clocks of their own: how long they take is real, and is waited for generously.
"""

import asyncio
import selectors
import time

STEP = 0.02
"""The most that one step of the loop counts, seconds. On a quiet machine none takes longer, and time is what it is."""

_BEFORE_IT = time.time() - time.monotonic()


class _Steps(selectors.DefaultSelector):
    """Listens as any selector does, in small steps, and counts none of them for more than it should have taken."""

    def __init__(self) -> None:
        super().__init__()
        self._counted = self._seen = time.monotonic()

    def now(self) -> float:
        """Seconds that count, from those of the monotonic clock on."""
        return self._counted + min(time.monotonic() - self._seen, STEP)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What happens within `timeout` seconds that count; None: for ever."""
        self._count()
        end = float("inf") if timeout is None else self._counted + timeout
        while True:
            left = end - self._counted
            found = super().select(max(min(left, STEP), 0.0))
            self._count()
            if found or left <= STEP:
                return found

    def _count(self) -> None:
        self._counted, self._seen = self.now(), time.monotonic()


def now() -> float:
    """Seconds since the epoch by the running loop's clock: for what is given a clock, and must not see it leap."""
    return _BEFORE_IT + asyncio.get_running_loop().time()


class PatientLoop(asyncio.SelectorEventLoop):
    """An event loop with that clock."""

    def __init__(self) -> None:
        self._steps = _Steps()
        super().__init__(self._steps)

    def time(self) -> float:
        """Seconds that count."""
        return self._steps.now()
