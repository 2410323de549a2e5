"""The shared Prometheus of a cluster in memory: what gateways and model servers count, by the routes as they are.

Used by `shared_cluster.py`. It answers range selectors by their matchers, as a real one does, with one fresh sample of
each series. Whoever has pods that are scraped may put series of any shape beside those of the others: all that
Prometheus itself adds is which namespace and pod they came from.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_plus

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import HTTP_ROUTE, POD
from controlplane.simulation.clock import EPOCH
from testing.fake_apiserver.kube import MemoryKube
from tests.simulation.outside import Reply, Sent

RPS = 200.0
SCRAPE_S, RANGE_S = 1.0, 3.0
PROXIES = "envoy-gateway-system"
MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"((?:[^"\\]|\\.)*)"')
SELECTOR = re.compile(r"\{(.*)\}\[\d+ms\]")
LABEL = re.compile(r"/api/v1/label/(\w+)/values(?:\?(.*))?")
OWN = "sum by (variant) (rate(refunds"
"""How the query begins that the fleet's own gate asks."""
TTFT = {0.1: 0.5, 0.5: 0.9, 1.0: 1.0}
"""Share of first tokens that are there within so many seconds."""
Series = Mapping[str, Any]
"""One series of an answer."""


class Scraped:
    """What has been counted until now, for every route of the cluster."""

    def __init__(self, kube: MemoryKube, now: Callable[[], float]) -> None:
        self.broken: dict[str, float] = {}
        """By Service, since when every second request to it fails (seconds since the epoch)."""
        self.planted: dict[str, list[Series]] = {}
        """By pod what it shows besides, with the labels of what was scraped."""
        self.slow: float = 0.0
        """Seconds that a query takes which somebody has written into a gate."""
        self._kube, self._now = kube, now
        self._splits: dict[tuple[str, str], list[tuple[float, tuple[tuple[str, float], ...]]]] = {}
        """By route, from when on which Service had which share in each place."""

    async def follow(self) -> None:
        """Note every change of a split, for ever."""
        async for event in self._kube.watch(HTTP_ROUTE, None, "0"):
            if event.type in {"ADDED", "MODIFIED"}:
                self._note(event.object)

    def _note(self, route: Object) -> None:
        meta = route["metadata"]
        try:
            places = [(str(each["name"]), float(each.get("weight", 1))) for each in _backends(route)]
        except (KeyError, TypeError, ValueError, IndexError, AttributeError):
            return  # somebody's own, of a shape that no gateway takes
        whole = sum(weight for _, weight in places) or 1.0
        split = tuple((name, weight / whole) for name, weight in places)
        known = self._splits.setdefault((meta["namespace"], meta["name"]), [])
        if not known or known[-1][1] != split:
            known.append((self._now(), split))

    def serve(self, sent: Sent) -> Reply:
        """The answer to a question of the HTTP API."""
        query = sent.form.get("query", "")
        if sent.path.endswith("query_range"):
            return Reply('{"status":"success","data":{"resultType":"matrix","result":[]}}')
        at = EPOCH + (self._now() - EPOCH) // SCRAPE_S * SCRAPE_S
        label, asked = LABEL.match(sent.path), SELECTOR.search(query)
        if label is not None:
            values = {each["metric"].get(label[1], "") for each in self._matching(unquote_plus(label[2]), at)}
            return Reply(json.dumps({"status": "success", "data": sorted(map(str, values - {""}))}))
        if asked is None:
            result: list[Series] = [{"metric": {"variant": each}, "value": [at, "0.01"]} for each in ("v1", "v2")]
            slow = 0.0 if query.startswith(OWN) else self.slow
            return Reply(
                json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}}), after=slow
            )
        result = self._matching(asked[1], at)
        text = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
        return Reply(text.replace(", ", ",").replace(": ", ":"))

    def _matching(self, selector: str, at: float) -> list[Series]:
        """The series that are selected, with their points."""
        matchers = [(name, how, re.compile(text)) for name, how, text in MATCHER.findall(selector)]
        planted = [_recent(each, at) for shown in self.planted.values() for each in shown]
        return [
            each
            for each in (*self._series(at), *planted)
            if len(each) > 1 and all(_fits(each["metric"].get(name, ""), how, text) for name, how, text in matchers)
        ]

    def _series(self, at: float) -> Iterator[Series]:
        for (namespace, name), splits in self._splits.items():
            for place in range(max(len(split) for _, split in splits)):
                cluster = f"httproute/{namespace}/{name}/rule/0/backend/{place}"
                labels = {"envoy_cluster_name": cluster, "namespace": PROXIES, "pod": "envoy-0", "job": "envoy"}
                counted, failed = self._counted(splits, place, at)
                for kind, value in (("2", counted - failed), ("5", failed)):
                    named = {"__name__": "envoy_cluster_upstream_rq_xx", "envoy_response_code_class": kind}
                    yield _series({**named, **labels}, at, value)
                yield _series({"__name__": "envoy_cluster_upstream_rq_active", **labels}, at, 0.0)
        for (namespace, name), pod in self._kube.objects(POD).items():
            if (pod["metadata"].get("labels") or {}).get("serving.kserve.io/inferenceservice"):
                count = (at - EPOCH) * RPS
                labels = {"__name__": "vllm:time_to_first_token_seconds_bucket", "namespace": namespace, "pod": name}
                yield from (_series({**labels, "le": f"{bound:g}"}, at, count * share) for bound, share in TTFT.items())
                yield _series({**labels, "le": "+Inf"}, at, count)

    def _counted(self, splits: Sequence[tuple[float, Any]], place: int, until: float) -> tuple[float, float]:
        """Requests at one place of a route, and those of them that failed."""
        counted = failed = 0.0
        for (begin, split), (end, _) in zip(splits, [*splits[1:], (until, ())], strict=True):
            if place >= len(split) or end <= begin:
                continue
            service, share = split[place]
            counted += share * (end - begin) * RPS
            failed += share * max(end - max(begin, self.broken.get(service, end)), 0.0) * RPS / 2
        return counted, failed


def _recent(series: Series, at: float) -> Series:
    """What a range that ends now has of it."""
    points = {
        name: [each for each in series.get(name, ()) if at - RANGE_S < each[0] <= at]
        for name in ("values", "histograms")
    }
    return {"metric": series["metric"], **{name: found for name, found in points.items() if found}}


def _series(labels: Mapping[str, str], at: float, value: float) -> Series:
    return {"metric": dict(labels), "values": [[at, f"{value:.0f}"]]}


def _backends(route: Object) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = route["spec"]["rules"][0]["backendRefs"]
    return found


def _fits(value: Any, how: str, text: re.Pattern[str]) -> bool:
    same = text.fullmatch(str(value)) is not None if how.endswith("~") else text.pattern.replace("\\\\", "\\") == value
    return same is not how.startswith("!")
