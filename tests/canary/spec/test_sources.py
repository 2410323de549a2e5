"""The tables themselves: every row feeds something that a metric reads, and Envoy is asked for its rows."""

import re

import pytest

from canary.spec.metrics import BUILT_IN
from canary.spec.sources import ENVOY_STATS, PROFILES, SERVERS, wire_names

READ_BY_METRICS = {
    *BUILT_IN,
    *(total for metric in BUILT_IN.values() for total in metric.counts or ()),
    "finish_reason",  # one total a reason
    "kpi_events",
    "kpi_of",
    "started_at",
    "prompt_tokens",  # shown, and not judged
    "broken_answers",
    "garbled_answers",
    "throttled_answers",
    "empty_answers",
    "failed_streams",
    "open",  # by proxies, or else by servers:
    "running",
    "waiting",
    "begun",  # and what becomes of it:
    "cancelled",
    "reset_streams",
}


@pytest.mark.parametrize("profile", PROFILES)
def test_every_row_feeds_something_that_is_read(profile: str) -> None:
    assert {row.feeds for row in PROFILES[profile]} <= READ_BY_METRICS


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_counts_requests_and_latency(profile: str) -> None:
    assert {"requests", "latency"} <= {row.feeds for row in PROFILES[profile]}


def test_what_the_proxy_counts_no_server_behind_it_counts_too() -> None:
    """A change from one counter of the same thing to another would look like traffic."""
    assert not {row.feeds for row in SERVERS} & {"requests", "errors", "latency"}


@pytest.mark.parametrize(
    ("stat", "wanted"),
    [
        ("cluster.canary-0.upstream_rq_completed", True),
        ("cluster.stable-11.upstream_rq_2xx", True),
        ("cluster.canary-0.upstream_rq_502", True),
        ("cluster.canary-0.upstream_rq_time", True),
        ("cluster.canary-0.upstream_cx_protocol_error", True),
        ("cluster.canary-0.upstream_rq_total", True),
        ("cluster.canary-0.upstream_rq_tx_reset", True),
        ("cluster.canary-0.upstream_cx_destroy_local_with_active_rq", True),
        ("cluster.canary-0.upstream_cx_destroy_remote_with_active_rq", False),
        ("http.serinus.no_cluster", True),
        ("serinus.empty_answers.envoy_cluster_name.canary-0", True),
        ("serinus.failed_streams.envoy_cluster_name.stable-1", True),
        ("serinus.failed_streams.envoy_cluster_name.outside-stable-1", False),
        ("cluster.canary-0.external.upstream_rq_2xx", False),
        ("cluster.canary-0.upstream_rq_timeout", False),
        ("cluster.canary-0.upstream_rq_503", False),
        ("cluster.metrics.upstream_rq_completed", False),
    ],
)
def test_envoys_filter_lets_through_what_the_table_reads_and_little_else(stat: str, wanted: bool) -> None:
    assert bool(re.search(ENVOY_STATS, stat)) is wanted


def test_a_histogram_is_read_by_its_buckets() -> None:
    assert "envoy_cluster_upstream_rq_time_bucket" in wire_names(PROFILES["envoy"])
    assert "envoy_cluster_upstream_rq_time" not in wire_names(PROFILES["envoy"])
