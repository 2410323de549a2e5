"""The numbers of one rollout: its series as they were read last, and the `Counters` that they make.

Filled by `shared_prometheus.py` at each tick, and by `history.py` scrape by scrape. Labels were looked at when a series
was met first; after that a reading is a number in its place. Differences nothing.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from canary.snapshot import InFlight, PodCounters
from canary.spec.labels import Labelled, Parts, Segments, gathered, labels_of
from canary.spec.recipe import Recipe, SeriesId, is_number
from canary.spec.samples import Pods, timed, with_empty_histograms
from canary.spec.sources import PROFILES, asked_names, by_label
from canary.weights import ARMS, Arm
from controlplane.adapters.first_requests import FirstRequests
from controlplane.adapters.prometheus import NO_NUMBERS
from controlplane.evidence.metric_locations import MetricLocations
from controlplane.evidence.promql_selectors import wanted
from controlplane.evidence.series_attribution import GATEWAY_PROFILES, SeriesOwner

PROXIES = GATEWAY_PROFILES | {"istio"}
"""Profiles that are counted by whoever calls the servers."""


MOST_SERIES, MOST_OF_A_REPLICA = 20_000, 4_000
"""Series of one rollout, and of one pod or proxy, that are read: ten times what real ones have. Each costs time that
all rollouts share."""


class ReplicaSeries:
    """Series of one replica, and what they read in this round."""

    def __init__(self) -> None:
        self.series: list[SeriesId] = []
        self.read: list[int] = []
        """Places of the series that have a number in this round, in the order of the answer."""
        self.values: list[float] = []
        self.times: list[float] = []
        """When they were scraped."""
        self._recipe: tuple[list[int], Recipe] | None = None
        self._labelled: tuple[list[int], Labelled] | None = None

    def totals(self, places: MetricLocations, at: float) -> PodCounters:
        """The totals of this round, whose requests were scraped last at that time."""
        if self._recipe is None or self._recipe[0] != self.read:
            series = [self.series[place] for place in self.read]
            self._recipe = self.read, Recipe(series, PROFILES[places.profile])
        recipe = self._recipe[1]
        return timed(recipe.totals(self.values), recipe, self.times, at)

    @property
    def problems(self) -> Sequence[str]:
        """What of it made no sense when totals were made."""
        return self._recipe[1].problems if self._recipe else ()

    def parts(self, places: MetricLocations, labels: Sequence[str], started_at: float | None) -> Parts:
        """The same once more by label and value."""
        if self._labelled is None or self._labelled[0] != self.read:
            series = [self.series[place] for place in self.read]
            self._labelled = self.read, Labelled(series, by_label(PROFILES[places.profile]), labels)
        return self._labelled[1].totals(self.values, started_at)


class SeriesSlot:
    """One series' place in a ledger."""

    __slots__ = ("arm", "counts", "ledger", "place", "replica", "since", "tells_open")

    def __init__(
        self, ledger: "RolloutSeries", replica: ReplicaSeries, labels: Mapping[str, str], owner: SeriesOwner
    ) -> None:
        name = labels.get("__name__", "")
        self.ledger = ledger
        self.arm = owner.arm
        self.replica = replica
        self.place = len(replica.series)
        self.since = owner.since
        """Points scraped before that are somebody else's."""
        self.counts = name in ledger.request_names
        """Whether it counts requests: its time is the ledger's."""
        self.tells_open = name in ledger.open_names
        replica.series.append(SeriesId(name, {label: value for label, value in labels.items() if label != "__name__"}))

    def put(self, at: float, value: float) -> None:
        """The series' newest number in this round."""
        if at < self.since:
            return
        ledger = self.ledger
        if not is_number(value):
            ledger.unusable += 1
            return
        if self.counts and at > ledger.at:
            ledger.at = at
        if self.tells_open:
            ledger.open_at[self.arm] = min(ledger.open_at.get(self.arm, at), at)
        self.replica.read.append(self.place)
        self.replica.values.append(value)
        self.replica.times.append(at)


class Surplus:
    """The place of a series that is one too many: it is counted and not read."""

    __slots__ = ("ledger",)

    def __init__(self, ledger: "RolloutSeries") -> None:
        self.ledger = ledger

    def put(self, at: float, value: float) -> None:
        """One more that is left out."""
        self.ledger.left_out += 1


