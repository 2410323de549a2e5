"""Native histograms in an answer: spelled out as classic series, and read once where a server has both kinds."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from canary.spec.recipe import NATIVE, Recipe, SeriesId
from canary.spec.sources import PROFILES
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_native import spelled_out
from controlplane.adapters.prometheus_series import NativeSeries, PrometheusSeries
from tests.controlplane.adapters.pages import PageServer

QUERY = "/api/v1/query"
CANARY = {"arm": "canary", "replica": "canary-0"}
TTFT = {"__name__": "vllm:time_to_first_token_seconds", **CANARY}
COMPLETED = {"__name__": "envoy_cluster_upstream_rq_completed", **CANARY}
HISTOGRAM = {
    "count": "60",
    "sum": "14.5",
    "buckets": [[3, "-2.9e-39", "2.9e-39", "2"], [0, "0.25", "0.5", "50"], [0, "1", "2", "8"]],
}
"""As Prometheus writes it: numbers are text, and empty buckets are not there."""


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with PageServer() as server:
        yield server


@pytest.fixture
async def source(server: PageServer) -> AsyncIterator[PrometheusSource]:
    api = PrometheusApi(server.url(""), seconds=2)
    source = PrometheusSource(api, interval=1.0, names={"stable": "v1", "canary": "v2"})
    yield source
    await source.close()


def _matrix(*result: Mapping[str, Any]) -> str:
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": list(result)}})


async def test_it_is_asked_for_and_becomes_counts_by_bound(server: PageServer, source: PrometheusSource) -> None:
    requests = {"metric": COMPLETED, "values": [[100.0, "60"]]}
    server.put(QUERY, _matrix(requests, {"metric": TTFT, "histograms": [[99.0, {**HISTOGRAM}], [100.0, HISTOGRAM]]}))
    counters = await source.read()
    counts = counters.arms["canary"]["canary-0"].histograms["ttft"]
    assert (counts[2.0**-10], counts[0.25], counts[0.5], counts[1.0], counts[2.0]) == (2, 2, 52, 52, 60)
    assert counts[math.inf] == 60
    assert counters.problem == ""
    assert any("|vllm:time_to_first_token_seconds|" in asked.fields["query"][0] for asked in server.asked)


async def test_one_with_custom_buckets_is_missing_and_said(server: PageServer, source: PrometheusSource) -> None:
    custom = {"count": "60", "sum": "14.5", "buckets": [[0, "-Inf", "0.1", "50"], [0, "0.1", "+Inf", "10"]]}
    requests = {"metric": COMPLETED, "values": [[100.0, "60"]]}
    server.put(QUERY, _matrix(requests, {"metric": TTFT, "histograms": [[100.0, custom]]}))
    counters = await source.read()
    assert "ttft" not in counters.arms["canary"]["canary-0"].histograms
    assert "native histograms with buckets of their own" in counters.problem


async def test_the_newest_point_of_each_is_read_for_a_fleet(server: PageServer) -> None:
    later = {**HISTOGRAM, "count": "61", "buckets": [*HISTOGRAM["buckets"], [0, "2", "4", "1"]]}
    requests = {"metric": COMPLETED, "values": [[100.0, "60"], [101.0, "61"]]}
    server.put(QUERY, _matrix(requests, {"metric": TTFT, "histograms": [[100.0, HISTOGRAM], [101.0, later]]}))
    api = PrometheusApi(server.url(""), seconds=2)
    newest = await api.newest("x")
    found = dict(zip(newest.labels, zip(newest.at, newest.values, strict=True), strict=True))
    await api.close()
    labels = {"__name__": "vllm:time_to_first_token_seconds_bucket", **CANARY, NATIVE: "1", "le": "2.0"}
    by_labels = {json.dumps(json.loads(text + "}"), sort_keys=True): point for text, point in found.items()}
    assert by_labels[json.dumps(labels, sort_keys=True)] == (101.0, 60)
    assert by_labels[json.dumps(labels | {"le": "+Inf"}, sort_keys=True)] == (101.0, 61)


def test_ends_of_a_series_that_knows_no_more_bounds_have_no_points_there() -> None:
    """Resolution fell between the two points: the finer bounds are of the first alone."""
    fine = NativeSeries(count=1, sum=0.3, buckets=[(0, 0.25, 2.0**-1.75, 1)])
    coarse = NativeSeries(count=2, sum=0.6, buckets=[(0, 0.25, 0.5, 2)])
    answer = spelled_out([PrometheusSeries(metric={"__name__": "x"}, histograms=[(1.0, fine), (2.0, coarse)])])
    points = {each.metric["le"]: each.points for each in answer if "le" in each.metric}
    assert points["0.5"] == [(1.0, 1.0), (2.0, 2.0)]
    assert points[repr(2.0**-1.75)] == [(1.0, 1.0)]


def _recipe(*series: tuple[str, Mapping[str, str], float], profile: str = "knative") -> Any:
    recipe = Recipe([SeriesId(name, labels) for name, labels, _ in series], PROFILES[profile])
    return recipe.totals([value for _, _, value in series])


def test_a_server_that_counts_in_both_ways_is_counted_once() -> None:
    name, native = "http_server_request_duration_seconds", {NATIVE: "1"}
    both = _recipe(
        (f"{name}_bucket", {"le": "0.1"}, 4),
        (f"{name}_bucket", {"le": "+Inf"}, 9),
        (f"{name}_count", {}, 9),
        (f"{name}_bucket", {"le": "0.25", **native}, 5),
        (f"{name}_bucket", {"le": "+Inf", **native}, 9),
        (f"{name}_count", native, 9),
    )
    assert (both.requests, both.histograms) == (9, {"latency": {0.1: 4, math.inf: 9}})


def test_a_native_histogram_counts_requests_and_gives_bounds_where_the_classic_one_has_only_its_total() -> None:
    name, native = "http_server_request_duration_seconds", {NATIVE: "1"}
    alone = _recipe(
        (f"{name}_bucket", {"le": "+Inf"}, 9),
        (f"{name}_bucket", {"le": "0.25", **native}, 5),
        (f"{name}_bucket", {"le": "+Inf", **native}, 9),
        (f"{name}_count", {"http_response_status_code": "200", **native}, 9),
        (f"{name}_count", {"http_response_status_code": "503", **native}, 1),
    )
    assert (alone.requests, alone.errors) == (10, 1)
    assert alone.histograms == {"latency": {0.25: 5, math.inf: 9}}
