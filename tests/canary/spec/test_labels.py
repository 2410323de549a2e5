"""One replica's totals by the values of a label, from whatever of its series carry it."""

import math

from canary.snapshot import PodCounters
from canary.spec.labels import labels_of
from canary.spec.models import Gate
from canary.spec.samples import Sample, by_labels, pods, segments
from canary.spec.sources import PROFILES, by_label

WHOSE = {"arm": "canary", "replica": "canary-0"}


def _page() -> list[Sample]:
    """What Envoy and a server with two tenants say of one replica."""
    found = [
        Sample("envoy_cluster_upstream_rq_xx", {**WHOSE, "envoy_response_code_class": "2"}, 100),
        Sample("process_start_time_seconds", WHOSE, 77.0),
        Sample("vllm:kv_cache_usage_perc", {**WHOSE, "tenant": "acme"}, 0.5),
        Sample("serinus_kpi_events_total", {**WHOSE, "kpi": "sold", "tenant": "acme"}, 3),
        Sample("serinus_kpi_of_total", {**WHOSE, "kpi": "sold", "tenant": "acme"}, 30),
        Sample("serinus_kpi_events_total", {**WHOSE, "kpi": "sold"}, 1),
        Sample("serinus_kpi_of_total", {**WHOSE, "kpi": "sold"}, 10),
    ]
    for tenant, good, bad in (("acme", 40.0, 2.0), ("bolt", 50.0, 8.0)):
        found += [
            Sample("serinus_requests_total", {**WHOSE, "tenant": tenant, "status": "2xx"}, good),
            Sample("serinus_requests_total", {**WHOSE, "tenant": tenant, "status": "503"}, bad),
        ]
    for bound, count in ((0.1, 30.0), (math.inf, 42.0)):
        found.append(
            Sample("serinus_request_duration_seconds_bucket", {**WHOSE, "tenant": "acme", "le": str(bound)}, count)
        )
    return found


def test_each_value_has_what_its_own_series_say() -> None:
    arms = pods(_page(), PROFILES["envoy"], by_labels).arms
    found = segments(_page(), PROFILES["envoy"], by_labels, ("tenant",), arms)
    assert found == {
        "tenant": {
            "acme": {
                "canary": {
                    "canary-0": PodCounters(
                        requests=42,
                        errors=2,
                        histograms={"latency": {0.1: 30, math.inf: 42}},
                        kpis={"sold": (3, 30)},
                        totals={"client_errors": 0.0, "throttled": 0.0},
                        started_at=77.0,
                    )
                }
            },
            "bolt": {
                "canary": {
                    "canary-0": PodCounters(
                        requests=58,
                        errors=8,
                        totals={"client_errors": 0.0, "throttled": 0.0},
                        started_at=77.0,
                    )
                }
            },
        }
    }


def test_what_a_server_counts_by_label_is_not_added_to_what_the_proxy_counts() -> None:
    pod = pods(_page(), PROFILES["envoy"], by_labels).arms["canary"]["canary-0"]
    assert (pod.requests, pod.errors, pod.kpis) == (100, 0, {"sold": (4, 40)})


def test_without_gates_by_a_label_nothing_is_told_apart() -> None:
    assert segments(_page(), PROFILES["envoy"], by_labels, (), {}) == {}


def test_a_proxy_that_knows_the_label_is_the_first_witness() -> None:
    """Istio can be told to add a header to its counters."""
    labels = {**WHOSE, "reporter": "source", "tenant": "acme"}
    page = [*_page(), Sample("istio_requests_total", {**labels, "response_code": "500"}, 9)]
    found = segments(page, PROFILES["istio"], by_labels, ("tenant",), {})
    acme = found["tenant"]["acme"]["canary"]["canary-0"]
    assert (acme.requests, acme.errors) == (9, 9)


def test_momentary_values_are_of_no_part() -> None:
    for profile in PROFILES.values():
        assert {row.kind for row in by_label(profile)} == {"total", "histogram"}


def test_labels_are_those_that_gates_name() -> None:
    gates = [
        Gate(text=f"x per {by}", metric="latency", comparison="max", limit=1, better="lower", by=by)
        for by in ("b", "a", "b")
    ]
    plain = Gate(text="x", metric="latency", comparison="max", limit=1, better="lower")
    assert labels_of([*gates, plain]) == ("a", "b")