class RolloutSeries:
    """All series of one rollout."""

    def __init__(self, places: MetricLocations) -> None:
        self.places = places
        self.request_names = frozenset(row.wire_name for row in PROFILES[places.profile] if row.feeds == "requests")
        self.open_names = frozenset(row.wire_name for row in PROFILES[places.profile] if row.kind == "level")
        self.at = -math.inf
        """When requests were counted last, in this round; whatever was scraped later waits for its turn."""
        self.open_at: dict[Arm, float] = {}
        """When the oldest count of open requests was read, by arm."""
        self.unusable = 0
        """Series in this round that are no numbers."""
        self.left_out = 0
        """Series in this round that were too many."""
        self.asks = any(gate.asks for gate in places.gates)
        """Whether some of its gates bring a query of their own."""
        self.proxied = places.profile in PROXIES
        """Whether its replicas are proxies or callers, which share the traffic among them as they like."""
        self._asked = asked_names(wanted(PROFILES[places.profile], places.gates))
        self._labels = labels_of(places.gates)
        self._replicas: dict[tuple[Arm, str], ReplicaSeries] = {}
        self._first_requests = FirstRequests()
        self._met = 0

    def cell(self, owner: SeriesOwner, labels: Mapping[str, str]) -> SeriesSlot | Surplus | None:
        """The place of a series that was not met before; None for one that is there because others have asked for it.

        One question serves many rollouts, but what one of them counts depends on its own plan alone.
        """
        if labels.get("__name__") not in self._asked:
            return None
        replica = self._replicas.setdefault((owner.arm, owner.replica), ReplicaSeries())
        if self._met >= MOST_SERIES or len(replica.series) >= MOST_OF_A_REPLICA:
            return Surplus(self)
        self._met += 1
        return SeriesSlot(self, replica, labels, owner)

    def forget(self) -> None:
        """No series is known any more: whose they are has changed."""
        self._replicas.clear()
        self._met = 0

    def begin(self) -> None:
        """A new round: nothing has been read."""
        self.at, self.unusable, self.left_out = -math.inf, 0, 0
        self.open_at.clear()
        for replica in self._replicas.values():
            replica.read, replica.values, replica.times = [], [], []

    @property
    def size(self) -> int:
        """How many series have a number in this round."""
        return sum(len(replica.read) for replica in self._replicas.values())

    @property
    def anything(self) -> bool:
        """Whether any series has a number in this round."""
        return any(replica.read for replica in self._replicas.values())

    def totals(self) -> Pods:
        """Totals of every replica that has a number in this round, by arm."""
        ready = self.places.ready_since()
        arms: dict[Arm, dict[str, PodCounters]] = {arm: {} for arm in ARMS}
        for (arm, name), replica in self._replicas.items():
            if replica.read:
                totals = replica.totals(self.places, self.at)
                since = self._ready_since(name, ready.get(arm, {}))
                if since is not None:
                    began = self._first_requests.began(name, since, self.at, totals.requests)
                    totals = replace(totals, started_at=began)
                arms[arm][name] = totals
        return with_empty_histograms({arm: found for arm, found in arms.items() if found})

    def _ready_since(self, name: str, ready: Mapping[str, float]) -> float | None:
        """When a replica became ready, before this round; None where its own word about its start has to do."""
        since = ready.get(name)
        if since is None and ready and self.proxied:
            since = max(ready.values())
        return since if since is not None and since <= self.at else None

    @property
    def problems(self) -> list[str]:
        """What of this round could not be counted, one clause each; to be asked after `totals`."""
        unusable = f"{self.unusable} series in Prometheus are not numbers {NO_NUMBERS}" if self.unusable else ""
        surplus = (
            f"{self.left_out} series are left out: no more than {MOST_OF_A_REPLICA} of a pod and {MOST_SERIES} of a "
            "rollout are read"
            if self.left_out
            else ""
        )
        senseless = [
            f"no data from {name}: {problem}"
            for (_, name), replica in self._replicas.items()
            if replica.read
            for problem in replica.problems
        ]
        return [unusable, surplus, *senseless]

    def in_flight(self, arms: Pods) -> Mapping[Arm, InFlight]:
        """What each arm is answering, where it is counted; `arms` is what `totals` gave."""
        found: dict[Arm, InFlight] = {}
        for arm, at in self.open_at.items():
            told = [pod for pod in arms.get(arm, {}).values() if pod.open is not None]
            # What the proxy and the servers behind it both count is there once.
            pods = [pod for pod in told if pod.requests is not None] or told
            broken = [pod.broken for pod in pods if pod.broken is not None]
            found[arm] = InFlight(at, sum(pod.open or 0.0 for pod in pods), sum(broken) if broken else None)
        return found

    def segments(self, arms: Pods) -> Segments:
        """The totals once more by label and value, for gates with `by`; `arms` is what `totals` gave."""
        if not self._labels:
            return {}
        return gathered(
            (arm, name, replica.parts(self.places, self._labels, arms[arm][name].started_at))
            for (arm, name), replica in self._replicas.items()
            if replica.read
        )
