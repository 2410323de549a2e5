"""How much worse a canary's newest requests look than its earlier ones: an order of looking, and never a verdict. Pure.

Asked by `shared_prometheus.py` for each rollout at each tick, so that one whose canary has just broken is looked at
first and does not wait behind hundreds that are well. Compares a canary with itself, in a microsecond a number; what is
so is for the judge to say. Knows failures and latencies; gauges, KPIs and people's own queries change no order.
"""

from collections.abc import Mapping

from canary.snapshot import Counters, HistogramCounts, PodCounters

ENOUGH = 5.0
"""Requests that are imagined beside the new ones, all as they were before: one slow answer among two is no alarm."""


def anomaly_score(before: Counters | None, now: Counters) -> float:
    """The share of the canary's newest requests that should not be as they are, from 0 to 1: of its worst replica.

    0 where nothing can be compared: no reading before, a replica that has just come or was restarted.
    """
    known: Mapping[str, PodCounters] = before.arms.get("canary", {}) if before is not None else {}
    found = [_worse(known[name], pod) for name, pod in now.arms.get("canary", {}).items() if name in known]
    return max(found, default=0.0)


def _worse(before: PodCounters, now: PodCounters) -> float:
    return max(
        _excess(before.errors, before.requests, now.errors, now.requests),
        *(
            _slower(before.histograms[name], counts)
            for name, counts in now.histograms.items()
            if name in before.histograms
        ),
        0.0,
    )


def _slower(before: HistogramCounts, now: HistogramCounts) -> float:
    """At the bound where most new requests are missing."""
    all_before, all_now = before.get(float("inf")), now.get(float("inf"))
    if not all_before or not all_now or all_now <= all_before:
        return 0.0
    slow = ((all_before - before[bound], all_now - count) for bound, count in now.items() if bound in before)
    return max(_excess(earlier, all_before, later, all_now) for earlier, later in slow)


def _excess(bad_before: float | None, all_before: float | None, bad: float | None, all_: float | None) -> float:
    """The share of new requests that are bad, less what was usual."""
    if bad_before is None or not all_before or bad is None or all_ is None or all_ <= all_before or bad <= bad_before:
        return 0.0
    new = all_ - all_before
    excess = (bad - bad_before) - new * bad_before / all_before
    return min(max(excess / (new + ENOUGH), 0.0), 1.0)
