"""Says from when the warm-up of each replica on this machine counts, in place of when its process began.

Put around any metric source by `local_metrics.py`, for plans with a warm-up. See `first_requests.py` for what it is
counted from.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from canary.snapshot import Counters, PodCounters
from controlplane.adapters.augmented_source import AugmentedSource
from controlplane.adapters.first_requests import FirstRequests
from controlplane.ports import MetricSource


class WarmupSource(AugmentedSource):
    """Another source's numbers, with the beginning of each replica's warm-up as its start."""

    def __init__(self, source: MetricSource, ready_since: Callable[[], Mapping[str, float]]) -> None:
        """`ready_since`: by replica name, in seconds since the epoch; of those that are ready."""
        super().__init__(source)
        self._ready_since = ready_since
        self._requests = FirstRequests()

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """As the source's, with the first requests of that time; what is known of those of now stays."""
        return await AugmentedSource.between(WarmupSource(self._source, self._ready_since), start, end, most)

    def _amended(self, counters: Counters) -> Counters:
        """Of a time before a replica was ready its own word stays: that was the process before, or nobody asked it."""
        ready, whole = self._ready_since(), {name: pod for pods in counters.arms.values() for name, pod in pods.items()}
        began = {
            name: self._requests.began(name, ready[name], counters.at, pod.requests)
            for name, pod in whole.items()
            if name in ready and ready[name] <= counters.at
        }

        def warmed(pods: Mapping[str, PodCounters]) -> Mapping[str, PodCounters]:
            return {name: replace(pod, started_at=began.get(name, pod.started_at)) for name, pod in pods.items()}

        return replace(
            counters,
            arms={arm: warmed(pods) for arm, pods in counters.arms.items()},
            segments={
                label: {value: {arm: warmed(pods) for arm, pods in arms.items()} for value, arms in values.items()}
                for label, values in counters.segments.items()
            },
        )
