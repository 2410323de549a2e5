"""Everything that a Prometheus may answer, played by a small server: one outcome each, never a guess."""

import json
import math
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from canary.errors import ExternalError, Unavailable
from canary.spec.models import Gate
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from tests.controlplane.adapters.pages import PageServer, Query

QUERY = "/api/v1/query"
COMPLETED = "envoy_cluster_upstream_rq_completed"
CANARY = {"__name__": COMPLETED, "arm": "canary", "replica": "canary-0", "job": "serinus-proxy"}
GATE = Gate(
    text="refunds <= 3%",
    metric="refunds",
    comparison="max",
    limit=0.03,
    better="lower",
    query='sum by (variant) (rate(refunds_total{model="$name"}[$window]))',
    window=90.0,
)


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with PageServer() as server:
        yield server


@pytest.fixture
async def source(server: PageServer) -> AsyncIterator[PrometheusSource]:
    source = _source(server)
    yield source
    await source.close()


def _source(server: PageServer, *gates: Gate) -> PrometheusSource:
    api = PrometheusApi(server.url(""), seconds=0.3, http=BoundedHttp(most_bytes=100_000))
    return PrometheusSource(api, interval=1.0, names={"stable": "v1", "canary": "v2"}, gates=gates)


def _answer(kind: str, result: list[Mapping[str, Any]], **more: Any) -> str:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}, **more})


def _matrix(*series: tuple[Mapping[str, str], list[list[Any]]], **more: Any) -> str:
    return _answer("matrix", [{"metric": labels, "values": points} for labels, points in series], **more)


async def test_the_newest_sample_of_each_series_counts_and_its_time_is_the_scrapes(
    server: PageServer, source: PrometheusSource
) -> None:
    other = {"__name__": "vllm:generation_tokens_total", "arm": "canary", "replica": "canary-0"}
    server.put(QUERY, _matrix((CANARY, [[100.0, "3"], [101.0, "5"]]), (other, [[101.7, "40"]])))
    counters = await source.read()
    pod = counters.arms["canary"]["canary-0"]
    assert (counters.at, pod.requests, pod.totals["generation_tokens"]) == (101.0, 5, 40)


async def test_what_was_scraped_at_another_time_than_the_requests_says_when(
    server: PageServer, source: PrometheusSource
) -> None:
    """The proxy and each replica are targets of their own, with phases of their own."""
    other = {"__name__": "vllm:generation_tokens_total", "arm": "canary", "replica": "canary-0"}
    stable = {**CANARY, "arm": "stable", "replica": "stable-0"}
    proxy = ((CANARY, [[101.0, "5"]]), (stable, [[101.0, "90"]]))
    server.put(QUERY, _matrix(*proxy, (other, [[100.4, "40"]])))
    counters = await source.read()
    pods = {arm: next(iter(found.values())) for arm, found in counters.arms.items()}
    assert (pods["canary"].at, pods["canary"].apart) == (101.0, {"generation_tokens": 100.4})
    assert (pods["stable"].at, pods["stable"].apart) == (None, {})


async def test_the_questions_are_posts_for_raw_samples_of_three_intervals(
    server: PageServer, source: PrometheusSource
) -> None:
    """One for the proxy, and one for what replicas say of themselves."""
    server.put(QUERY, _matrix((CANARY, [[1.0, "1"]])))
    await source.read()
    proxy, replicas = sorted(asked.fields["query"][0] for asked in server.asked)
    assert proxy.endswith(',job="serinus-proxy"}[3000ms]')
    assert f"|{COMPLETED}|" in proxy
    assert replicas.endswith(',job="serinus-replicas"}[3000ms]')
    assert "envoy_" not in replicas
    assert {(asked.method, "authorization" in asked.headers) for asked in server.asked} == {("POST", False)}


class Jobs(PageServer):
    """Answers the proxy's question with one text and the replicas' with another."""

    def path_of(self, path: str, fields: Query) -> str:
        """By the job that is asked for."""
        return "/replicas" if "serinus-replicas" in fields["query"][0] else "/proxy"


@pytest.mark.parametrize(
    ("body", "status", "problem"),
    [
        ("x" * 200_000, 200, "larger than 100000 bytes"),
        ("", 503, "answers 503"),
        (_answer("matrix", [], warnings=["x"]), 200, "may not be whole"),
        (_matrix(({**CANARY, "__name__": "vllm:generation_tokens_total"}, [[101.0, "1e308"]])), 200, "not numbers"),
        (
            _matrix(({**CANARY, "__name__": "vllm:time_to_first_token_seconds_bucket", "le": "abc"}, [[101.0, "1"]])),
            200,
            'no data from canary-0: bucket bound "abc" of vllm:time_to_first_token_seconds is no number',
        ),
    ],
)
async def test_s14_whatever_a_replica_says_of_itself_the_proxys_counters_of_it_count(
    body: str, status: int, problem: str
) -> None:
    """A canary cannot hide its own outage."""
    async with Jobs() as server:
        failed = {**CANARY, "__name__": "envoy_cluster_upstream_rq_xx", "envoy_response_code_class": "5"}
        server.put("/proxy", _matrix((failed, [[101.0, "40"]])))
        server.put("/replicas", body, status=status)
        source = _source(server)
        counters = await source.read()
        assert problem in counters.problem
        pod = counters.arms["canary"]["canary-0"]
        assert (counters.at, pod.requests, pod.errors) == (101.0, 40, 40)
        await source.close()


