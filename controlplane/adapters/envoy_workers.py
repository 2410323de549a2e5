"""Until when all of Envoy's workers are known to have done what they were told. Used by `envoy.py`; asks nobody.

Envoy's main thread says that new routes are in force and hands them to its workers; one that gets no processor goes on
by the old ones meanwhile, for seconds on a busy machine. Nothing says when a worker has taken them. But before Envoy
flushes its statistics every worker has to merge its own, in its turn, and `server.uptime` is set at the end of a flush:
if it has grown twice since a moment, a whole flush lies between, and each worker has done what was waiting before.
"""

import math
from dataclasses import dataclass


@dataclass(slots=True)
class Workers:
    """What was seen of `server.uptime`, at which times."""

    uptime: float = math.nan
    seen: float = -math.inf
    """When it was that for the last time."""
    before: float = -math.inf
    """When it was the one before for the last time."""
    settled: float = -math.inf
    """What was told to Envoy before this time is done by every worker."""

    def look(self, uptime: float, at: float) -> float:
        """After an answer to what was asked at this time (seconds); until when all are known to have followed."""
        if at < self.seen:  # the clock was set back
            self.seen = self.before = self.settled = -math.inf
        if uptime != self.uptime:  # smaller after a restart, which reads the newest files
            self.settled, self.before, self.uptime = self.before, self.seen, uptime
        self.seen = at
        return self.settled
