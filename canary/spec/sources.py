"""Which series feed which metric: one readable table for each metrics profile.

Read by `samples.py`, which turns samples into totals, and by the metric sources, which fetch these names and no others.
Names differ by server, proxy and version: a row further down is a fallback for servers that do not know the name above
it. Fetches nothing and computes nothing.

A replica can count business figures itself: `serinus_kpi_events_total{kpi="conversion"}` (events, or a sum of points
such as ratings) and `serinus_kpi_of_total{kpi="conversion"}` (the sessions, answers or ratings they are counted among)
on its own metrics page become the KPI `kpi/conversion`.

For gates with `by`, series that carry the label are read once more for each of its values. Proxies seldom know the
label, so a server can count its requests itself: `serinus_requests_total{status="200", tenant="acme"}` and, as a
histogram, `serinus_request_duration_seconds{tenant="acme"}`. These are never added to what the proxy counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: this series feeds that metric."""

    feeds: str
    """`requests`, a built-in metric, or a running total that metrics are made of; see `canary.spec.metrics`."""
    series: str
    """Name on the wire; for histograms without `_bucket`."""
    kind: Literal["total", "histogram", "gauge", "level", "nothing"] = "total"
    """`gauge`: of several series the largest counts. `level`: a count of now, which adds up.
    `nothing`: where this series is, and those of the rows above are not, nothing has been counted yet."""
    where: Mapping[str, str] = field(default_factory=dict)
    """Label to the regular expression that its whole value has to match; a missing label is an empty value."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """For requests: what besides makes one of them an error, as in `where`. Empty: the series does not tell."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """For requests: what makes one of them a client's error (4xx), as in `where`. Empty: the series does not tell."""
    throttled: Mapping[str, str] = field(default_factory=dict)
    """For requests: what makes one of them refused for its rate (429), where `refused` leaves these out."""
    by: str = ""
    """Label whose value is appended to `feeds`: `finish_reason/stop`."""
    scale: float = 1.0
    """Factor from the series' unit to seconds, for histograms."""

    @property
    def wire_name(self) -> str:
        """The name of its samples."""
        return f"{self.series}_bucket" if self.kind == "histogram" else self.series

    @property
    def native_name(self) -> str:
        """What the native histogram would be called that has these samples in it; empty where there is none."""
        if self.kind == "histogram":
            return self.series
        return next((self.series.removesuffix(part) for part in _PARTS if self.series.endswith(part)), "")


Profile = Sequence[Row]
_PARTS = ("_count", "_sum")
"""What a classic histogram has besides its buckets, and a native one within itself."""

MILLISECONDS = 1e-3


def _by_code(series: str, label: str, where: Mapping[str, str] | None = None) -> Row:
    """Requests by a series whose label is the status itself."""
    failed, refused, throttled = {label: "5.."}, {label: "4(?!29).."}, {label: "429"}
    return Row("requests", series, where=where or {}, failed=failed, refused=refused, throttled=throttled)


