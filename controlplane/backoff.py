"""Exponential back-off: how long to wait after failures in a row. Used by every loop that tries something again.

Waits for nothing and has no clock; jitter is passed in, so that tests are deterministic.
"""

from collections.abc import Callable

_DOUBLINGS = 64
"""More would overflow a float for a loop that has failed for weeks."""


def delay(failures: int, first: float, longest: float) -> float:
    """Seconds to wait after so many failures in a row (at least one): doubled each time, up to `longest`."""
    return min(longest, first * 2.0 ** min(failures - 1, _DOUBLINGS))


class Backoff:
    """Counts failures in a row of one loop."""

    def __init__(self, first: float, longest: float, *, jitter: Callable[[float], float] | None = None) -> None:
        """`first`, `longest`: seconds; `jitter` turns a delay into the one to use, such as a random part of it."""
        self.failures = 0
        self._first, self._longest, self._jitter = first, longest, jitter

    def next(self) -> float:
        """Seconds to wait after one more failure."""
        self.failures += 1
        seconds = delay(self.failures, self._first, self._longest)
        return self._jitter(seconds) if self._jitter else seconds

    def reset(self) -> None:
        """It worked: the next failure is the first again."""
        self.failures = 0
