"""One tick for everybody: whose numbers they are, what is asked, and who is told what when something is missing."""

import asyncio
import math
from dataclasses import replace
from typing import Any

import pytest

from canary.errors import ExternalError, Unavailable
from canary.snapshot import PodCounters
from canary.spec.models import Gate
from controlplane.adapters.prometheus import NO_NUMBERS
from controlplane.adapters.prometheus_gates import query_of
from controlplane.evidence.metric_locations import Labels, RouteSlot
from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.controlplane.evidence.scraped import (
    CANARY,
    ERRORS,
    LATENCY,
    STABLE,
    TTFT,
    Metric,
    Prometheus,
    Standing,
    answer,
    buckets,
    fleet_on,
    gateway,
    places,
    requests_of,
    series,
    server,
)
from tests.controlplane.reconcile.desk import Hand

KEY = ("shop", "chat")
OWN = Gate(
    text="refunds <= 3%",
    metric="refunds",
    comparison="max",
    limit=0.03,
    better="lower",
    query="sum by (variant) (rate(refunds_total[$window]))",
    window=60.0,
)
OWN_QUERY = "sum by (variant) (rate(refunds_total[60000ms]))"

NOBODY = {"client_errors": 0.0, "throttled": 0.0}
"""Totals of a replica that refused nobody."""


