"""Alignment: holds what each replica has added until all of them have been scraped, so that a block has both arms.

Where replicas are scraped at their own phases, a reading brings news of some of them only; held against nothing, it
would say nothing. Called by `judge.watch` with every reading. Who is waited for follows from the times of scrapes
alone, never from what they counted: a canary without traffic is scraped as well, and nobody waits for its requests. The
wait ends as soon as the other arm has come and somebody comes for the second time, or after `AT_MOST_S`. Does not wait
for the hard stop, which sees every reading, and decides nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

from canary.judge.increments import Increments, ReplicaIncrements
from canary.snapshot import Counters, PodCounters
from canary.weights import ARMS, Arm

AT_MOST_S = 120.0
"""Seconds for which increments are held while an arm that is there is not scraped; sources drop its totals sooner."""
BETTER = 1.25
"""A pause between scrapes that is so many times as long as the one in which blocks end now is the better place."""
REQUESTS = "requests"
"""The kind of series that sets the pace: others come along when they are complete."""


@dataclass(frozen=True, slots=True)
class HeldIncrements:
    """What one replica has added since the last block that it was part of."""

    since: float
    """When the totals were scraped that they begin with (seconds)."""
    first: float
    """When the first of them were scraped."""
    at: float
    """When the last of them were."""
    scrapes: int = 1
    """0 where all that was added is what others count of it: its dollars grow between its scrapes as well."""
    added: ReplicaIncrements | None = None
    """None where nothing may be counted: in its warm-up, or at the first sight of a replica."""
    segments: Mapping[str, Mapping[str, ReplicaIncrements]] = field(default_factory=dict)
    """The same once more by label and value."""

    def plus(self, other: "HeldIncrements") -> "HeldIncrements":
        """With those of the next scrape."""
        segments = {label: dict(values) for label, values in self.segments.items()}
        for label, values in other.segments.items():
            mine = segments.setdefault(label, {})
            for value, pod in values.items():
                mine[value] = mine[value].plus(pod) if value in mine else pod
        return replace(
            self,
            first=self.first if self.scrapes else other.first,
            at=other.at,
            scrapes=self.scrapes + other.scrapes,
            added=_both(self.added, other.added),
            segments=segments,
        )

    def clock_moved(self, by: float) -> "HeldIncrements":
        """The source's clock was set."""
        return replace(self, since=self.since + by, first=self.first + by, at=self.at + by)


Replicas = Mapping[Arm, Mapping[str, HeldIncrements]]
Held = Mapping[str, Replicas]
"""By kind of series: what counts requests may be scraped at other times than a server's own page."""


class Aligned(NamedTuple):
    """What there is to judge after a reading."""

    held: Held
    block: Increments | None
    """None while some replicas are waited for."""
    since: float = 0.0
    """When the oldest totals were scraped that the block's requests begin with."""
    even: bool = True
    """Whether each replica was scraped once: only then do its requests tell how traffic was split."""


def take(held: Held, latest: Increments, previous: Counters, current: Counters) -> Aligned:
    """Take in a reading's increments; gives a block where nobody is waited for any more."""
    parts = [*_parts(previous, current)]
    if not held and all(part.arrived for part in parts):
        return Aligned({}, latest, min((part.since for part in parts), default=previous.at))
    waiting = {kind: {arm: dict(pods) for arm, pods in replicas.items()} for kind, replicas in held.items()}
    awaited: dict[str, set[tuple[Arm, str]]] = {}
    for part in parts:
        awaited.setdefault(part.kind, set()).add((part.arm, part.name))
        if part.arrived or _grew(part, latest, current):
            pods = waiting.setdefault(part.kind, {}).setdefault(part.arm, {})
            news = _increments(part, latest, current)
            pods[part.name] = pods[part.name].plus(news) if part.name in pods else news
    ready = [kind for kind, replicas in waiting.items() if _ready(replicas, awaited.get(kind, set()), current.at)]
    paced = REQUESTS in awaited or REQUESTS in waiting
    if not ready or (paced and REQUESTS not in ready):
        return Aligned(waiting, None)
    released = {kind: _scraped(waiting[kind]) for kind in ready}
    each = [pod for pods in released[REQUESTS if paced else ready[0]].values() for pod in pods.values()]
    since, even = min(pod.since for pod in each), all(pod.scrapes == 1 for pod in each)
    left = {
        kind: {
            arm: {
                name: pod
                for name, pod in pods.items()
                if kind not in released or (not pod.scrapes and (arm, name) in awaited.get(kind, set()))
            }
            for arm, pods in replicas.items()
        }
        for kind, replicas in waiting.items()
    }
    left = {kind: replicas for kind, replicas in left.items() if any(replicas.values())}
    return Aligned(left, _released(list(released.values()), latest), since, even)


def clock_moved(held: Held, by: float) -> Held:
    """The source's clock was set: ages stay what they were."""
    return {
        kind: {arm: {name: pod.clock_moved(by) for name, pod in pods.items()} for arm, pods in replicas.items()}
        for kind, replicas in held.items()
    }


class _Part(NamedTuple):
    """The series of one kind of one replica in this reading."""

    kind: str
    arm: Arm
    name: str
    at: float
    since: float
    arrived: bool
    """Whether they were scraped since the reading before."""


def _parts(previous: Counters, current: Counters) -> Iterator[_Part]:
    for arm in ARMS:
        known = previous.arms.get(arm, {})
        for name, pod in current.arms.get(arm, {}).items():
            before = known.get(name)
            for kind, at in _times(pod, current.at).items():
                since = at if before is None else _time_of(kind, pod, before, previous.at)
                yield _Part(kind, arm, name, at, since, before is None or at != since)


