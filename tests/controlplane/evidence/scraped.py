"""A Prometheus played by a small server, and the series that gateways and model servers would have in it."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canary.snapshot import Counters
from canary.spec.models import Gate
from canary.weights import Arm
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.metric_locations import MetricLocations, RouteSlot, SlotsSeen
from controlplane.evidence.shared_prometheus import SharedPrometheus
from controlplane.ports import Clock
from tests.controlplane.adapters.pages import PageServer, Query

Metric = dict[str, Any]
Value = float | str

LATENCY = Gate(
    text="latency p95 <= 200ms", metric="latency", statistic="p95", comparison="max", limit=0.2, better="lower"
)
TTFT = Gate(text="ttft p95 <= 1s", metric="ttft", statistic="p95", comparison="max", limit=1.0, better="lower")
ERRORS = Gate(text="error_rate <= 5%", metric="error_rate", comparison="max", limit=0.05, better="lower")
NAMES: Mapping[Arm, str] = {"stable": "bf16", "canary": "int4"}
STABLE, CANARY = RouteSlot("bf16", "chat-bf16-predictor", 100.0), RouteSlot("int4", "chat-int4-predictor", 100.0)


class Standing:
    """The slots of a route, which a test may change."""

    def __init__(self, *slots: RouteSlot | None) -> None:
        self.slots: SlotsSeen = slots or (STABLE, CANARY)

    def __call__(self) -> SlotsSeen:
        """As they are now."""
        return self.slots


def places(route: str = "chat", standing: Standing | None = None, **fields: Any) -> MetricLocations:
    """One rollout's places, in the namespace `shop`."""
    return MetricLocations(
        **{
            "namespace": "shop",
            "route": route,
            "slots": standing or Standing(),
            "variants": NAMES,
            "services": {"stable": f"{route}-bf16", "canary": f"{route}-int4"},
            **fields,
        }
    )


def series(name: str, labels: Mapping[str, str], *points: tuple[float, Value]) -> Metric:
    """One series of raw samples, as Prometheus writes it."""
    metric = dict(sorted({"__name__": name, **labels}.items()))
    return {"metric": metric, "values": [[at, str(value)] for at, value in points]}


def gateway(
    place: int,
    good: Sequence[tuple[float, Value]],
    bad: Sequence[tuple[float, Value]] = (),
    *,
    route: str = "shop/chat",
    pod: str = "envoy-a",
    rule: int = 0,
) -> list[Metric]:
    """What one proxy counts at one place of a route: good answers and bad ones, each at its times."""
    labels = {
        "envoy_cluster_name": f"httproute/{route}/rule/{rule}/backend/{place}",
        "namespace": "envoy-gateway-system",
        "pod": pod,
    }
    name = "envoy_cluster_upstream_rq_xx"
    found = [series(name, {**labels, "envoy_response_code_class": "2"}, *good)]
    return [*found, series(name, {**labels, "envoy_response_code_class": "5"}, *bad)] if bad else found


def buckets(place: int, at: float, counts: Mapping[float, float], *, route: str = "shop/chat") -> list[Metric]:
    """One proxy's latency histogram at one place, by upper bound in milliseconds."""
    labels = {
        "envoy_cluster_name": f"httproute/{route}/rule/0/backend/{place}",
        "namespace": "envoy-gateway-system",
        "pod": "envoy-a",
    }
    return [
        series(
            "envoy_cluster_upstream_rq_time_bucket",
            {**labels, "le": "+Inf" if bound == math.inf else f"{bound:g}"},
            (at, count),
        )
        for bound, count in counts.items()
    ]


def server(name: str, pod: str, value: Value, *, at: float = 101.0, **labels: str) -> Metric:
    """One series of a model server's pod."""
    return series(name, {"namespace": "shop", "pod": pod, **labels}, (at, value))


def answer(found: Iterable[Mapping[str, Any]], kind: str = "matrix", **more: Any) -> str:
    """The whole answer, without a space, as Prometheus writes it."""
    body = {"status": "success", "data": {"resultType": kind, "result": list(found)}, **more}
    return json.dumps(body, separators=(",", ":"))


class Prometheus(PageServer):
    """Answers each family's question with a page of its own, and people's own queries by their text."""

    def path_of(self, path: str, fields: Query) -> str:
        """By what is asked, for the path is always the same."""
        query = fields["query"][0]
        if not query.startswith("{__name__"):
            return query
        return "/gateway" if "envoy_cluster_name" in query else "/pods"

    @property
    def queries(self) -> list[str]:
        """Everything that was asked, in order."""
        return [asked.fields["query"][0] for asked in self.asked]

    def show(self, *gateways: list[Metric], pods: Iterable[Metric] = (), **more: Any) -> None:
        """From now on these are the series."""
        self.put("/gateway", answer([each for found in gateways for each in found], **more))
        self.put("/pods", answer(pods))


def fleet_on(prometheus: Prometheus, clock: Clock, **more: Any) -> SharedPrometheus:
    """A fleet that asks this one, and is soon out of patience."""
    api = PrometheusApi(prometheus.url(""), seconds=0.3, http=BoundedHttp(most_bytes=100_000))
    return SharedPrometheus(api, clock=clock, interval=1.0, **more)


def requests_of(counters: Counters, arm: Arm) -> float | None:
    """The requests of an arm's only replica."""
    (pod,) = counters.arms[arm].values()
    return pod.requests
