"""From samples to totals, on a captured vLLM page and on small tables."""

import math
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as some

from canary.snapshot import PodCounters
from canary.spec.recipe import MOST_BUCKETS, NATIVE
from canary.spec.samples import Sample, by_envoy_cluster, by_gateway_slot, by_labels, pods, segments, unrouted
from canary.spec.source import quoted
from canary.spec.sources import PROFILES, UNROUTED, by_label, wire_names

ENVOY = "envoy_cluster_upstream_"


def _one(samples: list[Sample], profile: str) -> PodCounters:
    """The totals of a single replica that all these samples belong to."""
    return pods(samples, PROFILES[profile], lambda _: ("canary", "c")).arms["canary"]["c"]


def _envoy(cluster: str, **answers: float) -> list[Sample]:
    return [
        Sample(f"{ENVOY}rq_completed", {"envoy_cluster_name": cluster}, sum(answers.values())),
        *(
            Sample(f"{ENVOY}rq_xx", {"envoy_cluster_name": cluster, "envoy_response_code_class": name[1]}, count)
            for name, count in answers.items()
        ),
    ]


def test_answers_of_class_4_are_requests_and_not_errors() -> None:
    """Whoever asks for a model that does not exist says nothing about the variant."""
    pod = _one(_envoy("canary-0", c2=90, c4=7, c5=3), "envoy")
    assert (pod.requests, pod.errors) == (100, 3)


def test_a_proxy_that_has_answered_nothing_says_zero_and_an_unknown_replica_says_nothing() -> None:
    found = pods(_envoy("canary-0"), PROFILES["envoy"], by_envoy_cluster).arms
    assert (found["canary"]["canary-0"].requests, found["canary"]["canary-0"].errors) == (0, 0)
    assert "stable" not in found


@pytest.mark.parametrize(("broken", "garbled", "errors"), [(4, 0, 9), (4, 4, 5), (4, 1, 8), (0, 3, 5)])
def test_answers_that_break_off_are_errors_and_none_counts_twice(broken: int, garbled: int, errors: int) -> None:
    """Envoy counts an answer that is not HTTP both as a protocol error and as a 502."""
    more = [
        Sample(f"{ENVOY}cx_protocol_error", {"envoy_cluster_name": "canary-0"}, broken),
        Sample(f"{ENVOY}rq", {"envoy_cluster_name": "canary-0", "envoy_response_code": "502"}, garbled),
        Sample(f"{ENVOY}rq", {"envoy_cluster_name": "canary-0", "envoy_response_code": "200"}, 95),
    ]
    assert _one([*_envoy("canary-0", c2=95, c5=5), *more], "envoy").errors == errors


def test_envoys_milliseconds_become_seconds_exactly() -> None:
    buckets = {"0.5": 1, "200": 3, "1100": 4, "+Inf": 5}
    samples = [Sample(f"{ENVOY}rq_time_bucket", {"le": le}, count) for le, count in buckets.items()]
    assert _one(samples, "envoy").histograms["latency"] == {0.0005: 1, 0.2: 3, 1.1: 4, math.inf: 5}


def test_a_replica_before_its_first_request_has_an_empty_histogram() -> None:
    """So its first scrape with requests is a whole block; what is missing after the first request stays missing."""
    buckets = [
        Sample(f"{ENVOY}rq_time_bucket", {"envoy_cluster_name": "stable-0", "le": le}, 9) for le in ("200", "+Inf")
    ]
    samples = [*_envoy("stable-0", c2=9), *buckets, *_envoy("canary-0"), *_envoy("canary-1", c2=2)]
    found = pods(samples, PROFILES["envoy"], by_envoy_cluster).arms
    assert found["canary"]["canary-0"].histograms == {"latency": {0.2: 0, math.inf: 0}}
    assert found["canary"]["canary-1"].histograms == {}


