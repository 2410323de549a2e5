"""Says which gates ask for something that no server on this machine exports: what was looked for, and where.

Put around any metric source by `local_metrics.py`. Such a gate waits for ever, and "no data" does not say why. Proxies'
own metrics and business figures are not looked at: the first are there, and the second begin with their first event.
Reads no page itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from canary.snapshot import Counters, PodCounters, clauses
from canary.spec import metrics
from canary.spec.gates import Gate
from canary.spec.sources import ENVOY, PROFILES, told_by
from canary.weights import ARMS, Arm
from controlplane.adapters.augmented_source import AugmentedSource
from controlplane.adapters.scrape import Pages
from controlplane.ports import MetricHistory, MetricSource

PATIENCE_S = 5.0
"""Seconds after both have a ready replica in which a page may still not have been read."""


class ExportCheckSource(AugmentedSource):
    """Another source's numbers, with what is missing of them for good among the problems."""

    def __init__(
        self,
        source: MetricSource,
        gates: Sequence[Gate],
        *,
        pages: Pages,
        names: Mapping[Arm, str],
        say: Callable[[str], None],
    ) -> None:
        """`pages`: the metrics pages of ready replicas; `names`: the variants'; `say` hears of each metric once."""
        super().__init__(source)
        self._pages = pages
        self._names = names
        self._say = say
        self._said: set[str] = set()
        self._since: float | None = None
        """When both had a ready replica first."""
        self._asked = {gate.metric: frozenset(parts) for gate in gates if (parts := made_of(gate))}
        """By metric what servers have to export for it, all of it."""
        self._compared = {gate.metric for gate in gates if gate.relative}

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """As the source's: what was missing then says nothing of now."""
        if not isinstance(self._source, MetricHistory):
            return []
        return list(await self._source.between(start, end, most))

    def _amended(self, counters: Counters) -> Counters:
        pages = self._pages()
        if not all(pages.get(arm) for arm in ARMS):
            self._since = None
            return counters
        self._since = counters.at if self._since is None else min(self._since, counters.at)
        if counters.at - self._since < PATIENCE_S:
            return counters
        missing = dict(self._missing(counters, pages))
        for metric, clause in missing.items():
            if metric not in self._said:
                self._said.add(metric)
                self._say(f"{clause[0].upper()}{clause[1:]}. A gate on {metric} has no data before that changes.")
        return replace(counters, problem=clauses([counters.problem, *missing.values()]))

    def _missing(self, counters: Counters, pages: Mapping[Arm, Mapping[str, str]]) -> Iterator[tuple[str, str]]:
        """Each metric that cannot be judged, with the clause about it."""
        for metric, parts in self._asked.items():
            without = [arm for arm in ARMS if not _exports(counters.arms.get(arm, {}), parts)]
            if "canary" not in without and metric not in self._compared:
                continue
            if without:
                who = " nor ".join(self._names[arm] for arm in without)
                says = f"neither {who} exports" if len(without) > 1 else f"{who} does not export"
                where = " and ".join(next(iter(pages[arm].values())) for arm in without)
                yield metric, f"{says} {metric} so far: looked for {_series(parts)} on {where}"


def made_of(gate: Gate) -> tuple[str, ...]:
    """What a server itself has to export for this gate; nothing where no server is asked."""
    if gate.asks:
        return ()
    metric = metrics.find(gate.metric)
    if metric.is_kpi or metric.kind == "rate":
        return ()
    own = told_by(row for row in PROFILES["envoy"] if row not in ENVOY)
    return tuple(part for part in metric.counts or (metric.name,) if part in own and part not in told_by(ENVOY))


def _exports(pods: Mapping[str, PodCounters], parts: frozenset[str]) -> bool:
    return any(parts <= {*pod.histograms, *pod.totals, *pod.gauges} for pod in pods.values())


def _series(parts: frozenset[str]) -> str:
    """The names on the wire, the newest first."""
    known = dict.fromkeys(row.series for row in PROFILES["envoy"] if row.feeds in parts)
    return " or ".join(known)
