"""Stable's own past, as far back as there is something to be learnt from: read through the port `MetricHistory`.

Used by `loop.py` at the start of a rollout, and by `serinus plan`. What it teaches is the business of
`canary.baseline`.
"""

from collections.abc import Sequence

from canary import baseline
from canary.snapshot import Counters
from controlplane.ports import MetricHistory


async def history_before(source: MetricHistory, began: float, interval: float) -> Sequence[Counters]:
    """Readings from before that time, oldest first; raises as `MetricHistory.between` does."""
    found: Sequence[Counters] = ()
    for seconds in baseline.seconds_back(interval):
        told = await source.between(began - seconds, began, baseline.READINGS)
        found = max(found, told, key=len)
        if len(found) >= baseline.PLENTY:
            break
    return found
