"""A gate's values as a graph in Prometheus' own page: the query behind a metric card, and the address that draws it.

Used by `gate_view.py`. A gate with a query of its owner's shows that one, as it is asked. For built-in metrics the
judge reads raw counters, which no graph shows; what is written here is the nearest that PromQL can draw of the same
series, by arm. Asks nothing and decides nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlencode

from canary.spec import metrics
from canary.spec.metrics import Metric
from canary.spec.models import CanarySpec, Gate, KServePlatform
from canary.spec.sources import ANY_SERVER, PROFILES, Row
from canary.spec.units import UnreadableNumber
from controlplane.adapters.prometheus_gates import DEFAULT_WINDOW_S, duration, query_of
from controlplane.evidence.promql_selectors import family_of
from controlplane.evidence.series_attribution import CLUSTER
from controlplane.kubernetes.names import service_name
from controlplane.operator.modes import MODES
from controlplane.view.facts import safe_link


@dataclass(frozen=True, slots=True)
class Selected:
    """Which series are a rollout's, and what tells its arms apart among them."""

    matchers: str
    by: str


@dataclass(frozen=True, slots=True)
class Graphs:
    """Where the numbers of a rollout can be drawn."""

    url: str
    """Of Prometheus' page as a browser gets there; empty where that is not known."""
    profile: str
    families: tuple[tuple[str, Selected], ...]
    """By family of series (`evidence.questions.Family`) what selects them; those of one family mean all."""

    def query(self, gate: Gate) -> str:
        """The gate's query; empty where no graph can show it."""
        if gate.query is not None:
            return query_of(gate)
        if gate.events is not None:
            over = f"[{duration(gate.window or DEFAULT_WINDOW_S)}]"
            events, of = (f"sum by ({gate.variant_label}) (increase({each}{over}))" for each in (gate.events, gate.of))
            return f"{events} / {of}"
        return _drawn(gate.metric, gate.statistic or "", gate.window or DEFAULT_WINDOW_S, self.profile, self.families)

    def link(self, query: str) -> str:
        """The graph of this query; empty where no browser would get there."""
        if not (self.url and query):
            return ""
        return safe_link(f"{self.url.rstrip('/')}/graph?{urlencode({'g0.expr': query, 'g0.tab': 0})}")


LOCAL = (("", Selected('job=~"serinus-.*"', "arm")),)
"""As the Prometheus that `serinus run` starts labels its series."""


def local_graphs(port: int | None) -> Graphs:
    """Of a rollout on this machine; `port` is that of its Prometheus, None where it has none that runs."""
    return Graphs("" if port is None else f"http://127.0.0.1:{port}", "envoy", LOCAL)


def cluster_graphs(spec: CanarySpec, namespace: str, name: str, url: str) -> Graphs:
    """Of a ModelCanary; `url`: where browsers find its Prometheus; else the plan's own address is taken."""
    kserve = spec.platform.kserve or KServePlatform()
    services = [each.inference_service or service_name(name, each.name) for each in (spec.stable, spec.canary)]
    if kserve.mode != "standard":
        services = [name]
    pods = f"({'|'.join(each.replace('.', '[.]') for each in services)})(-.*)?"
    families = (
        (
            "gateway",
            Selected(f'{CLUSTER}=~"httproute/{namespace}/{name.replace(".", "[.]")}/rule/0/backend/[01]"', CLUSTER),
        ),
        (
            "mesh",
            Selected(
                f'destination_workload_namespace="{namespace}",destination_workload=~"{pods}"', "destination_workload"
            ),
        ),
        ("pods", Selected(f'namespace="{namespace}",pod=~"{pods}"', "pod")),
    )
    profile = kserve.metrics_profile or MODES[kserve.mode].default
    named = kserve.prometheus or ""
    return Graphs(url or (named if "://" in named else ""), profile, families)


@lru_cache(maxsize=4096)
def _drawn(name: str, statistic: str, window: float, profile: str, families: tuple[tuple[str, Selected], ...]) -> str:
    """The query of a built-in metric; empty where its series are not known or money is asked about."""
    try:
        metric = metrics.find(name)
    except UnreadableNumber:
        return ""
    return _Writer((*PROFILES[profile], *ANY_SERVER), dict(families), duration(window)).of(metric, statistic)


@dataclass(frozen=True, slots=True)
class _Writer:
    """PromQL over the rows of one profile."""

    rows: Sequence[Row]
    families: Mapping[str, Selected]
    over: str
    """The window, as PromQL writes it."""

    def of(self, metric: Metric, statistic: str) -> str:
        """A value by arm over time."""
        if metric.is_kpi:
            name = metric.name.removeprefix("kpi/")
            return self._ratio(f"kpi_events/{name}", f"kpi_of/{name}")
        if metric.counts is not None:
            return self._ratio(*metric.counts, scale=metric.scale)
        if metric.kind == "histogram":
            return self._quantile(metric, statistic or metric.default_statistic or "p95")
        if metric.kind == "gauge":
            row = self._row(metric.name)
            return "" if row is None else f"avg by ({self._selected(row).by}) ({row.wire_name}{{{self._where(row)}}})"
        return self._rate(self._row("requests"))

    def _quantile(self, metric: Metric, statistic: str) -> str:
        row = self._row(metric.name)
        if row is None or row.kind != "histogram" or not metric.allows(statistic):
            return ""
        drawn = f"histogram_quantile({float(statistic[1:]) / 100:g}, {self._rate(row, by='le')})"
        return drawn if row.scale == 1 else f"{row.scale:g} * {drawn}"

    def _ratio(self, part: str, whole: str, scale: float = 1.0) -> str:
        above, below = self._total(part), self._total(whole)
        if not (above and below):
            return ""
        return f"{above} / {below}" if scale == 1 else f"{scale:g} * {above} / {below}"

    def _total(self, feeds: str) -> str:
        """A running total that metrics are made of: `errors`, `requests`, `finish_reason/length`."""
        kind, _, value = feeds.partition("/")
        if kind == "errors":
            row = next((each for each in self.rows if each.feeds == "requests" and each.failed), None)
            return self._rate(row, {} if row is None else row.failed)
        row = self._row(kind)
        return self._rate(row, {row.by: re.escape(value)} if row is not None and row.by and value else {})

    def _rate(self, row: Row | None, more: Mapping[str, str] | None = None, by: str = "") -> str:
        if row is None:
            return ""
        labels = ", ".join(filter(None, (self._selected(row).by, by)))
        return f"sum by ({labels}) (rate({row.wire_name}{{{self._where(row, more or {})}}}[{self.over}]))"

    def _where(self, row: Row, more: Mapping[str, str] | None = None) -> str:
        labels = {**row.where, **(more or {})}
        return ",".join(
            (self._selected(row).matchers, *(f"{label}=~{_quoted(value)}" for label, value in labels.items()))
        )

    def _row(self, feeds: str) -> Row | None:
        return next((row for row in self.rows if row.feeds == feeds and row.kind != "nothing"), None)

    def _selected(self, row: Row) -> Selected:
        return self.families.get("") or self.families[family_of(row)]


def _quoted(text: str) -> str:
    """As a string of PromQL."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
