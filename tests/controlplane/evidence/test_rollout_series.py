"""What cannot be counted is missing data of its series, or of its rollout, and of nobody else."""

import asyncio
import re
from dataclasses import replace
from typing import Any

import pytest

from canary import judge
from canary.errors import BugError, ExternalError, Unavailable
from canary.snapshot import Counters, MetricsStatus
from canary.verdict import GateAnswer
from canary.weights import Weights
from controlplane.adapters import prometheus_api, prometheus_parse
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus import NO_NUMBERS
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_parse import PIECE, Newest
from controlplane.evidence import rollout_series
from controlplane.evidence.series_places import SERIES_AT_ONCE
from controlplane.evidence.shared_prometheus import APART_S, FORGET_AFTER_S, SharedPrometheus
from tests.canary.judge.worlds import ERRORS_AT_MOST, plan
from tests.controlplane.adapters.pages import Query
from tests.controlplane.evidence.scraped import (
    TTFT,
    Metric,
    Prometheus,
    answer,
    fleet_on,
    gateway,
    places,
    requests_of,
    series,
    server,
)
from tests.controlplane.reconcile.desk import Hand

KEY = ("shop", "chat")
OTHER = ("shop", "search")
TTFT_BUCKET = "vllm:time_to_first_token_seconds_bucket"
CANARYS_POD = "chat-int4-predictor-5f-x1"


def _native(*buckets: tuple[int, str, str, str]) -> Metric:
    histogram = {"count": "60", "sum": "14.5", "buckets": list(map(list, buckets))}
    labels = {"__name__": "vllm:time_to_first_token_seconds", "namespace": "shop", "pod": CANARYS_POD}
    return {"metric": labels, "histograms": [[101.0, histogram]]}


SENSELESS: dict[str, tuple[list[Any], str]] = {
    "a bound that is none": (
        [server(TTFT_BUCKET, CANARYS_POD, 4, le="abc")],
        f'no data from {CANARYS_POD}: bucket bound "abc" of vllm:time_to_first_token_seconds is no number',
    ),
    "no bound": ([server(TTFT_BUCKET, CANARYS_POD, 4, le="")], f'no data from {CANARYS_POD}: bucket bound ""'),
    "sums without end": (
        [server(TTFT_BUCKET, CANARYS_POD, "1.7e308", le="0.5", engine=str(n)) for n in range(2)],
        f"2 series in Prometheus are not numbers {NO_NUMBERS}",
    ),
    "integers without end": ([server(TTFT_BUCKET, CANARYS_POD, "9" * 300, le="0.5")], "1 series in Prometheus"),
    "native bounds below zero": ([_native((0, "0.25", "-0.5", "3"))], "1 series in Prometheus"),
    "native bounds without width": ([_native((0, "0.25", "0.25", "3"))], "1 series in Prometheus"),
    "native bounds far apart": ([_native((0, "5e-324", "1e308", "3"))], "1 series in Prometheus"),
    "native bounds that are none": ([_native((0, "NaN", "NaN", "3"))], "1 series in Prometheus"),
    "a label that is a number": (
        [{"metric": {"__name__": TTFT_BUCKET, "pod": 7}, "values": [[101, "1"]]}],
        "1 series of its answer make no sense",
    ),
    "a label that is a list": (
        [{"metric": {"__name__": TTFT_BUCKET, "pod": ["x"]}, "values": [[101, "1"]]}],
        "1 series of its answer make no sense",
    ),
    "a time that is none": (
        [{"metric": {"__name__": TTFT_BUCKET, "pod": "x"}, "values": [["x", "1"]]}],
        "1 series of its answer make no sense",
    ),
}


@pytest.mark.parametrize("what", SENSELESS)
async def test_r4_numbers_without_sense_are_missing_data_of_their_series_alone(
    fleet: SharedPrometheus, prometheus: Prometheus, what: str
) -> None:
    """And said; the others' numbers are there at every tick, and so are the rollout's own others."""
    series, problem = SENSELESS[what]
    fleet.register(KEY, places(gates=[TTFT]))
    fleet.register(OTHER, places("search", gates=[TTFT]))
    good = [
        server("vllm:time_to_first_token_seconds_bucket", f"search-{name}-predictor-5f-x1", 5, le="0.5")
        for name in ("bf16", "int4")
    ]
    for at in (101.0, 102.0):
        both = [gateway(1, [(at, 10)], route=f"shop/{name}") for name in ("chat", "search")]
        prometheus.show(*both, pods=[*series, *good])
        await fleet.tick()
        assert (fleet.newest(KEY).at, _requests_of_proxies(fleet.newest(KEY))) == (at, 10)
        assert problem in fleet.newest(KEY).problem
        assert (fleet.newest(OTHER).at, _requests_of_proxies(fleet.newest(OTHER))) == (at, 10)
        histograms = [pod.histograms.get("ttft") for pods in fleet.newest(OTHER).arms.values() for pod in pods.values()]
        assert histograms.count({0.5: 5}) == 2
        if "series of its answer" not in problem:  # nobody knows whose those are
            assert fleet.newest(OTHER).problem == ""


