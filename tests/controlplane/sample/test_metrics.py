"""The sample server's `/metrics` page is one that tools for vLLM can read."""

from pathlib import Path

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from controlplane.sample.metrics import Histogram, ServerMetrics

CAPTURED = Path(__file__).parents[2] / "golden" / "vllm-0.32-metrics.txt"
"""The page of a real vLLM 0.32 that served some chat requests."""
JUDGED = {
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
    "vllm:request_queue_time_seconds",
    "vllm:request_success",
    "vllm:generation_tokens",
    "vllm:prompt_tokens",
    "vllm:num_preemptions",
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "http_requests",
    "process_start_time_seconds",
}
"""What canaries are judged by, as the parser names it."""


def families(page: str) -> dict[str, Metric]:
    return {family.name: family for family in text_string_to_metric_families(page)}


def shape(family: Metric) -> set[tuple[str, frozenset[str], str]]:
    """Sample names, label names and bucket bounds of a metric; no values."""
    return {(s.name, frozenset(s.labels), s.labels.get("le", "")) for s in family.samples}


def used() -> ServerMetrics:
    metrics = ServerMetrics("support-llm", started_at=1795233005.84)
    metrics.ttft.observe(0.03)
    metrics.http["/v1/chat/completions", "POST", "2xx"] += 1
    metrics.kpi_events["conversion"] += 1
    metrics.kpi_of["conversion"] += 5
    return metrics


def test_names_types_labels_and_buckets_are_those_of_a_real_vllm() -> None:
    """Whatever is on our page is on vLLM's, of the same kind, with the same labels and bounds."""
    ours, real = families(used().page()), families(CAPTURED.read_text())
    assert set(ours) >= JUDGED
    for name, family in ours.items():
        if not name.startswith("serinus_"):
            assert (family.type, shape(family)) == (real[name].type, shape(real[name])), name


def test_finished_reasons_are_those_of_a_real_vllm() -> None:
    ours, real = families(used().page()), families(CAPTURED.read_text())
    reasons = [{s.labels["finished_reason"] for s in page["vllm:request_success"].samples} for page in (ours, real)]
    assert reasons[0] == reasons[1]


def test_a_kpi_is_two_counters() -> None:
    page = used().page().splitlines()
    assert 'serinus_kpi_events_total{kpi="conversion"} 1.0' in page
    assert 'serinus_kpi_of_total{kpi="conversion"} 5.0' in page


def test_a_tenants_requests_are_counted_by_our_own_convention_and_nowhere_twice() -> None:
    metrics = used()
    for tenant in ("acme", "bolt"):
        theirs = metrics.of_tenant(tenant)
        theirs.requests["2xx"] += 3
        theirs.latency.observe(0.02)
        theirs.kpi_events["conversion"] += 1
        theirs.kpi_of["conversion"] += 2
    page = metrics.page()
    assert 'serinus_requests_total{status="2xx",tenant="bolt"} 3.0' in page.splitlines()
    assert 'serinus_kpi_of_total{kpi="conversion",tenant="acme"} 2.0' in page.splitlines()
    assert 'serinus_kpi_of_total{kpi="conversion"} 5.0' in page.splitlines()
    histogram = families(page)["serinus_request_duration_seconds"]
    assert {s.labels["tenant"] for s in histogram.samples} == {"acme", "bolt"}
    assert page.count("# TYPE serinus_request_duration_seconds") == 1


def test_tenants_without_end_are_counted_together_from_a_hundred_on() -> None:
    metrics = used()
    for number in range(150):
        metrics.of_tenant(f"t{number}").requests["2xx"] += 1
    assert len(metrics.tenants) == 101
    assert metrics.tenants["other"].requests["2xx"] == 50


def test_a_model_name_with_quotes_and_newlines_survives_the_format() -> None:
    name = 'a "quoted"\nback\\slash'
    running = families(ServerMetrics(name, 0.0).page())["vllm:num_requests_running"]
    assert running.samples[0].labels["model_name"] == name


def test_a_value_at_a_bound_belongs_to_it() -> None:
    """Prometheus buckets hold values less than or equal to their bound."""
    histogram = Histogram((0.1, 0.5))
    for value in (0.1, 0.2, 0.5, 0.6):
        histogram.observe(value)
    histogram.observe(0.05, times=3)
    assert list(histogram.cumulative()) == [("0.1", 4), ("0.5", 6), ("+Inf", 7)]
    assert histogram.sum == 0.1 + 0.2 + 0.5 + 0.6 + 3 * 0.05
