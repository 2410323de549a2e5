"""From when the warm-up of each replica counts: from its first request after it was ready, not from the process' start.

Used by `warmup_source.py` on one machine and by `controlplane.evidence.rollout_series` in a cluster, which know when a
replica became ready. A model that loads for minutes, or that waits for stable or for a person with nothing to do, would
have used up its warm-up before anybody asked it. Reads nothing itself; is handed each reading in the order of time.
"""

from dataclasses import dataclass

MOST = 4_096
"""Replicas that are remembered; the oldest is forgotten for one more, and counts from its readiness then."""


@dataclass(slots=True)
class _Replica:
    ready: float
    requests: float
    """How many it had answered while nothing was asked of it since it was ready."""
    idle_at: float
    """When that was seen last."""
    began: float | None
    """When its warm-up began; None while it has not been asked."""


class FirstRequests:
    """What is known of each replica's first request."""

    def __init__(self) -> None:
        self._replicas: dict[str, _Replica] = {}

    def began(self, name: str, ready: float, at: float, requests: float | None) -> float:
        """From when the warm-up of a replica counts, that has been `ready` since then and is read at this time.

        Its `requests` are a running total, None where nobody counts them: then it counts from readiness. So it does
        until the first request is seen: that there was none so far is no less true of a cold replica.
        """
        if requests is None:
            return ready
        known = self._replicas.get(name)
        if known is None or known.ready != ready:
            # One that is met with requests may have been asked for long; one that was started again has not.
            asked = known is None and requests > 0
            known = _Replica(ready, requests, max(ready, at), ready if asked else None)
            self._replicas.pop(name, None)
            self._replicas[name] = known
            if len(self._replicas) > MOST:
                del self._replicas[next(iter(self._replicas))]
        if known.began is None:
            if requests == known.requests:
                known.idle_at = max(known.idle_at, at)
                return ready
            known.began = known.idle_at
        return known.began
