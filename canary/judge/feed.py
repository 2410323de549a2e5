"""From running totals to blocks: what happened since the last totals, series by series, resets counted exactly.

Called by `judge.watch`. Differences are taken for each replica and only then added up elsewhere: a sum must never be
differenced, or one restart would look like negative traffic. Decides nothing.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from operator import sub

from canary.judge.config import JudgeConfig
from canary.judge.increments import NONE, Increments, ReplicaIncrements
from canary.snapshot import Counters, HistogramCounts, PodCounters
from canary.weights import ARMS, Arm

ArmTotals = Mapping[Arm, Mapping[str, PodCounters]]
REMEMBERED = 32
"""Replicas of an arm that are remembered after they vanished: a missing scrape only makes their next block longer."""

NEWBORN_AT_MOST = 10.0
"""What a gate's own counter reads at most when it is met first, if it is new."""


def difference(previous: Counters, current: Counters, *, stage: int, weight: float, warmup: float) -> Increments:
    """What happened between two readings. Replicas in their warm-up are left out, new ones count if born in between."""
    arms = _arms((previous.at, current.at), previous.arms, current.arms, warmup)
    segments = {
        label: {
            value: _arms((previous.at, current.at), previous.segments.get(label, {}).get(value, {}), now, warmup)
            for value, now in values.items()
        }
        for label, values in current.segments.items()
    }
    counted = {
        text: {arm: _grown(previous.counted[text].get(arm, {}), series) for arm, series in now.items()}
        for text, now in current.counted.items()
        if text in previous.counted
    }
    return Increments(current.at, stage, weight, arms, current.readings, segments, counted)


def _grown(before: Mapping[str, float], now: Mapping[str, float]) -> tuple[float, float]:
    """Events and their denominator since the totals before, series by series.

    A series that appears counts from zero where it begins low: many a counter is made at its first event. One that
    begins high was there before and has only now been found.
    """
    grown = {"events": 0.0, "of": 0.0}
    for series, value in now.items():
        base = before.get(series, 0.0 if value <= NEWBORN_AT_MOST else value)
        grown[series.partition(" ")[0]] += _growth(base, value) or 0.0
    return grown["events"], grown["of"]


def _arms(
    times: tuple[float, float], before: ArmTotals, now: ArmTotals, warmup: float
) -> dict[Arm, dict[str, ReplicaIncrements]]:
    """Increments of all replicas between two times."""
    then, at = times
    arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
    for arm in ARMS:
        earlier = before.get(arm, {})
        pods: dict[str, ReplicaIncrements] = {}
        for name, totals in now.get(arm, {}).items():
            started = totals.started_at
            if started is not None and started > at + warmup:
                started = None  # it lies far ahead: the clock was set back since, so its age is not known
            if warmup > 0 and started is not None and then - started < warmup:
                continue
            base = earlier.get(name)
            if base is None:
                born = started is not None and started > then
                if not born or warmup > 0:
                    continue
                base = _NEWBORN
            pods[name] = _since(base, totals)
        if pods:
            arms[arm] = pods
    return arms


Present = dict[str, dict[str, float | None]]
"""Replicas by arm and name, each with its start: one that was restarted is another one."""


def present(counters: Counters) -> Present:
    """The replicas that a reading knows."""
    return {arm: {name: pod.started_at for name, pod in counters.arms.get(arm, {}).items()} for arm in ARMS}


def whole(block: Increments, before: Present, current: Counters) -> bool:
    """Whether the block counts every replica of this reading and of the last block's, and no others.

    Only such a block tells how traffic was split. Pages that count no requests have no part in that.
    """
    return before == present(current) and all(
        name in block.arms.get(arm, {})
        for arm in ARMS
        for name, pod in current.arms.get(arm, {}).items()
        if pod.requests is not None
    )


def clock_moved(totals: Counters, by: float) -> Counters:
    """The source's clock was set: ages stay what they were."""
    arms = {
        arm: {
            name: replace(
                pod,
                at=None if pod.at is None else pod.at + by,
                apart={series: at + by for series, at in pod.apart.items()},
            )
            for name, pod in pods.items()
        }
        for arm, pods in totals.arms.items()
    }
    return replace(totals, at=totals.at + by, arms=arms)


def moved_on(previous: Counters, current: Counters) -> bool:
    """Whether totals are further on although their time is earlier: then the clock was set back."""
    for arm in ARMS:
        for name, pod in current.arms.get(arm, {}).items():
            before = previous.arms.get(arm, {}).get(name)
            if before is not None and (pod.requests or 0.0) > (before.requests or 0.0):
                return True
    return False


def remember(previous: Counters | None, current: Counters, config: JudgeConfig) -> Counters:
    """The totals to difference against next time: the newest of each replica, without what no gate asks for."""
    unrouted = current.unrouted if current.unrouted is not None or previous is None else previous.unrouted
    before = previous if previous is not None else Counters(current.at, {})
    segments = {
        label: {
            value: _kept(before.at, before.segments.get(label, {}).get(value, {}), arms, config)
            for value, arms in {**before.segments.get(label, {}), **current.segments.get(label, {})}.items()
        }
        for label in config.by_label
        if label in current.segments or label in before.segments
    }
    counted = {
        text: {
            arm: _newest(before.counted.get(text, {}).get(arm, {}), current.counted.get(text, {}).get(arm, {}))
            for arm in ARMS
        }
        for text in config.texts
        if text in before.counted or text in current.counted
    }
    arms = _kept(before.at, before.arms, current.arms, config)
    return Counters(current.at, arms, counted=counted, unrouted=unrouted, segments=segments)