async def test_s14_what_only_the_proxy_may_count_does_not_count_on_a_replicas_own_page() -> None:
    """Good answers that a canary makes up would thin its bad ones out."""
    async with Jobs() as server:
        server.put("/proxy", _matrix((CANARY, [[101.0, "40"]])))
        server.put("/replicas", _matrix(({**CANARY, "job": "serinus-replicas"}, [[101.0, "999999"]])))
        source = _source(server)
        assert (await source.read()).arms["canary"]["canary-0"].requests == 40
        await source.close()


@pytest.mark.parametrize(
    ("status", "body", "what"),
    [
        (200, _matrix(), "no sample younger than 3 s"),
        (200, _matrix(({"__name__": "vllm:generation_tokens_total"}, [[1.0, "1"]])), "does not reach the proxy"),
        (
            200,
            _matrix((CANARY, [[1.0, "1"]]), warnings=["store\n x is down"]),
            "warns .* not be whole: store x is down",
        ),
        (400, '{"status":"error","errorType":"bad_data","error":"parse error"}', r"refuses the query \(bad_data\)"),
        (422, '{"status":"error","errorType":"execution","error":"too many samples"}', "too many samples"),
    ],
)
async def test_r4_an_answer_of_no_use_is_said_and_is_not_an_outage(
    server: PageServer, source: PrometheusSource, status: int, body: str, what: str
) -> None:
    server.put(QUERY, body, status=status)
    with pytest.raises(ExternalError, match=what) as caught:
        await source.read()
    assert not isinstance(caught.value, Unavailable)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("page", "what"),
    [
        ({"body": "", "status": 500}, "answers 500"),
        ({"body": "", "status": 503}, "answers 503"),
        (
            {"body": "", "status": 307, "headers": {"location": "http://127.0.0.1:1/"}},
            "redirect, which is not followed",
        ),
        ({"body": "", "delay_s": 60}, "no answer within"),
        ({"body": "x" * 200_000}, "larger than 100000 bytes"),
        ({"body": "<html>Log in</html>"}, "does not speak as Prometheus does"),
        ({"body": '{"status": "success", "data": {"resultType": "matrix", "result": 7}}'}, "does not speak"),
        ({"body": '{"status": "success"}'}, "without data"),
    ],
)
async def test_r4_what_is_no_answer_of_a_prometheus_is_an_outage(
    server: PageServer, source: PrometheusSource, page: dict[str, Any], what: str
) -> None:
    server.put(QUERY, page.pop("body"), **page)
    with pytest.raises(Unavailable, match=what):
        await source.read()


async def test_r4_nobody_there_is_an_outage(server: PageServer, source: PrometheusSource) -> None:
    await server.stop()
    with pytest.raises(Unavailable, match="nobody listens there"):
        await source.read()


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-Inf"])
async def test_r4_what_is_no_number_is_missing_and_said(
    server: PageServer, source: PrometheusSource, value: str
) -> None:
    stable = {**CANARY, "arm": "stable", "replica": "stable-0"}
    server.put(QUERY, _matrix((CANARY, [[1.0, "4"], [2.0, value]]), (stable, [[2.0, "9"]])))
    counters = await source.read()
    assert counters.arms.keys() == {"stable"}
    assert "1 series in Prometheus are not numbers" in counters.problem


async def test_infos_are_no_warnings(server: PageServer, source: PrometheusSource) -> None:
    server.put(QUERY, _matrix((CANARY, [[1.0, "4"]]), infos=["metric might not be a counter"]))
    assert (await source.read()).problem == ""


class TwoAnswers(PageServer):
    """Answers the counters' question with one text and every other query with the next."""

    counters = _matrix((CANARY, [[1.0, "4"]]))

    def answer_queries(self, body: str, status: int = 200) -> None:
        self.put("/reading", body, status=status)
        self.put("/counters", self.counters)

    def path_of(self, path: str, fields: Query) -> str:
        """By what is asked, for the path is always the same."""
        return "/counters" if fields["query"][0].startswith("{__name__") else "/reading"


@pytest.fixture
async def two() -> AsyncIterator[TwoAnswers]:
    async with TwoAnswers() as server:
        yield server


def _reading(*values: tuple[str, str]) -> str:
    return _answer("vector", [{"metric": {"variant": name}, "value": [5.0, value]} for name, value in values])


@pytest.mark.parametrize("names", [("v1", "v2"), ("stable", "canary")])
async def test_a_query_gives_one_value_a_variant_by_name_or_by_arm(two: TwoAnswers, names: tuple[str, str]) -> None:
    two.answer_queries(_reading((names[0], "0.01"), (names[1], "0.02"), ("v7", "0.5")))
    source = _source(two, GATE)
    counters = await source.read()
    assert counters.readings == {"refunds <= 3%": {"stable": 0.01, "canary": 0.02}}
    assert counters.problem == ""
    await source.close()