def _requests_of_proxies(counters: Counters) -> float:
    return sum(pod.requests or 0.0 for pods in counters.arms.values() for pod in pods.values())


@pytest.mark.parametrize("labels", ["{foo", '{"a":7', '{"envoy_cluster_name":3', '{"a":"b","c"', '{"a":null'])
async def test_s14_labels_without_sense_cost_no_other_series(
    fleet: SharedPrometheus, prometheus: Prometheus, labels: str
) -> None:
    fleet.register(KEY, places())
    text = answer(gateway(1, [(101.0, 10)]))
    prometheus.put("/gateway", text.replace('"result":[', f'"result":[{{"metric":{labels}}},"values":[[1,"2"]]}},'))
    for _ in range(2):
        await fleet.tick()
        assert requests_of(fleet.newest(KEY), "canary") == 10
        assert fleet.newest(KEY).problem.endswith("1 series of its answer make no sense")


@pytest.mark.parametrize("status", ["[]", "{}", '{"a":1}', "7", "null"])
async def test_s14_a_status_that_is_no_word_is_no_answer(
    fleet: SharedPrometheus, prometheus: Prometheus, status: str
) -> None:
    fleet.register(KEY, places())
    for body in (f'{{"status":{status}}}', f'{{"status":"success","data":{{"resultType":{status},"result":[]}}}}'):
        prometheus.put("/gateway", body)
        await fleet.tick()
        with pytest.raises(Unavailable, match="does not speak as Prometheus does"):
            fleet.newest(KEY)