def test_engines_of_one_server_are_added_up_and_the_fullest_cache_counts() -> None:
    samples = [
        Sample("vllm:generation_tokens_total", {"engine": "0"}, 10),
        Sample("vllm:generation_tokens_total", {"engine": "1"}, 5),
        Sample("vllm:kv_cache_usage_perc", {"engine": "0"}, 0.2),
        Sample("vllm:kv_cache_usage_perc", {"engine": "1"}, 0.9),
        Sample("vllm:time_to_first_token_seconds_bucket", {"engine": "0", "le": "0.1"}, 3),
        Sample("vllm:time_to_first_token_seconds_bucket", {"engine": "0", "le": "0.2"}, 4),
        Sample("vllm:time_to_first_token_seconds_bucket", {"engine": "0", "le": "+Inf"}, 5),
        Sample("vllm:time_to_first_token_seconds_bucket", {"engine": "1", "le": "0.1"}, 1),
        Sample("vllm:time_to_first_token_seconds_bucket", {"engine": "1", "le": "+Inf"}, 2),
    ]
    pod = _one(samples, "vllm")
    assert pod.totals["generation_tokens"] == 15
    assert pod.gauges["kv_cache_usage"] == 0.9
    assert pod.histograms["ttft"] == {0.1: 4, math.inf: 7}, "only bounds that both have can be added"


def test_an_older_servers_names_are_read_and_the_newer_one_wins() -> None:
    older = Sample("vllm:gpu_cache_usage_perc", {}, 0.3)
    assert _one([older], "vllm").gauges == {"kv_cache_usage": 0.3}
    assert _one([older, Sample("vllm:kv_cache_usage_perc", {}, 0.4)], "vllm").gauges == {"kv_cache_usage": 0.4}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.7e308, -1.7e308, 10**300])
def test_what_is_no_number_counts_as_missing(value: float) -> None:
    samples = [Sample(f"{ENVOY}rq_completed", {}, value), Sample("vllm:kv_cache_usage_perc", {}, value)]
    assert pods(samples, PROFILES["envoy"], lambda _: ("canary", "c")).arms == {}


def test_a_kpi_needs_both_of_its_series() -> None:
    samples = [
        Sample("serinus_kpi_events_total", {"kpi": "sold"}, 3),
        Sample("serinus_kpi_of_total", {"kpi": "sold"}, 40),
        Sample("serinus_kpi_events_total", {"kpi": "half"}, 3),
    ]
    pod = _one(samples, "envoy")
    assert (pod.kpis, pod.totals) == ({"sold": (3, 40)}, {})


PROXIES: Mapping[str, tuple[list[Sample], float, float | None]] = {
    "istio": (
        [
            Sample("istio_requests_total", {"reporter": "source", "response_code": "200"}, 8),
            Sample("istio_requests_total", {"reporter": "source", "response_code": "503"}, 2),
            Sample("istio_requests_total", {"reporter": "destination", "response_code": "200"}, 8),
        ],
        10,
        2,
    ),
    "knative-old": (
        [
            Sample("revision_app_request_count", {"response_code_class": "2xx"}, 8),
            Sample("revision_app_request_count", {"response_code_class": "5xx"}, 1),
        ],
        9,
        1,
    ),
    "knative": (
        [
            Sample("kn_serving_invocation_duration_seconds_count", {"http_response_status_code": "200"}, 6),
            Sample("kn_serving_invocation_duration_seconds_count", {"http_response_status_code": "500"}, 1),
        ],
        7,
        1,
    ),
    "kserve": ([Sample("request_predict_seconds_count", {"model_name": "m"}, 5)], 5, None),
    "envoy-gateway": (_envoy("httproute/models/chat/rule/0/backend/1", c2=4, c5=1), 5, 1),
}


@pytest.mark.parametrize("profile", PROXIES)
def test_each_profile_counts_requests_and_errors_by_its_own_names(profile: str) -> None:
    """KServe's Python server does not count errors, so there they are missing and not zero."""
    samples, requests, errors = PROXIES[profile]
    pod = _one(samples, profile)
    assert (pod.requests, pod.errors) == (requests, errors)


@pytest.mark.parametrize(
    ("owner", "labels", "replica"),
    [
        (by_labels, {"arm": "canary", "replica": "canary-0"}, ("canary", "canary-0")),
        (by_labels, {"arm": "other", "replica": "x"}, None),
        (by_labels, {"arm": "canary"}, None),
        (by_envoy_cluster, {"envoy_cluster_name": "stable-12"}, ("stable", "stable-12")),
        (by_envoy_cluster, {"envoy_cluster_name": "metrics"}, None),
        (by_gateway_slot, {"envoy_cluster_name": "httproute/a/b/rule/0/backend/0", "pod": "e1"}, ("stable", "e1")),
        (by_gateway_slot, {"envoy_cluster_name": "httproute/a/b/rule/0/backend/1"}, ("canary", "gateway")),
        (by_gateway_slot, {"envoy_cluster_name": "httproute/a/b/rule/0"}, None),
    ],
)
def test_series_are_told_apart_by_their_labels(owner: object, labels: dict[str, str], replica: object) -> None:
    assert callable(owner)
    assert owner(labels) == replica


