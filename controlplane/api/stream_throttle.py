"""How long streams rest between two looks at a rollout, so that all looks together take a small part of one core.

Used by `stream.py`. What a look costs is measured, so that it holds on slow machines, for large rollouts and for any
number of them: hundreds that are followed at once take turns, and one alone is told of at once. Nothing is lost by a
rest: the next look tells of everything since the last.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SHARE = 0.05
"""Of one core, for all looks; to read, watch and send takes about as much besides (`benchmarks/dashboards.py`)."""
NEWEST = 0.02
"""How much the newest look counts in what one is expected to cost: some fifty are remembered."""


class StreamThrottle:
    """What looks cost, and how many rollouts are looked at."""

    def __init__(self, used: Callable[[], float] = time.thread_time) -> None:
        """`used`: seconds of processor time that this thread has had."""
        self._used = used
        self._cost: float | None = None
        self.followed = 0
        """Rollouts that take turns."""

    @property
    def rest(self) -> float:
        """Seconds between two looks at one rollout."""
        return self.followed * (self._cost or 0.0) / SHARE

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Measure one look, in which nobody else may have a turn."""
        began = self._used()
        try:
            yield
        finally:
            taken = self._used() - began
            self._cost = taken if self._cost is None else self._cost + (taken - self._cost) * NEWEST
