"""Whether failed probes mean that a replica is lost. A probe is not a verdict: it may be late where nothing is broken.

Used by `process_replica.py`, which asks the probes, one record for each replica. Says nothing about the end of a
process, which is a loss at once. Pure: no clock and no socket.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple


class Answered(NamedTuple):
    """What the proxy has received from one replica so far; running totals."""

    served: float
    """Answers below 500."""
    failed: float
    """Answers of 500 and above, and what the proxy answered in its place."""
    received: float
    """Bytes: those of an answer that is still being written count as well."""

    def more_than(self, before: "Answered") -> bool:
        """Whether requests were answered since. Bytes alone are no proof where errors came in: they may be theirs."""
        return self.served != before.served or (self.received != before.received and self.failed == before.failed)


@dataclass(frozen=True, slots=True)
class Failure:
    """A probe that failed."""

    began: float
    """When it was sent, in seconds."""
    late: bool
    """Whether no answer came in time; otherwise the server said itself that it is not ready, or nothing listened."""
    before: Answered | None
    """What the proxy had received when the probe was sent; None where nobody counts it."""


class Probes:
    """The probes of one replica: the last that passed, and those that failed in a row since."""

    def __init__(self, failures: int) -> None:
        """`failures`: so many in a row may mean that it is lost."""
        self._failures = failures
        self._failed: list[Failure] = []
        self._passed_at: float | None = None

    def passed(self, at: float) -> None:
        """An answer came in time."""
        self._passed_at = at
        self._failed.clear()

    def lost(self, failure: Failure, now: Answered | None, on_time: Callable[[float], bool]) -> bool:
        """Whether this failure, after those before it, means that the replica is lost.

        `now` is what the proxy has received by now. `on_time` answers whether the other arm's probes have been on time
        since then; where they are not, it is the machine that is slow.
        """
        self._failed = [*self._failed, failure][-self._failures :]
        first = self._failed[0]
        if len(self._failed) < self._failures:
            return False
        if now is not None and first.before is not None and now.more_than(first.before):
            return False
        return not failure.late or on_time(first.began)

    def on_time(self, since: float) -> bool:
        """Whether a probe has passed since then, and none has failed after it."""
        return not self._failed and self._passed_at is not None and self._passed_at >= since