async def test_only_the_window_is_filled_in(two: TwoAnswers) -> None:
    """Whatever else looks like a variable reaches Prometheus as it was written."""
    two.answer_queries(_reading(("v1", "1")))
    source = _source(two, GATE)
    await source.read()
    asked = [asked.fields["query"][0] for asked in two.asked if "refunds" in asked.fields["query"][0]]
    assert asked == ['sum by (variant) (rate(refunds_total{model="$name"}[90000ms]))']
    await source.close()


@pytest.mark.parametrize(
    ("body", "status", "left", "what"),
    [
        (_reading(), 200, {}, "no series with the label variant=canary or stable or v1 or v2"),
        (_reading(("v1", "0.1"), ("v2", "NaN")), 200, {"stable": 0.1}, "no number for canary"),
        (_reading(("v1", "0.1"), ("v2", "+Inf")), 200, {"stable": 0.1}, "no number for canary"),
        (
            _reading(("v1", "0.1"), ("v2", "1"), ("canary", "2")),
            200,
            {"stable": 0.1},
            "more than one series for canary",
        ),
        ('{"status":"error","errorType":"bad_data","error":"no such function"}', 400, {}, "no such function"),
        ("", 503, {}, "answers 503"),
    ],
)
async def test_a_query_without_a_usable_answer_leaves_the_counters_alone(
    two: TwoAnswers, body: str, status: int, left: dict[str, float], what: str
) -> None:
    two.answer_queries(body, status)
    source = _source(two, GATE)
    counters = await source.read()
    assert counters.readings == ({GATE.text: left} if left else {})
    assert counters.problem.startswith("refunds <= 3%: ")
    assert what in counters.problem
    assert counters.arms["canary"]["canary-0"].requests == 4
    assert all(map(math.isfinite, left.values()))
    await source.close()


COUNTERS = Gate(
    text="conversion drop <= 2%",
    metric="kpi/conversion",
    comparison="drift",
    limit=0.02,
    better="higher",
    events='orders_total{shop="eu"}',
    of="sessions_total",
    variant_label="version",
)


def _series(part: str, version: str, pod: str, value: str) -> dict[str, Any]:
    labels = {"__name__": f"{part}_of_the_shop", "serinus_counter": part, "version": version, "pod": pod}
    return {"metric": labels, "value": [5.0, value]}


async def test_counters_of_a_gate_are_asked_for_together_and_kept_apart_by_series(two: TwoAnswers) -> None:
    """As they stand at one instant; a sum over pods would hide the restart of one."""
    pods = [("events", "v2", "a", "3"), ("events", "v2", "b", "4"), ("of", "v2", "a", "50"), ("of", "v7", "a", "9")]
    two.answer_queries(_answer("vector", [_series(*each) for each in (*pods, ("of", "stable", "a", "70"))]))
    source = _source(two, COUNTERS)
    counters = await source.read()
    [asked] = [asked.fields["query"][0] for asked in two.asked if "orders" in asked.fields["query"][0]]
    assert asked == (
        'label_replace(orders_total{shop="eu"}, "serinus_counter", "events", "", "")'
        ' or label_replace(sessions_total, "serinus_counter", "of", "", "")'
    )
    counted = counters.counted[COUNTERS.text]
    assert sorted((name.split()[0], value) for name, value in counted["canary"].items()) == [
        ("events", 3),
        ("events", 4),
        ("of", 50),
    ]
    assert list(counted["stable"].values()) == [70]
    assert counters.problem == ""
    again = await source.read()
    assert again.counted == counters.counted, "a series keeps its name"
    await source.close()


@pytest.mark.parametrize(
    ("found", "what"),
    [
        ([], "its counters have no series with the label version=canary or stable or v1 or v2"),
        ([("of", "v2", "a", "5"), ("events", "v2", "a", "NaN")], "a series of events is no counter, it reads nan"),
        ([("of", "v2", "a", "-5")], "a series of of is no counter, it reads -5"),
        ([("of", "v2", f"pod-{n}", "5") for n in range(65)], "65 series of of for canary, at most 64 are read"),
    ],
)
async def test_counters_that_are_of_no_use_are_none_at_all(
    two: TwoAnswers, found: list[tuple[str, str, str, str]], what: str
) -> None:
    two.answer_queries(_answer("vector", [_series(*each) for each in found]))
    source = _source(two, COUNTERS)
    counters = await source.read()
    assert counters.counted == {}
    assert counters.problem.startswith(f"{COUNTERS.text}: {what}")
    assert counters.arms["canary"]["canary-0"].requests == 4
    await source.close()


async def test_an_arm_without_its_denominator_is_said(two: TwoAnswers) -> None:
    two.answer_queries(_answer("vector", [_series("events", "v2", "a", "3"), _series("of", "v1", "a", "3")]))
    source = _source(two, COUNTERS)
    assert (await source.read()).problem == f"{COUNTERS.text}: no series of of for canary"
    await source.close()