async def test_r4_a_rollout_whose_places_cannot_be_told_costs_no_other(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """A bug of ours, if it ever comes to that."""

    def slots() -> Any:
        raise KeyError("slots")

    fleet.register(KEY, replace(places(), slots=slots))
    fleet.register(OTHER, places("search"))
    prometheus.show(gateway(1, [(101.0, 10)], route="shop/search"))
    await fleet.tick()
    assert requests_of(fleet.newest(OTHER), "canary") == 10
    with pytest.raises(ExternalError, match=r"A bug of ours keeps these numbers from being read.*KeyError"):
        fleet.newest(KEY)


async def test_r4_a_name_that_would_spoil_the_question_for_everybody_is_never_asked_for(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    fleet.register(OTHER, places("search"))
    with pytest.raises(BugError, match="not put into a query"):
        fleet.register(KEY, places('chat"}'))
    prometheus.show(gateway(1, [(101.0, 10)], route="shop/search"))
    await fleet.tick()
    assert requests_of(fleet.newest(OTHER), "canary") == 10


async def test_s14_series_without_end_are_left_out_and_said_to_their_rollout_alone(
    fleet: SharedPrometheus, prometheus: Prometheus, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other pods are read as before; and once they have gone, so is that one."""
    monkeypatch.setattr(rollout_series, "MOST_OF_A_REPLICA", 5)
    fleet.register(KEY, places(gates=[TTFT]))
    fleet.register(OTHER, places("search", gates=[TTFT]))
    both = [gateway(1, [(101.0, 10)], route=f"shop/{name}") for name in ("chat", "search")]
    many = [server(TTFT_BUCKET, CANARYS_POD, 4, le="0.5", x=str(number)) for number in range(9)]
    stables = server(TTFT_BUCKET, "chat-bf16-predictor-5f-x1", 5, le="0.5")
    prometheus.show(*both, pods=[*many, stables])
    await fleet.tick()
    assert "4 series are left out: no more than 5 of a pod" in fleet.newest(KEY).problem
    assert fleet.newest(KEY).arms["stable"]["chat-bf16-predictor-5f-x1"].histograms == {"ttft": {0.5: 5}}
    assert _requests_of_proxies(fleet.newest(KEY)) == _requests_of_proxies(fleet.newest(OTHER)) == 10
    assert fleet.newest(OTHER).problem == ""
    for _ in range(2):
        clock.time += FORGET_AFTER_S
        both = [gateway(1, [(clock.time, 20)], route=f"shop/{name}") for name in ("chat", "search")]
        prometheus.show(*both, pods=[*many[5:], stables])
        await fleet.tick()
    assert fleet.newest(KEY).problem == ""


async def test_s14_labels_that_change_at_every_scrape_do_not_fill_the_memory(
    fleet: SharedPrometheus, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("controlplane.evidence.shared_prometheus.MOST_OLD_SERIES", 50)
    fleet.register(KEY, places(gates=[TTFT]))
    for number in range(100):
        fresh = [server(TTFT_BUCKET, CANARYS_POD, 4, le="0.5", x=f"{number}-{each}") for each in range(10)]
        prometheus.show(gateway(1, [(101.0 + number, 10)]), pods=fresh)
        await fleet.tick()
        assert fleet.newest(KEY).at == 101.0 + number
    assert len(fleet._series) < 150
    assert sum(len(replica.series) for replica in fleet._ledgers[KEY]._replicas.values()) < 150


async def test_a_rollout_that_is_registered_anew_while_an_answer_is_taken_in_is_read_at_the_next_tick(
    fleet: SharedPrometheus, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The event loop has its turn meanwhile, and places that were looked up before are not kept."""
    monkeypatch.setattr("controlplane.evidence.series_places.SERIES_AT_ONCE", 1)
    fleet.register(KEY, places())
    fleet.register(OTHER, places("search"))
    both = [gateway(1, [(101.0, 10)], [(101.0, 1)], route=f"shop/{name}") for name in ("chat", "search")]
    prometheus.show(*both)

    async def meanwhile() -> None:
        while not fleet._series:  # noqa: ASYNC110 - nothing says so
            await asyncio.sleep(0)
        fleet.register(KEY, places())

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(meanwhile())
        await fleet.tick()
    assert requests_of(fleet.newest(OTHER), "canary") == 11
    await fleet.tick()
    assert requests_of(fleet.newest(KEY), "canary") == requests_of(fleet.newest(OTHER), "canary") == 11


async def test_s14_an_answer_of_many_megabytes_never_keeps_the_event_loop(
    prometheus: Prometheus, clock: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others have their turn after every few milliseconds of work, whatever the answer is."""
    api = PrometheusApi(prometheus.url(""), seconds=60, http=BoundedHttp(most_bytes=64 * 1024 * 1024))
    fleet = SharedPrometheus(api, clock=clock, interval=1.0)
    fleet.register(KEY, places(gates=[TTFT]))
    many = [server(TTFT_BUCKET, "other-predictor-5f-x1", 4, le="0.5", x=f"{number:0200}") for number in range(20_000)]
    prometheus.show(gateway(1, [(101.0, 10)]), pods=many)
    turns, read_at = 0, []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def newest_in(piece: str) -> Newest:
        read_at.append(turns)
        assert len(piece) < 2 * PIECE
        return prometheus_parse.newest_in(piece)

    monkeypatch.setattr(prometheus_api, "newest_in", newest_in)
    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(others())
        found = await api.newest('{__name__=~"x",namespace=~"y"}')
        before = turns
        await fleet._take(("pods", ""), found)
        taken = turns - before
        watching.cancel()
    assert len(found.labels) == 20_000
    assert len(set(read_at)) == len(read_at) > 6_000_000 // (2 * PIECE)
    assert taken >= 2 * 20_000 // SERIES_AT_ONCE
    await api.close()


class ByNamespace(Prometheus):
    """Has pages of each namespace, and one for a question about several."""

    def path_of(self, path: str, fields: Query) -> str:
        """By the namespaces that are asked about."""
        found = super().path_of(path, fields)
        asked = re.search('[,{]namespace=~"([^"]*)",pod=', fields["query"][0])
        return f"/pods of {asked[1]}" if found == "/pods" and asked else found


@pytest.mark.parametrize(("body", "status"), [("x" * 200_000, 200), ('{"status":"error","error":"too many"}', 422)])
async def test_s14_a_namespace_that_has_too_much_for_all_costs_itself_alone(
    clock: Hand, body: str, status: int
) -> None:
    """From the next tick on each is asked about by itself; later all together again."""
    async with ByNamespace() as prometheus:
        fleet = fleet_on(prometheus, clock)
        fleet.register(KEY, places(gates=[TTFT]))
        fleet.register(("mallory", "chat"), places(gates=[TTFT], namespace="mallory"))
        prometheus.put("/pods of mallory|shop", body, status=status)
        prometheus.put("/pods of mallory", body, status=status)
        prometheus.put("/pods of shop", answer([server(TTFT_BUCKET, CANARYS_POD, 4, le="0.5")]))
        for tick in range(3):
            both = [gateway(1, [(101.0 + tick, 10)], route=f"{namespace}/chat") for namespace in ("shop", "mallory")]
            prometheus.put("/gateway", answer([each for found in both for each in found]))
            await fleet.tick()
            assert _requests_of_proxies(fleet.newest(KEY)) == 10
        assert fleet.newest(KEY).arms["canary"][CANARYS_POD].histograms == {"ttft": {0.5: 4}}
        assert fleet.newest(KEY).problem == ""
        assert (
            "too many" in fleet.newest(("mallory", "chat")).problem
            or "larger" in fleet.newest(("mallory", "chat")).problem
        )
        assert _requests_of_proxies(fleet.newest(("mallory", "chat"))) == 10
        clock.time += APART_S
        prometheus.put("/pods of mallory|shop", answer([]))
        await fleet.tick()
        await fleet.tick()
        assert "mallory|shop" in prometheus.queries[-1]
        await fleet.api.close()


def _gateway_that_begins(at: float) -> list[Metric]:
    """Ten requests a second on the canary, none of which ends after 110, and thirty on stable, all of which do."""
    found: list[Metric] = []
    for place, rate, open_ in ((0, 30, 2.0), (1, 10, 10 * max(at - 110, 0))):
        labels = {"envoy_cluster_name": f"httproute/shop/chat/rule/0/backend/{place}", "pod": "envoy-a"}
        labels |= {"namespace": "envoy-gateway-system"}
        told = {"rq_total": rate * at, "rq_active": open_, "cx_destroy_local_with_active_rq": 0, "rq_tx_reset": 0}
        found += gateway(place, [(at, rate * at)])
        found += [series(f"envoy_cluster_upstream_{name}", labels, (at, value)) for name, value in told.items()]
    return found


def _servers_that_write(at: float) -> list[Metric]:
    """Two vLLMs, of which the canary's engine stands from 110 on: its counts are those of its last step."""
    found: list[Metric] = []
    for name, until in (("chat-bf16-predictor-x-y", at), ("chat-int4-predictor-x-y", min(at, 110.0))):
        post = {"handler": "/v1/completions", "method": "POST", "status": "2xx"}
        found.append(server("http_requests_total", name, 5 * until, at=at, **post))
        found.append(server("vllm:num_requests_running", name, 4, at=at))
        found.append(server("vllm:generation_tokens_total", name, 100 * until, at=at))
    return found


@pytest.mark.parametrize("profile", ["envoy-gateway", "vllm"])
async def test_a_canary_that_hangs_is_found_by_what_the_gateway_counts_or_else_vllm_itself(
    prometheus: Prometheus, clock: Hand, profile: str
) -> None:
    """No gate asks for any of these series, and no request has failed."""
    config = judge.compile_gates(plan(ERRORS_AT_MOST))
    state = judge.begin(config)
    fleet = fleet_on(prometheus, clock)
    fleet.register(KEY, places(profile=profile))
    for at in range(101, 131):
        if profile == "vllm":
            prometheus.show(pods=_servers_that_write(float(at)))
        else:
            prometheus.show(_gateway_that_begins(float(at)))
        await fleet.tick()
        seen = MetricsStatus(float(at), fleet.newest(KEY))
        analysis = judge.watch(
            config, state, stage=1, weights=Weights.of_share(0.25), evidence=seen, now=at, stage_since=101.0
        )
        state = analysis.state
        if analysis.judgement.answer is GateAnswer.FAIL:
            break
    await fleet.api.close()
    assert 113 < at <= 130
    assert analysis.judgement.failed("rollback")[0].why.endswith("a hang.")


async def test_a_warm_up_counts_from_when_the_arms_last_replica_became_ready(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """A gateway cannot tell an arm's replicas apart."""
    fleet.register(KEY, places(ready_since=lambda: {"canary": {"chat-int4-x-1": 71.0, "chat-int4-x-2": 88.0}}))
    prometheus.show(gateway(0, [(101.0, 9)]), gateway(1, [(101.0, 5)]))
    await fleet.tick()
    started = {arm: pod.started_at for arm, pods in fleet.newest(KEY).arms.items() for pod in pods.values()}
    assert started == {"stable": None, "canary": 88.0}


async def test_a_warm_up_counts_from_readiness_and_not_from_the_start_of_a_process(
    fleet: SharedPrometheus, prometheus: Prometheus
) -> None:
    """Loading the weights took it 40 s, and begins again for a replica that is started again alone."""
    pods = ["chat-int4-x-1", "chat-int4-x-2", "chat-int4-x-3"]
    ready = {pods[0]: 90.0, pods[1]: 95.0, pods[2]: 102.5}
    fleet.register(KEY, places(profile="vllm", ready_since=lambda: {"canary": ready}))
    counted = [server("http_requests_total", pod, 7, handler="/v1/chat", method="POST", status="2xx") for pod in pods]
    prometheus.show(pods=counted + [server("process_start_time_seconds", pod, 50.0) for pod in pods])
    await fleet.tick()
    started = {name: pod.started_at for name, pod in fleet.newest(KEY).arms["canary"].items()}
    assert started == {pods[0]: 90.0, pods[1]: 95.0, pods[2]: 50.0}, "what was read before it was ready is not asked"