def _times(pod: PodCounters, at: float) -> Mapping[str, float]:
    """When each kind of its series was scraped; the oldest where several targets have some of a kind."""
    at = pod.at if pod.at is not None else at
    times = {_main(pod): at}
    for series, scraped in pod.apart.items():
        kind = _kind(series, pod)
        times[kind] = min(times.get(kind, scraped), scraped)
    return times


def _time_of(kind: str, now: PodCounters, before: PodCounters, at: float) -> float:
    """When the same series were scraped the last time."""
    at = before.at if before.at is not None else at
    if kind == _main(now) and not any(_kind(series, now) == kind for series in now.apart):
        return at
    return min((before.apart.get(series, at) for series in now.apart if _kind(series, now) == kind), default=at)


def _main(pod: PodCounters) -> str:
    """The kind of what was scraped together with its requests or, without these, of what was scraped last."""
    if pod.requests is not None or pod.errors is not None:
        return REQUESTS
    for kind, names in (("histograms", pod.histograms), ("totals", pod.totals)):
        if names.keys() - pod.apart.keys():
            return kind
    return "kpis"


def _kind(series: str, pod: PodCounters) -> str:
    """The kind of a series that was scraped apart."""
    return "histograms" if series in pod.histograms else "totals" if series in pod.totals else "kpis"


def _increments(part: _Part, latest: Increments, current: Counters) -> HeldIncrements:
    """What a replica's series of one kind have added in this reading."""
    pod = current.arms[part.arm][part.name]
    added = latest.arms.get(part.arm, {}).get(part.name)
    segments = {
        label: {
            value: _of_kind(part.kind, pod, arms[part.arm][part.name])
            for value, arms in values.items()
            if part.name in arms.get(part.arm, {})
        }
        for label, values in latest.segments.items()
    }
    of_kind = None if added is None else _of_kind(part.kind, pod, added)
    return HeldIncrements(part.since, part.at, part.at, int(part.arrived), of_kind, segments)


def _grew(part: _Part, latest: Increments, current: Counters) -> bool:
    """Whether there is news of a replica that was not scraped."""
    added = latest.arms.get(part.arm, {}).get(part.name)
    return added is not None and any(_of_kind(part.kind, current.arms[part.arm][part.name], added).totals.values())


def _scraped(replicas: Replicas) -> Replicas:
    """Those that were scraped."""
    return {arm: {name: pod for name, pod in pods.items() if pod.scrapes} for arm, pods in replicas.items()}


def _of_kind(kind: str, pod: PodCounters, added: ReplicaIncrements) -> ReplicaIncrements:
    """Those of the increments that are of this kind."""
    if not pod.apart:
        return added._replace(gauges=dict(added.gauges))  # a plain one, as a store can keep it
    main = _main(pod)

    def here(series: str) -> bool:
        return (_kind(series, pod) if series in pod.apart else main) == kind

    return ReplicaIncrements(
        added.requests if kind == main else None,
        added.errors if kind == main else None,
        {name: counts for name, counts in added.histograms.items() if here(name)},
        {name: value for name, value in added.totals.items() if here(name)},
        {name: value for name, value in added.kpis.items() if here(f"kpi/{name}")},
        dict(added.gauges) if kind == main else {},
    )


def _both(one: ReplicaIncrements | None, other: ReplicaIncrements | None) -> ReplicaIncrements | None:
    """The sum, with the newest momentary values."""
    if one is None or other is None:
        return one or other
    return one.plus(other)._replace(gauges={**one.gauges, **other.gauges})


def _ready(replicas: Replicas, awaited: set[tuple[Arm, str]], now: float) -> bool:
    """Whether nobody is waited for any more."""
    come = _scraped(replicas)
    here = {(arm, name) for arm, pods in come.items() for name in pods}
    pods = [pod for each in come.values() for pod in each.values()]
    if not pods:
        return False
    again = any(pod.scrapes > 1 for pod in pods)
    if awaited <= here:
        return again or not _cuts_badly(pods)
    arms = {arm for arm, _ in awaited} <= {arm for arm, _ in here}
    return (again and arms) or now - min(pod.first for pod in pods) >= AT_MOST_S


def _cuts_badly(pods: list[HeldIncrements]) -> bool:
    """Whether a block that ends now would end between scrapes that are close together.

    Arms that are compared over times that hardly overlap look different whenever both of them change. So blocks end
    in the longest pause between scrapes; where that is another one, waiting for one scrape more moves their end.
    """
    times = sorted(pod.at for pod in pods)
    oldest = min(pods, key=lambda pod: pod.at)
    pause = oldest.at + (oldest.at - oldest.since) - times[-1]
    return oldest.at > oldest.since and any(later - at > BETTER * pause for at, later in pairwise(times))


def _released(kinds: list[Replicas], latest: Increments) -> Increments:
    """A block of all that these hold."""
    arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
    segments: dict[str, dict[str, dict[Arm, dict[str, ReplicaIncrements]]]] = {label: {} for label in latest.segments}
    for replicas in kinds:
        for arm, pods in replicas.items():
            for name, pod in pods.items():
                if pod.added is not None:
                    _add(arms.setdefault(arm, {}), name, pod.added)
                for label, values in pod.segments.items():
                    for value, added in values.items():
                        _add(segments.setdefault(label, {}).setdefault(value, {}).setdefault(arm, {}), name, added)
    return Increments(latest.t, latest.stage, latest.weight, arms, latest.readings, segments, latest.counted)


def _add(pods: dict[str, ReplicaIncrements], name: str, added: ReplicaIncrements) -> None:
    known = pods.get(name)
    pods[name] = added if known is None else known.plus(added)._replace(gauges={**known.gauges, **added.gauges})