async def test_what_a_gateway_counts_goes_to_the_arm_that_stands_at_the_place(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """Each proxy is a replica of each arm, for each counts on its own."""
    fleet.register(KEY, places())
    prometheus.show(
        gateway(0, [(100.0, 80), (101.0, 90)], [(101.0, 3)]),
        gateway(0, [(101.0, 40)], pod="envoy-b"),
        gateway(1, [(101.0, 5)]),
    )
    await fleet.tick()
    counters = await fleet.source(KEY).read()
    assert (counters.at, counters.problem, counters.unrouted) == (101.0, "", None)
    assert counters.arms == {
        "stable": {
            "envoy-a/backend/0@100.000": PodCounters(requests=93, errors=3, totals=NOBODY),
            "envoy-b/backend/0@100.000": PodCounters(requests=40, errors=0, totals=NOBODY),
        },
        "canary": {"envoy-a/backend/1@100.000": PodCounters(requests=5, errors=0, totals=NOBODY)},
    }


async def test_a_place_with_another_service_is_another_series_and_older_points_are_dropped(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """A counter is never read across a change of who stands behind it."""
    standing = Standing()
    fleet.register(KEY, places(standing=standing))
    prometheus.show(gateway(0, [(101.0, 900)]), gateway(1, [(101.0, 70)]))
    await fleet.tick()
    standing.slots = (STABLE, RouteSlot("bf16", STABLE.service, since=102.0))
    prometheus.show(gateway(0, [(102.5, 990)]), gateway(1, [(101.0, 70), (101.9, 75)]))
    await fleet.tick()
    assert fleet.newest(KEY).arms.keys() == {"stable"}
    prometheus.show(gateway(0, [(103.0, 1000)]), gateway(1, [(103.0, 80)]))
    await fleet.tick()
    assert {name: pod.requests for name, pod in fleet.newest(KEY).arms["stable"].items()} == {
        "envoy-a/backend/0@100.000": 1000,
        "envoy-a/backend/1@102.000": 80,
    }


async def test_one_question_serves_all_rollouts(fleet: SharedPrometheus, prometheus: Prometheus) -> None:
    """Their number changes the text of the question and not how many there are."""
    for name in ("chat", "search", "sum.up"):
        fleet.register(("shop", name), places(name))
    prometheus.show(*(gateway(0, [(101.0, n)], route=f"shop/{name}") for n, name in ((7, "chat"), (8, "search"))))
    await fleet.tick()
    (query,) = prometheus.queries
    assert 'envoy_cluster_name=~"httproute/(shop/(chat|search|sum[.]up))/rule/0/backend/[01]"' in query
    assert query.endswith("}[3000ms]")
    assert "rq_time_bucket" not in query, "no gate asks for it"
    assert [requests_of(fleet.newest(("shop", name)), "stable") for name in ("chat", "search")] == [7, 8]
    with pytest.raises(ExternalError, match=r"no sample younger than 3 s for sum\.up") as caught:
        fleet.newest(("shop", "sum.up"))
    assert not isinstance(caught.value, Unavailable)


async def test_s14_what_a_rollout_counts_does_not_depend_on_what_another_one_asks_for(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """The same names in another namespace, and a gate that needs what servers count: it is there for that one alone."""
    fleet.register(KEY, places(gates=(ERRORS,)))
    fleet.register(("lab", "chat"), places(namespace="lab", gates=(TTFT,)))
    prometheus.show(
        gateway(1, [(101.0, 5)]),
        pods=[server("vllm:time_to_first_token_seconds_bucket", "chat-int4-x-1", 5, le="+Inf")],
    )
    await fleet.tick()
    assert fleet.newest(KEY).arms["canary"].keys() == {"envoy-a/backend/1@100.000"}


async def test_servers_are_asked_only_for_what_gates_need(prometheus: Prometheus, clock: Hand) -> None:
    fleet = fleet_on(prometheus, clock, labels=Labels(selector='cluster="eu"'))
    fleet.register(KEY, places(gates=[ERRORS, LATENCY, TTFT]))
    prometheus.show(
        gateway(1, [(101.0, 10)]),
        buckets(1, 101.0, {100: 7, math.inf: 10}),
        pods=[
            server("process_start_time_seconds", "chat-int4-predictor-5f-x1", 55.5),
            server("vllm:time_to_first_token_seconds_bucket", "chat-int4-predictor-5f-x1", 4, le="0.1"),
            server("vllm:time_to_first_token_seconds_bucket", "chat-int4-predictor-5f-x1", 10, le="+Inf"),
            server("vllm:time_to_first_token_seconds_bucket", "other-predictor-5f-x1", 10, le="+Inf"),
        ],
    )
    await fleet.tick()
    gateways, servers = prometheus.queries
    assert "rq_time_bucket" in gateways
    assert 'namespace=~"shop",pod=~"(chat-bf16|chat-int4)(-.*)?",cluster="eu"}' in servers
    assert "time_to_first_token" in servers
    assert "generation_tokens" not in servers
    assert fleet.newest(KEY).arms == {
        "canary": {
            "envoy-a/backend/1@100.000": PodCounters(
                requests=10, errors=0, histograms={"latency": {0.1: 7, math.inf: 10}}, totals=NOBODY
            ),
            "chat-int4-predictor-5f-x1": PodCounters(histograms={"ttft": {0.1: 4, math.inf: 10}}, started_at=55.5),
        }
    }
    await fleet.api.close()


@pytest.mark.parametrize(
    ("page", "what", "down"),
    [
        ({"body": "", "status": 503}, "answers 503", True),
        ({"body": "", "status": 401}, "does not accept our credentials", True),
        ({"body": "", "delay_s": 60}, "no answer within", True),
        ({"body": "x" * 200_000}, "larger than 100000 bytes", True),
        ({"body": "<html>Log in</html>"}, "does not speak as Prometheus does", True),
        ({"body": answer([{"metric": {}, "values": [[1, "x"]]}])}, "does not speak as Prometheus does", True),
        ({"body": answer(gateway(0, [(101.0, 9)]), warnings=["a store is down"])}, "may not be whole", False),
        ({"body": answer(gateway(0, [(101.0, 9)]), isPartial=True)}, "partial", False),
        ({"body": '{"status":"error","errorType":"execution","error":"too many"}', "status": 422}, "too many", False),
        ({"body": answer([])}, "scrapes nothing of it", False),
        ({"body": answer(gateway(0, [(101.0, "NaN")]))}, "no number for the requests of chat", False),
    ],
)
async def test_r4_an_answer_that_only_looks_good_is_told_to_everybody(
    fleet: SharedPrometheus, prometheus: Prometheus, page: dict[str, Any], what: str, down: bool
) -> None:
    """Down or of no use, as the local source tells them apart; and the next good answer ends it."""
    fleet.register(KEY, places())
    prometheus.put("/gateway", page.pop("body"), **page)
    await fleet.tick()
    with pytest.raises(ExternalError, match=what) as caught:
        await fleet.source(KEY).read()
    assert isinstance(caught.value, Unavailable) is down
    prometheus.show(gateway(0, [(102.0, 9)]))
    await fleet.tick()
    assert fleet.newest(KEY).at == 102.0


async def test_r4_what_is_no_number_is_missing_and_said_to_its_rollout_alone(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    for name in ("chat", "search"):
        fleet.register(("shop", name), places(name))
    prometheus.show(
        gateway(0, [(101.0, 9)]), gateway(1, [(101.0, "NaN")]), gateway(1, [(101.0, 4)], route="shop/search")
    )
    await fleet.tick()
    assert fleet.newest(KEY).arms.keys() == {"stable"}
    assert fleet.newest(KEY).problem == f"1 series in Prometheus are not numbers {NO_NUMBERS}"
    assert fleet.newest(("shop", "search")).problem == ""


async def test_r4_servers_that_cannot_be_read_cost_their_numbers_and_no_others(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(KEY, places(gates=[TTFT]))
    prometheus.show(gateway(1, [(101.0, 10)]))
    prometheus.put("/pods", "", status=500)
    await fleet.tick()
    assert requests_of(fleet.newest(KEY), "canary") == 10
    assert "answers 500" in fleet.newest(KEY).problem


async def test_counters_whose_requests_were_not_scraped_again_are_the_same_counters(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(KEY, places())
    prometheus.show(gateway(0, [(101.0, 9)]))
    await fleet.tick()
    before = fleet.newest(KEY)
    await fleet.tick()
    assert fleet.newest(KEY) is before


async def test_the_rollout_whose_canary_has_just_broken_is_the_most_suspicious(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    for name in ("chat", "search"):
        fleet.register(("shop", name), places(name))
    well = [gateway(place, [(101.0, 10_000)], [(101.0, 0)]) for place in (0, 1)]
    other = gateway(1, [(101.0, 10_000)], [(101.0, 0)], route="shop/search")
    prometheus.show(*well, other)
    await fleet.tick()
    assert fleet.suspicion(KEY) == fleet.suspicion(("shop", "search")) == 0.0
    prometheus.show(
        gateway(0, [(102.0, 10_200)], [(102.0, 0)]),
        gateway(1, [(102.0, 10_100)], [(102.0, 100)]),
        gateway(1, [(102.0, 10_100)], [(102.0, 0)], route="shop/search"),
    )
    await fleet.tick()
    assert fleet.suspicion(KEY) == pytest.approx(0.5, abs=0.02)
    assert fleet.suspicion(("shop", "search")) == 0.0
    fleet.forget(KEY)
    assert fleet.suspicion(KEY) == 0.0


async def test_series_in_another_order_than_before_are_still_their_own(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(KEY, places())
    prometheus.show(gateway(0, [(101.0, 9)]), gateway(1, [(101.0, 4)]))
    await fleet.tick()
    prometheus.show(gateway(1, [(102.0, 5)]), gateway(0, [(102.0, 10)]))
    await fleet.tick()
    assert (requests_of(fleet.newest(KEY), "stable"), requests_of(fleet.newest(KEY), "canary")) == (10, 5)


async def test_r4_before_the_first_tick_and_after_the_last_the_source_counts_as_silent(
    fleet: SharedPrometheus, prometheus: Prometheus, clock: Hand
) -> None:
    """Old numbers are never passed off as the present."""
    fleet.register(KEY, places())
    with pytest.raises(Unavailable, match="has not been asked yet"):
        fleet.newest(KEY)
    prometheus.show(gateway(0, [(101.0, 9)]))
    await fleet.tick()
    clock.time += 4.5
    with pytest.raises(Unavailable, match="the ticks are late"):
        fleet.newest(KEY)


async def test_a_forgotten_rollout_is_not_asked_for_and_has_no_numbers(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(KEY, places())
    fleet.register(("shop", "search"), places("search"))
    prometheus.show(gateway(0, [(101.0, 9)]))
    await fleet.tick()
    fleet.forget(KEY)
    await fleet.tick()
    assert "chat" not in prometheus.queries[-1]
    with pytest.raises(ExternalError, match="Nothing has been read"):
        fleet.newest(KEY)


async def test_without_rollouts_nothing_is_asked(fleet: SharedPrometheus, prometheus: Prometheus) -> None:
    await fleet.tick()
    assert prometheus.queries == []


async def test_a_rollout_that_comes_later_finds_series_that_were_nobodys(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(("shop", "search"), places("search"))
    prometheus.show(gateway(0, [(101.0, 9)]))
    await fleet.tick()
    fleet.register(KEY, places())
    await fleet.tick()
    assert requests_of(fleet.newest(KEY), "stable") == 9


async def test_ticks_that_begin_late_are_counted(fleet: SharedPrometheus, clock: Hand) -> None:
    """The grid is kept, and what was lost is not made up for."""
    for lateness in (0.0, 0.1, 0.8, 0.0):
        clock.time = 1000.0 if fleet._due is None else fleet._due + lateness
        await fleet.tick()
        assert fleet.lag_s == pytest.approx(lateness)
    assert fleet.slipped == 1


async def test_a_query_that_several_gates_ask_is_asked_once(fleet: SharedPrometheus, prometheus: Prometheus) -> None:
    for name in ("chat", "search"):
        fleet.register(("shop", name), places(name, gates=[OWN, replace_text(OWN, "refunds <= 5%")]))
    prometheus.show(*(gateway(0, [(101.0, 9)], route=f"shop/{name}") for name in ("chat", "search")))
    found = [{"metric": {"variant": name}, "value": [101.0, number]} for name, number in (("bf16", "1"), ("int4", "2"))]
    prometheus.put(OWN_QUERY, answer(found, "vector"))
    await fleet.tick()
    assert prometheus.queries.count(OWN_QUERY) == 1
    reading = {"stable": 1.0, "canary": 2.0}
    assert fleet.newest(KEY).readings == {"refunds <= 3%": reading, "refunds <= 5%": reading}
    assert fleet.newest(("shop", "search")).problem == ""


async def test_counters_that_a_gate_names_come_along(fleet: SharedPrometheus, prometheus: Prometheus) -> None:
    """Of any job, by the label that the plan names."""
    named = {"query": None, "events": "refunds_total", "of": "orders_total", "variant_label": "model"}
    fleet.register(KEY, places(gates=[gate := OWN.model_copy(update=named)]))
    prometheus.show(gateway(0, [(101.0, 9)]))
    found = [
        {"metric": {"serinus_counter": part, "model": "int4", "pod": pod}, "value": [101.0, number]}
        for part, pod, number in (("events", "a", "1"), ("events", "b", "2"), ("of", "a", "70"))
    ]
    prometheus.put(query_of(gate), answer(found, "vector"))
    await fleet.tick()
    counters = fleet.newest(KEY)
    assert sorted(counters.counted[gate.text]["canary"].values()) == [1.0, 2.0, 70.0]
    assert (counters.readings, requests_of(counters, "stable")) == ({}, 9)


def replace_text(gate: Gate, text: str) -> Gate:
    """The same gate under another limit's name."""
    return gate.model_copy(update={"text": text})


async def test_r4_a_query_that_hangs_delays_nobody_elses_numbers(prometheus: Prometheus, clock: Hand) -> None:
    """And its own rollout's for a moment only; the answer counts when it comes."""
    async with asyncio.TaskGroup() as background:
        fleet = fleet_on(prometheus, clock, spawn=background.create_task)
        fleet.register(KEY, places(gates=[OWN]))
        fleet.register(("shop", "search"), places("search"))
        prometheus.show(*(gateway(0, [(101.0, 9)], route=f"shop/{name}") for name in ("chat", "search")))
        prometheus.put(OWN_QUERY, "", delay_s=60)
        await fleet.tick()
        assert fleet.newest(("shop", "search")).at == 101.0
        assert fleet.newest(KEY).problem == "refunds <= 3%: its query has not been answered yet"
        await asyncio.sleep(0.3)
        prometheus.show(gateway(0, [(102.0, 9)]))
        await fleet.tick()
        assert "no answer within 0.3 s" in fleet.newest(KEY).problem
        assert prometheus.queries.count(OWN_QUERY) == 2
    await fleet.api.close()


async def test_the_idle_place_that_names_the_live_service_is_the_live_arms(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(KEY, places(standing=Standing(STABLE, replace(CANARY, variant="bf16"))))
    prometheus.show(gateway(0, [(101.0, 9)]), gateway(1, [(101.0, 1)]))
    await fleet.tick()
    assert fleet.newest(KEY).arms.keys() == {"stable"}
    assert len(fleet.newest(KEY).arms["stable"]) == 2


async def test_gates_by_a_label_tell_its_values_apart_in_what_the_pods_count(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """Gateways know no tenants; the servers behind them count them. Only who asks by a label pays for it."""
    by_tenant = ERRORS.model_copy(update={"by": "tenant"})
    fleet.register(KEY, places(gates=(by_tenant,)))
    own = [
        server("serinus_requests_total", "chat-int4-predictor-x-y", count, tenant=tenant, status=status)
        for tenant, status, count in (("acme", "200", 40), ("bolt", "200", 20), ("bolt", "500", 30))
    ]
    prometheus.show(gateway(0, [(101.0, 900)]), gateway(1, [(101.0, 60)], [(101.0, 30)]), pods=own)
    await fleet.tick()
    counters = fleet.newest(KEY)
    bolt = counters.segments["tenant"]["bolt"]["canary"]["chat-int4-predictor-x-y"]
    assert (bolt.requests, bolt.errors) == (50, 30)
    assert sorted(counters.segments["tenant"]) == ["acme", "bolt"]
    assert sum(pod.requests or 0.0 for pod in counters.arms["canary"].values()) == 90


def active(place: int, open_: float, *, at: float, pod: str = "envoy-a") -> Metric:
    """How many requests one proxy has open at one place of the route."""
    cluster = f"httproute/shop/chat/rule/0/backend/{place}"
    labels = {"envoy_cluster_name": cluster, "namespace": "envoy-gateway-system", "pod": pod}
    return series("envoy_cluster_upstream_rq_active", labels, (at, open_))


async def test_open_requests_are_those_of_all_proxies_and_as_old_as_the_oldest_count(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """A proxy that was read before the traffic was gone says nothing of what came after."""
    fleet.register(KEY, places(gates=[TTFT]))
    own = [server("vllm:num_requests_running", "chat-int4-predictor-x-y", 7)]
    found = [active(1, 3, at=104.0), active(1, 2, at=101.0, pod="envoy-b"), active(0, 9, at=104.0)]
    counted = [gateway(0, [(104.0, 900)]), gateway(1, [(104.0, 60)]), gateway(1, [(101.0, 50)], pod="envoy-b")]
    prometheus.show(*counted, found, pods=own)
    await fleet.tick()
    in_flight = fleet.newest(KEY).in_flight
    assert (in_flight["canary"].open, in_flight["canary"].at) == (5, 101.0)
    assert in_flight["stable"].open == 9


async def test_where_no_proxy_counts_them_vllm_does(fleet: SharedPrometheus, prometheus: Prometheus) -> None:
    """What waits for its turn is open as well."""
    fleet.register(KEY, places(profile="vllm"))
    pods = ["chat-bf16-predictor-x-y", "chat-int4-predictor-x-y", "chat-int4-predictor-x-z"]
    post: dict[str, Any] = {"handler": "/v1/completions", "method": "POST", "status": "2xx"}
    own = [server("http_requests_total", pod, 40, **post) for pod in pods]
    own += [server("vllm:num_requests_running", pod, 2, engine=engine) for pod in pods for engine in ("0", "1")]
    own += [server("vllm:num_requests_waiting", pods[1], 5, engine="0")]
    prometheus.show(pods=own)
    await fleet.tick()
    in_flight = fleet.newest(KEY).in_flight
    assert {arm: count.open for arm, count in in_flight.items()} == {"stable": 4, "canary": 13}
