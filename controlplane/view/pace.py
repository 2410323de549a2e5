"""How many requests a second each arm answers, from running totals.

Used by whoever draws pictures, one for each rollout. Remembers the readings of the last seconds and nothing else.
"""

from collections import deque
from collections.abc import Callable, Mapping

from canary.request_counts import served_since
from canary.snapshot import Counters
from canary.weights import Arm

Rates = Callable[[Counters | None], Mapping[Arm, float]]
"""Tells requests a second by arm, given the newest reading: `RefreshPace.take`, or somebody who was told them."""
WINDOW = 1.5
"""Seconds that a rate is averaged over: long enough to be steady, short enough to follow a shift."""


class RefreshPace:
    """Takes every reading, in order; answers rates."""

    def __init__(self) -> None:
        self._readings: deque[Counters] = deque()

    def take(self, counters: Counters | None) -> Mapping[Arm, float]:
        """Requests a second by arm; empty before there are two readings."""
        readings = self._readings
        if counters is not None and (not readings or counters.at > readings[-1].at):
            readings.append(counters)
            while len(readings) > 2 and readings[-1].at - readings[0].at > WINDOW:
                readings.popleft()
        if len(readings) < 2:
            return {}
        first, last = readings[0], readings[-1]
        return {arm: count / (last.at - first.at) for arm, count in served_since(first, last).items()}
