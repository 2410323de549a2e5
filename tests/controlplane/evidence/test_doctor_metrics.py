"""What the doctor says of a Prometheus: who it is, whether its clock is right, what it has and how often."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.evidence.doctor_cluster import Check
from controlplane.evidence.doctor_metrics import of_metrics
from tests.controlplane.adapters.pages import PageServer, Query
from tests.controlplane.evidence.scraped import answer
from tests.controlplane.evidence.test_discover import BACKEND, CLUSTERS, NAMES
from tests.controlplane.reconcile.desk import Hand


class Known(PageServer):
    """Answers each of the doctor's questions."""

    every = 1.0
    """Seconds between two scrapes."""
    scrapes = 3
    clock = 1000.0
    kept: tuple[str, ...] = (
        "envoy_cluster_upstream_rq_total",
        "envoy_cluster_upstream_rq_active",
        "envoy_cluster_upstream_cx_destroy_local_with_active_rq",
    )

    def path_of(self, path: str, fields: Query) -> str:
        """By the query's text."""
        query = fields.get("query", [""])[0]
        if query == "vector(time())":
            self.put("/time", answer([{"metric": {}, "value": [1, str(self.clock)]}], "vector"))
            return "/time"
        if query == "prometheus_build_info":
            self.put("/build", answer([{"metric": {"version": "3.5.0"}, "value": [1, "1"]}], "vector"))
            return "/build"
        if query == 'up{job="proxies"}[120s]':
            points = [[1000 + number * self.every, "1"] for number in range(self.scrapes)]
            self.put("/up", answer([{"metric": {"__name__": "up", "job": "proxies"}, "values": points}]))
            return "/up"
        if query.startswith("count by (__name__)"):
            kept = [{"metric": {"__name__": name}, "value": [1, "1"]} for name in self.kept if name in query]
            self.put("/kept", answer(kept, "vector"))
            return "/kept"
        if "count_over_time" in query:
            self.put("/count", answer([{"metric": {"job": "proxies"}, "value": [1, str(self.scrapes)]}], "vector"))
            return "/count"
        return path


@pytest.fixture
async def server() -> AsyncIterator[Known]:
    async with Known() as server:
        server.put(NAMES, json.dumps({"status": "success", "data": ["envoy_cluster_upstream_rq_xx"]}))
        server.put(CLUSTERS, json.dumps({"status": "success", "data": [BACKEND]}))
        yield server


async def _checks(server: PageServer) -> dict[str, Check]:
    found = await of_metrics(server.url(""), Hand(), namespace=None, access=PrometheusAuth())
    return {check.about: check for check in found}


async def test_a_prometheus_in_order_is_described(server: Known) -> None:
    found = await _checks(server)
    assert {check.state for check in found.values()} == {"ok"}
    assert "version 3.5.0" in found["Prometheus"].says
    assert "about every 1 s" in found["scrape interval"].says
    assert "envoy-gateway" in found["metrics profile"].says
    assert BACKEND in found["clusters by backend"].says


async def test_counters_that_an_older_monitor_leaves_out_are_named_with_what_to_do(server: Known) -> None:
    """A gateway that is scraped as before an update counts answers, and nothing that hangs."""
    server.kept = server.kept[:1]
    check = (await _checks(server))["hangs"]
    assert check.state == "problem"
    assert "keeps no envoy_cluster_upstream_cx_destroy_local_with_active_rq and no envoy_cluster" in check.says
    assert "rq_active: a canary that never finishes its answers is not found" in check.says
    assert "manifests/monitoring" in check.do


async def test_scrapes_that_are_far_apart_and_a_clock_that_is_off_are_said(server: Known) -> None:
    server.every, server.clock = 30.0, 1060.0
    found = await _checks(server)
    assert (found["scrape interval"].state, found["clocks"].state) == ("note", "problem")
    assert "1 min behind Prometheus' clock" in found["clocks"].says


async def test_a_target_that_was_scraped_once_says_nothing_of_how_often(server: Known) -> None:
    """A young series is no slow one."""
    server.scrapes = 1
    check = (await _checks(server))["scrape interval"]
    assert (check.state, check.says) == ("note", "proxies was scraped once so far.")


async def test_a_prometheus_without_metrics_of_ours_says_what_to_scrape(server: Known) -> None:
    server.put(NAMES, json.dumps({"status": "success", "data": ["up"]}))
    server.put(CLUSTERS, json.dumps({"status": "success", "data": []}))
    check = (await _checks(server))["metrics profile"]
    assert check.state == "problem"
    assert "manifests/monitoring" in check.do


async def test_a_prometheus_that_is_away_unnamed_or_not_to_be_asked_is_a_problem(server: Known, tmp_path: Path) -> None:
    await server.stop()
    (away,) = (await _checks(server)).values()
    (unnamed,) = await of_metrics(None, Hand(), namespace=None, access=PrometheusAuth())
    token = PrometheusAuth(bearer_file=tmp_path / "none")
    (locked,) = await of_metrics(server.url(""), Hand(), namespace=None, access=token)
    assert [check.state for check in (away, unnamed, locked)] == ["problem"] * 3
    assert "does not answer" in away.says
    assert "none cannot be read" in locked.says
