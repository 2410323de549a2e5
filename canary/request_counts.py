"""Counts how many requests each arm has answered during a rollout, exactly, across counter resets.

Used by the machine for the `requests` of the last event. Not evidence: the judge keeps its own.
"""

import math
from collections.abc import Mapping

from canary.snapshot import Counters
from canary.weights import ARMS, Arm


def served_since(previous: Counters | None, current: Counters | None) -> Mapping[Arm, float]:
    """Requests answered between two readings, by arm; a smaller total means a restart and counts from zero.

    The first reading only sets the mark: what a proxy counted before the rollout is not the rollout's.
    """
    if previous is None or current is None or current.at <= previous.at:
        return {}
    counts: dict[Arm, float] = {}
    for arm in ARMS:
        before = previous.arms.get(arm, {})
        counts[arm] = 0.0
        for pod, totals in current.arms.get(arm, {}).items():
            counts[arm] += _increase(before[pod].requests if pod in before else 0.0, totals.requests)
    return counts


def unrouted_since(previous: Counters | None, current: Counters | None) -> float | None:
    """Requests that reached neither arm between two readings; None where nobody counts them."""
    if previous is None or current is None or current.unrouted is None or current.at <= previous.at:
        return None
    return _increase(previous.unrouted or 0.0, current.unrouted)


def _increase(then: float | None, now: float | None) -> float:
    """Growth of a total; nothing where either side is missing or not a number."""
    if then is None or now is None or not math.isfinite(now):
        return 0.0
    return now - then if now >= then else now
