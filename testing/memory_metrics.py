"""A metric source in memory: the twin of the real ones, for tests of whoever reads metrics. Counts nothing by itself.

Behind the port `MetricSource`; passes the same contract suite.
"""

from collections.abc import Callable, Mapping

from canary.errors import ExternalError
from canary.snapshot import Counters, PodCounters
from canary.weights import ARMS, Arm


class MemoryMetrics:
    """Says what it was told, with the time at which it is asked."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._pods: dict[Arm, dict[str, PodCounters]] = {arm: {} for arm in ARMS}
        self.readings: Mapping[str, Mapping[Arm, float]] = {}
        self.unrouted: float | None = None
        self.problem = ""
        self.failure: ExternalError | None = None
        """What `read` raises while it is set."""

    def put(self, arm: Arm, replica: str, totals: PodCounters) -> None:
        """From now on these are the replica's totals."""
        self._pods[arm][replica] = totals

    def forget(self, arm: Arm, replica: str) -> None:
        """From now on nothing is known of the replica."""
        self._pods[arm].pop(replica, None)

    async def read(self) -> Counters:
        """The totals as they are now."""
        if self.failure:
            raise self.failure
        arms = {arm: dict(pods) for arm, pods in self._pods.items() if pods}
        return Counters(at=self._now(), arms=arms, readings=self.readings, unrouted=self.unrouted, problem=self.problem)