def test_requests_that_reached_nobody_are_counted_apart() -> None:
    prefix = "envoy_http_conn_manager_prefix"
    samples = [
        Sample("envoy_http_no_cluster", {prefix: "serinus"}, 3),
        Sample("envoy_http_no_route", {prefix: "serinus"}, 1),
        Sample("envoy_http_no_route", {prefix: "admin"}, 50),
    ]
    assert unrouted(samples) == 4
    assert unrouted(_envoy("canary-0", c2=1)) is None


@pytest.mark.parametrize("le", ["abc", "", "NaN", "-1", "-Inf", "1e300"])
def test_r4_a_bucket_whose_bound_is_no_number_is_missing_and_said_and_costs_no_other(le: str) -> None:
    name = "vllm:time_to_first_token_seconds_bucket"
    samples = [Sample(name, {"le": each}, 5) for each in ("0.5", le, "+Inf")]
    found = pods([*samples, Sample("vllm:generation_tokens_total", {}, 7)], PROFILES["vllm"], lambda _: ("canary", "c"))
    pod = found.arms["canary"]["c"]
    assert (pod.histograms["ttft"].keys() - {math.inf}, pod.totals["generation_tokens"]) == ({0.5}, 7)
    assert found.problems == [
        f"no data from c: bucket bound {quoted(le)} of vllm:time_to_first_token_seconds is no number"
    ]


def test_r4_a_histogram_with_buckets_without_end_is_missing_and_said() -> None:
    samples = [Sample("vllm:e2e_request_latency_seconds_bucket", {"le": f"{n}"}, 5) for n in range(MOST_BUCKETS + 1)]
    found = pods(samples, PROFILES["vllm"], lambda _: ("canary", "c"))
    assert found.arms["canary"]["c"].histograms == {}
    assert found.problems == [
        "no data from c: vllm:e2e_request_latency_seconds has 257 buckets, more than the 256 that are read"
    ]


NUMBERS = some.one_of(some.floats(), some.integers(-(10**320), 10**320), some.sampled_from([1.7e308, 2.0**63, -0.0]))
LABELS = some.fixed_dictionaries(
    {"le": some.one_of(some.text(max_size=6), some.floats().map(str), some.sampled_from(["+Inf", "0.5"]))},
    optional={
        "kpi": some.text(max_size=3),
        "tenant": some.text(max_size=3),
        "finished_reason": some.text(max_size=3),
        "reporter": some.sampled_from(["source", "destination"]),
        "envoy_response_code_class": some.sampled_from("2345x"),
        NATIVE: some.just("1"),
    },
)


@given(some.sampled_from(sorted(PROFILES)), some.data())
def test_r4_whatever_samples_say_totals_are_numbers_and_nothing_is_raised(profile: str, data: some.DataObject) -> None:
    """Sums overflow only where no counter ever gets to."""
    names = sorted(wire_names((*PROFILES[profile], *by_label(PROFILES[profile]))) | UNROUTED)
    samples = data.draw(some.lists(some.builds(Sample, some.sampled_from(names), LABELS, NUMBERS), max_size=30))
    found = pods(samples, PROFILES[profile], lambda _: ("canary", "c"))
    segments(samples, PROFILES[profile], lambda _: ("canary", "c"), ("tenant",), found.arms)
    for pod in found.arms.get("canary", {}).values():
        told = [pod.requests, pod.errors, pod.started_at, *pod.totals.values(), *pod.gauges.values()]
        told += [number for pair in pod.kpis.values() for number in pair]
        for counts in pod.histograms.values():
            assert all(bound >= 0 for bound in counts)
            told += counts.values()
        assert all(number is None or math.isfinite(number) for number in told)
    rest = unrouted(samples)
    assert rest is None or math.isfinite(rest)
