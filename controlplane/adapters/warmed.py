"""Says since when each replica on this machine is ready, in place of when its process began; warm-up counts from there.

Put around any metric source by `local_metrics.py`, for plans with a warm-up. A model that loads for minutes would have
used up its warm-up before its first request.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from canary.observation import Counters, PodCounters
from controlplane.adapters.amended import Amended
from controlplane.ports import MetricSource


class WarmedSource(Amended):
    """Another source's numbers, with each replica's readiness as its start."""

    def __init__(self, source: MetricSource, ready_since: Callable[[], Mapping[str, float]]) -> None:
        """`ready_since`: by replica name, in seconds since the epoch; of those that are ready."""
        super().__init__(source)
        self._ready_since = ready_since

    def _amended(self, counters: Counters) -> Counters:
        """Of a time before a replica was ready its own word stays: that was the process before, or nobody asked it."""
        since = {name: at for name, at in self._ready_since().items() if at <= counters.at}

        def warmed(pods: Mapping[str, PodCounters]) -> Mapping[str, PodCounters]:
            return {name: replace(pod, started_at=since.get(name, pod.started_at)) for name, pod in pods.items()}

        return replace(
            counters,
            arms={arm: warmed(pods) for arm, pods in counters.arms.items()},
            segments={
                label: {value: {arm: warmed(pods) for arm, pods in arms.items()} for value, arms in values.items()}
                for label, values in counters.segments.items()
            },
        )