def _newest(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """The newest total of each series; of those that are gone, not more than are remembered of replicas."""
    gone = {series: value for series, value in before.items() if series not in now}
    return {**dict(list(gone.items())[-REMEMBERED:]), **now}


def _kept(then: float, before: ArmTotals, current: ArmTotals, config: JudgeConfig) -> ArmTotals:
    """The newest totals of each replica, as far as a gate reads them."""
    arms: dict[Arm, Mapping[str, PodCounters]] = {}
    for arm in ARMS:
        now = {name: _needed(pod, config) for name, pod in current.get(arm, {}).items()}
        gone = {
            name: pod if pod.at is not None else replace(pod, at=then)
            for name, pod in before.get(arm, {}).items()
            if name not in now
        }
        arms[arm] = {**dict(list(gone.items())[-REMEMBERED:]), **now}
    return arms


_NEWBORN = PodCounters(requests=0.0, errors=0.0, open=0.0)


def _since(base: PodCounters, now: PodCounters) -> ReplicaIncrements:
    """Increments of one replica; a series that is missing on either side has none, unless the replica is newborn."""
    born = base is _NEWBORN
    histograms: dict[str, HistogramCounts] = {}
    for name, counts in now.histograms.items():
        earlier = base.histograms.get(name)
        if earlier is None:
            if born:
                histograms[name] = counts
            continue
        increments = _histogram(earlier, counts)
        if increments is not None:
            histograms[name] = increments
    totals: dict[str, float] = {}
    for name, value in now.totals.items():
        grown = _growth(0.0 if born else base.totals.get(name), value)
        if grown is not None:
            totals[name] = grown
    if now.open is not None and base.open is not None and "begun" in totals:
        # After a reset the requests that were open before it are gone, as is the count of them.
        open_before = base.open if now.totals["begun"] >= base.totals.get("begun", 0.0) else 0.0
        totals["ended"] = totals["begun"] - (now.open - open_before)
    kpis: dict[str, tuple[float, float]] = {}
    for name, (events, of) in now.kpis.items():
        was = (0.0, 0.0) if born else base.kpis.get(name)
        if was is not None and math.isfinite(events) and math.isfinite(of):
            reset = of < was[1]
            kpis[name] = (events, of) if reset else (events - was[0], of - was[1])
    gauges = {name: value for name, value in now.gauges.items() if math.isfinite(value)} if now.gauges else NONE
    if now.open is not None:
        gauges = {**gauges, "open": now.open}
    requests, errors = _growth(base.requests, now.requests), _growth(base.errors, now.errors)
    return ReplicaIncrements(requests, errors, histograms, totals, kpis, gauges)


def _growth(before: float | None, now: float | None) -> float | None:
    """Increase of a running total; after a reset all of it is new. None or NaN on either side is no data."""
    if before is None or now is None or not math.isfinite(now):
        return None
    return now - before if now >= before else now


def _histogram(before: HistogramCounts, now: HistogramCounts) -> HistogramCounts | None:
    """Increments at the bounds that both readings have: native histograms may become coarser. None without a total."""
    total, earlier = now.get(math.inf), before.get(math.inf)
    if total is None or earlier is None or not math.isfinite(total):
        return None
    if total < earlier:
        return now
    if list(now) == list(before):  # as nearly always: the same bounds in the same order
        return dict(zip(now, map(sub, now.values(), before.values()), strict=True))
    return {bound: count - before[bound] for bound, count in now.items() if bound in before}


def _needed(pod: PodCounters, config: JudgeConfig) -> PodCounters:
    """A replica's totals without the series that no gate reads and without what is not a number."""
    if _all_needed(pod, config):
        return pod
    return PodCounters(
        requests=_number(pod.requests),
        errors=_number(pod.errors),
        histograms={
            name: counts
            for name, counts in pod.histograms.items()
            # A sum is finite only if all its parts are.
            if name in config.histograms and math.isfinite(sum(counts.values()))
        },
        totals={n: v for n, v in pod.totals.items() if n in config.totals and math.isfinite(v)},
        kpis={n: v for n, v in pod.kpis.items() if n in config.kpis and all(map(math.isfinite, v))},
        started_at=pod.started_at,
        at=pod.at,
        apart=pod.apart,
        open=_number(pod.open),
    )


def _all_needed(pod: PodCounters, config: JudgeConfig) -> bool:
    """Whether there is nothing to leave out."""
    if pod.gauges or not (
        pod.histograms.keys() <= config.histograms
        and pod.totals.keys() <= config.totals
        and pod.kpis.keys() <= config.kpis
    ):
        return False
    # A sum is finite only if all its parts are.
    checked = (pod.requests or 0.0) + (pod.errors or 0.0) + (pod.open or 0.0) + sum(pod.totals.values())
    for counts in pod.histograms.values():
        checked += sum(counts.values())
    for events, of in pod.kpis.values():
        checked += events + of
    return math.isfinite(checked)


def _number(value: float | None) -> float | None:
    """The value if it is one."""
    return value if value is not None and math.isfinite(value) else None