_ENVOY_CLUSTERS: Profile = (
    # Envoy 1.40. A class of answers has no series before its first one; the total is there from the beginning.
    Row(
        "requests",
        "envoy_cluster_upstream_rq_xx",
        failed={"envoy_response_code_class": "5"},
        refused={"envoy_response_code_class": "4"},
    ),
    Row("throttled_answers", "envoy_cluster_upstream_rq", where={"envoy_response_code": "429"}),
    Row("requests", "envoy_cluster_upstream_rq_completed"),
    # Refused connections, resets before the first byte and timeouts are 503 and 504, so they are in class 5. An answer
    # that breaks off later stays a 2xx, and only the counter of protocol errors has it. That one also counts answers
    # that are not HTTP, which become a 502: those are taken off again. What the client gave up is in none of these.
    Row("broken_answers", "envoy_cluster_upstream_cx_protocol_error"),
    Row("garbled_answers", "envoy_cluster_upstream_rq", where={"envoy_response_code": "502"}),
    Row("latency", "envoy_cluster_upstream_rq_time", "histogram", scale=MILLISECONDS),
    # The status is counted with the headers, so what hangs after them is in none of these. What has begun and ended is.
    Row("begun", "envoy_cluster_upstream_rq_total"),
    Row("open", "envoy_cluster_upstream_rq_active", "level"),
    # What the proxy itself ends early, for its client has left or waited for too long: HTTP/1.1 and HTTP/2 upstream.
    Row("cancelled", "envoy_cluster_upstream_cx_destroy_local_with_active_rq"),
    Row("reset_streams", "envoy_cluster_upstream_rq_tx_reset"),
)
ENVOY: Profile = (
    *_ENVOY_CLUSTERS,
    # Our own Envoy looks at answers as well (`controlplane.adapters.envoy_config`): a 200 without a body to a POST, and
    # a stream of events that has an `error` in it. Each is in the class of its status besides.
    Row("empty_answers", "envoy_serinus_empty_answers"),
    Row("failed_streams", "envoy_serinus_failed_streams"),
)
ENVOY_GATEWAY: Profile = (
    *_ENVOY_CLUSTERS,
    # Envoy Gateway lets its proxies make a cluster's counters at the first request: the cluster itself is there before.
    Row("requests", "envoy_cluster_membership_total", "nothing"),
)
ENVOY_STATS = (
    r"^(cluster\.(stable|canary)-[^.]+\.(upstream_rq_([1-5]xx|completed|429|502|time|active|total|tx_reset)"
    r"|upstream_cx_(protocol_error|destroy_local_with_active_rq))"
    r"|serinus\.(empty_answers|failed_streams)\.envoy_cluster_name\.(stable|canary)-[^.]+"
    r"|http\.[^.]+\.no_(route|cluster))$"
)
"""The same by Envoy's inner names, for `filter=` of its page, which then has kilobytes in place of megabytes."""
UNROUTED = frozenset({"envoy_http_no_route", "envoy_http_no_cluster"})
"""Our own Envoy's counters of requests that reached neither arm."""

VLLM: Profile = (
    # vLLM 0.33; where a name was changed, the older one stands below.
    Row("ttft", "vllm:time_to_first_token_seconds", "histogram"),
    Row("itl", "vllm:inter_token_latency_seconds", "histogram"),
    Row("itl", "vllm:time_per_output_token_seconds", "histogram"),
    Row("e2e", "vllm:e2e_request_latency_seconds", "histogram"),
    Row("queue_time", "vllm:request_queue_time_seconds", "histogram"),
    Row("queue_time", "vllm:time_in_queue_requests", "histogram"),
    Row("generation_tokens", "vllm:generation_tokens_total"),
    Row("prompt_tokens", "vllm:prompt_tokens_total"),
    # Time between tokens grows with each token, as `generation_tokens` does; a request's decode time only at its end.
    Row("decode_seconds", "vllm:inter_token_latency_seconds_sum"),
    Row("decode_seconds", "vllm:time_per_output_token_seconds_sum"),
    Row("preemptions", "vllm:num_preemptions_total"),
    Row("finished", "vllm:request_success_total"),
    Row("finish_reason", "vllm:request_success_total", by="finished_reason"),
    Row("running", "vllm:num_requests_running", "level"),
    Row("waiting", "vllm:num_requests_waiting", "level"),
    Row("kv_cache_usage", "vllm:kv_cache_usage_perc", "gauge"),
    Row("kv_cache_usage", "vllm:gpu_cache_usage_perc", "gauge"),
    # Its own web server. `status` is a class (`5xx`) or a code, and the fine histogram has no labels.
    Row(
        "requests",
        "http_requests_total",
        where={"handler": r"(/openai)?/v\d/.*", "method": "POST"},
        failed={"status": "5..|5xx"},
        refused={"status": "4(?!29)..|4xx"},
        throttled={"status": "429"},
    ),
    Row("latency", "http_request_duration_highr_seconds", "histogram"),
)
KSERVE: Profile = (
    # KServe's Python server 0.21: predict and explain of V1 and V2; it counts no errors. Inside it may be vLLM.
    Row("requests", "request_predict_seconds_count"),
    Row("latency", "request_predict_seconds", "histogram"),
    *(row for row in VLLM if row.series.startswith("vllm:")),
)
ANY_SERVER: Profile = (
    # What a replica may say of itself, whatever it is made of.
    Row("kpi_events", "serinus_kpi_events_total", by="kpi"),
    Row("kpi_of", "serinus_kpi_of_total", by="kpi"),
    Row("started_at", "process_start_time_seconds", "gauge"),
)
ISTIO: Profile = (
    # Istio 1.2x. Both ends of a call may report it; the caller is preferred, who also sees calls that never arrived.
    *(
        row
        for end in ("source", "destination")
        for row in (
            _by_code("istio_requests_total", "response_code", {"reporter": end}),
            Row("latency", "istio_request_duration_milliseconds", "histogram", {"reporter": end}, scale=MILLISECONDS),
        )
    ),
)
KNATIVE_OLD: Profile = (
    # Knative's queue-proxy until 1.18.
    Row(
        "requests",
        "revision_app_request_count",
        failed={"response_code_class": "5xx"},
        refused={"response_code_class": "4xx"},
    ),
    Row(
        "requests",
        "revision_request_count",
        failed={"response_code_class": "5xx"},
        refused={"response_code_class": "4xx"},
    ),
    Row("latency", "revision_app_request_latencies", "histogram", scale=MILLISECONDS),
    Row("latency", "revision_request_latencies", "histogram", scale=MILLISECONDS),
)
KNATIVE: Profile = (
    # Knative's queue-proxy from 1.19 on (OpenTelemetry): no older name survived, and the unit is the second.
    _by_code("kn_serving_invocation_duration_seconds_count", "http_response_status_code"),
    _by_code("http_server_request_duration_seconds_count", "http_response_status_code"),
    Row("latency", "kn_serving_invocation_duration_seconds", "histogram"),
    Row("latency", "http_server_request_duration_seconds", "histogram"),
)
OWN_COUNTS: Profile = (
    # What a server may count by labels of its own, such as its tenants; read for gates with `by` and for nothing else.
    Row("requests", "serinus_requests_total", failed={"status": "5..|5xx"}, refused={"status": "4..|4xx"}),
    Row("latency", "serinus_request_duration_seconds", "histogram"),
)
SERVERS: Profile = (*(row for row in VLLM if row.feeds not in {"requests", "latency"}), *ANY_SERVER)
"""Model servers behind a proxy. What the proxy counts nobody else may: a change from one counter to another one of the
same thing would look like traffic."""

