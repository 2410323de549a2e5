"""A set of series, read once into a recipe, gives the totals of every later reading of them."""

import math

import pytest

from canary.snapshot import PodCounters
from canary.spec.recipe import Recipe, SeriesId
from canary.spec.samples import Sample, pods
from canary.spec.sources import PROFILES

CLASSES = [SeriesId("envoy_cluster_upstream_rq_xx", {"envoy_response_code_class": digit, "pod": "p"}) for digit in "25"]
BUCKETS = [SeriesId("envoy_cluster_upstream_rq_time_bucket", {"le": le, "pod": "p"}) for le in ("1", "200", "+Inf")]


def test_a_recipe_says_the_same_as_reading_the_samples_anew() -> None:
    """One meaning of the table, whichever way it is read."""
    series, values = [*CLASSES, *BUCKETS], [90.0, 10.0, 1.0, 60.0, 100.0]
    samples = [Sample(*each, value) for each, value in zip(series, values, strict=True)]
    told = pods(samples, PROFILES["envoy"], lambda _: ("canary", "p")).arms["canary"]["p"]
    assert Recipe(series, PROFILES["envoy"]).totals(values) == told
    latency = {0.001: 1, 0.2: 60, math.inf: 100}
    refused = {"client_errors": 0.0, "throttled": 0.0}
    assert told == PodCounters(requests=100, errors=10, histograms={"latency": latency}, totals=refused)


@pytest.mark.parametrize(
    ("profile", "name", "labels", "apart"),
    [
        ("envoy", "envoy_cluster_upstream_rq_xx", {"envoy_response_code_class": "4"}, True),
        ("envoy-gateway", "envoy_cluster_upstream_rq_xx", {"envoy_response_code_class": "4"}, True),
        ("istio", "istio_requests_total", {"response_code": "404", "reporter": "source"}, True),
        ("knative", "kn_serving_invocation_duration_seconds_count", {"http_response_status_code": "404"}, True),
        ("knative-old", "revision_app_request_count", {"response_code_class": "4xx"}, False),
        ("vllm", "http_requests_total", {"status": "4xx", "handler": "/v1/completions", "method": "POST"}, True),
    ],
)
def test_client_errors_are_told_apart_and_those_for_the_rate_from_the_rest(
    profile: str, name: str, labels: dict[str, str], apart: bool
) -> None:
    """Where a series knows classes only, a refusal for the rate is a client's error as any other."""
    series, values = [SeriesId(name, labels)], [30.0]
    if profile.startswith("envoy"):
        series, values = [*series, SeriesId("envoy_cluster_upstream_rq", {"envoy_response_code": "429"})], [30.0, 12.0]
    elif apart:
        key = next(key for key, value in labels.items() if value in {"404", "4xx"})
        series, values = [*series, SeriesId(name, {**labels, key: "429"})], [18.0, 12.0]
    told = Recipe(series, PROFILES[profile]).totals(values)
    assert (told.requests, told.errors) == (30, 0)
    assert told.totals == {"client_errors": 18 if apart else 30, "throttled": 12 if apart else 0}


def test_a_server_that_counts_no_classes_says_nothing_of_client_errors() -> None:
    told = Recipe([SeriesId("request_predict_seconds_count", {})], PROFILES["kserve"]).totals([30.0])
    assert "client_errors" not in told.totals


def test_the_same_recipe_serves_other_values() -> None:
    recipe = Recipe(CLASSES, PROFILES["envoy"])
    assert [recipe.totals([good, bad]).errors for good, bad in ((5.0, 0.0), (9.0, 4.0))] == [0, 4]


def test_engines_of_one_server_are_added_on_the_bounds_that_all_have() -> None:
    name = "vllm:time_to_first_token_seconds_bucket"
    series = [SeriesId(name, {"engine": engine, "le": le}) for engine in "01" for le in ("0.1", f"0.{engine}5", "+Inf")]
    totals = Recipe(series, PROFILES["vllm"]).totals([1.0, 1.0, 5.0, 2.0, 3.0, 7.0])
    assert totals.histograms == {"ttft": {0.1: 3, math.inf: 12}}


def test_a_recipe_of_series_that_no_row_reads_says_nothing() -> None:
    assert Recipe([SeriesId("up", {})], PROFILES["envoy"]).totals([1.0]) == PodCounters()


def test_a_cluster_without_counters_has_counted_nothing_and_with_them_what_they_say() -> None:
    """Envoy Gateway's proxies make the counters at the first request; knowing the zero before makes it exact."""
    there = SeriesId("envoy_cluster_membership_total", {"pod": "p"})
    before = Recipe([there], PROFILES["envoy-gateway"]).totals([3.0])
    after = Recipe([there, *CLASSES], PROFILES["envoy-gateway"]).totals([3.0, 9.0, 1.0])
    assert (before.requests, before.errors, after.requests, after.errors) == (0, 0, 10, 1)


def test_answers_with_a_good_status_and_nothing_good_in_them_are_errors() -> None:
    """Our own Envoy counts those that are empty, and streams that have an error in them."""
    wrong = [SeriesId("envoy_serinus_empty_answers", {}), SeriesId("envoy_serinus_failed_streams", {})]
    told = Recipe([*CLASSES, *wrong], PROFILES["envoy"]).totals([9.0, 1.0, 3.0, 2.0])
    assert (told.requests, told.errors, told.broken) == (10, 6, None)
    assert not {"empty_answers", "failed_streams"} & told.totals.keys()


def test_what_the_proxy_ended_early_is_added_over_http_1_and_http_2() -> None:
    """Connections that it closed under a request, and streams that it reset."""
    names = ("rq_total", "rq_active", "cx_destroy_local_with_active_rq", "rq_tx_reset")
    recipe = Recipe([SeriesId(f"envoy_cluster_upstream_{name}", {}) for name in names], PROFILES["envoy"])
    told = recipe.totals([20.0, 5.0, 3.0, 4.0])
    assert (told.totals, told.open) == ({"begun": 20.0, "cancelled": 7.0}, 5.0)
    without = Recipe([SeriesId("envoy_cluster_upstream_rq_total", {})], PROFILES["envoy"]).totals([20.0])
    assert without.totals == {"begun": 20.0}


def test_series_that_were_scraped_at_another_time_than_the_requests_say_so() -> None:
    """Of several series of one thing the newest counts: one that is told no more says nothing of the target."""
    tokens = SeriesId("vllm:generation_tokens_total", {})
    sold = [SeriesId(f"serinus_kpi_{part}_total", {"kpi": "sold"}) for part in ("events", "of")]
    recipe = Recipe([*CLASSES, *BUCKETS, tokens, *sold], PROFILES["envoy"])
    assert recipe.scraped([5.0] * 8) == (5.0, {})
    assert recipe.scraped([5.0, 2.0, 5.0, 5.0, 5.0, 5.0, 5.0, 5.0]) == (5.0, {})
    assert recipe.scraped([5.0] * 5 + [7.0, 4.0, 4.0]) == (5.0, {"generation_tokens": 7.0, "kpi/sold": 4.0})


def test_a_page_without_requests_was_scraped_when_its_newest_series_was() -> None:
    series = [SeriesId(f"vllm:{name}_total", {}) for name in ("generation_tokens", "num_preemptions")]
    assert Recipe(series, PROFILES["envoy"]).scraped([3.0, 9.0]) == (9.0, {"generation_tokens": 3.0})