PROFILES: Mapping[str, Profile] = {
    "vllm": (*VLLM, *ANY_SERVER),
    "kserve": (*KSERVE, *ANY_SERVER),
    "envoy": (*ENVOY, *SERVERS),
    "envoy-gateway": (*ENVOY_GATEWAY, *SERVERS),
    "istio": (*ISTIO, *SERVERS),
    "knative-old": (*KNATIVE_OLD, *SERVERS),
    "knative": (*KNATIVE, *SERVERS),
}
"""By the name that stands in canary.yml (`metricsProfile`). The local platform reads `envoy`."""


IN_MILLISECONDS = frozenset(row.series for profile in PROFILES.values() for row in profile if row.scale == MILLISECONDS)
"""Histograms whose bounds are milliseconds on the wire."""


def told_by(rows: Iterable[Row]) -> frozenset[str]:
    """What these rows tell: what they feed, and what they tell apart among the requests."""
    found: set[str] = set()
    for row in rows:
        found |= {row.feeds, *(("errors",) if row.failed else ()), *(("client_errors",) if row.refused else ())}
        found |= {"throttled"} if row.throttled or row.feeds == "throttled_answers" else set()
    return frozenset(found)


def wire_names(profile: Profile) -> frozenset[str]:
    """Names of all samples that the profile reads."""
    return frozenset(row.wire_name for row in profile)


def asked_names(rows: Iterable[Row]) -> frozenset[str]:
    """Names to ask a Prometheus for: the samples, and the native histograms that may stand in their place."""
    return frozenset(name for row in rows for name in (row.wire_name, row.native_name) if name)


def by_label(profile: Profile) -> Profile:
    """Rows of all series that may carry a label of people's own: the profile's, then what servers count themselves.

    Momentary values are left out: they are of a replica and not of a part of its traffic.
    """
    further = (row for row in (*OWN_COUNTS, *VLLM, *KSERVE, *ANY_SERVER) if row not in profile)
    return tuple(row for row in (*profile, *further) if row.kind in {"total", "histogram"})
