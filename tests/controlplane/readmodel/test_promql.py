"""The query behind a metric card: a graph of the same series by arm, in every profile and place."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest

from canary.spec import parse_document
from canary.spec.models import Gate
from controlplane.readmodel.promql import cluster_graphs, local_graphs
from tests.controlplane.kserve.worlds import plan

BY_CLUSTER = "envoy_cluster_name"
SLOTS = f'{BY_CLUSTER}=~"httproute/models/chat/rule/0/backend/[01]"'
PODS = 'namespace="models",pod=~"(chat-v1|chat-v2)(-.*)?"'


def gate(text: str) -> Gate:
    """A gate as its owner writes it."""
    lines = ["kind: ModelCanary", "metadata: {name: x}", "spec:", "  model: {name: x}", "  platform: {local: {}}"]
    lines += ["  stable: {name: a, command: [x]}", "  canary: {name: b, command: [y]}"]
    lines += [f"  stages: [{{traffic: 5%, gates: ['{text}']}}, {{traffic: 100%}}]"]
    whole = "\n".join(["apiVersion: serinus.dev/v1alpha1", *lines])
    return parse_document(whole, "canary.yml").canary.spec.stages[0].gates[0]


CLASS_5 = f'{SLOTS},envoy_response_code_class=~"5"'
LATENCY = f"rate(envoy_cluster_upstream_rq_time_bucket{{{SLOTS}}}[60000ms])"
ERRORS = f"sum by ({BY_CLUSTER}) (rate(envoy_cluster_upstream_rq_xx{{{CLASS_5}}}[60000ms]))"
REQUESTS = f"sum by ({BY_CLUSTER}) (rate(envoy_cluster_upstream_rq_xx{{{SLOTS}}}[60000ms]))"
EVENTS = f'sum by (pod) (rate(serinus_kpi_events_total{{{PODS},kpi=~"csat"}}[60000ms]))'
ASKED = f'sum by (pod) (rate(serinus_kpi_of_total{{{PODS},kpi=~"csat"}}[60000ms]))'


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("latency p95 <= 200ms", f"0.001 * histogram_quantile(0.95, sum by ({BY_CLUSTER}, le) ({LATENCY}))"),
        ("error_rate <= 1%", f"{ERRORS} / {REQUESTS}"),
        ("csat drop <= 3%", f"{EVENTS} / {ASKED}"),
    ],
)
def test_a_built_in_metric_is_drawn_from_the_series_that_the_judge_reads(text: str, query: str) -> None:
    assert cluster_graphs(plan().spec, "models", "chat", "").query(gate(text)) == query


def test_model_servers_are_told_apart_by_pod_and_a_gauge_is_no_rate() -> None:
    graphs = cluster_graphs(plan(mode="native").spec, "models", "chat", "")
    assert graphs.query(gate("kv_cache_usage <= 90%")).startswith("avg by (pod) (vllm:kv_cache_usage_perc{namespace=")
    assert 'finished_reason=~"length"' in graphs.query(gate("finish_reason/length <= 5%"))


def test_money_has_no_series_and_so_no_graph() -> None:
    graphs = cluster_graphs(plan().spec, "models", "chat", "https://prometheus.example.com")
    assert graphs.query(gate("cost_per_1k_requests <= $2")) == ""
    assert graphs.link("") == ""


def test_the_link_opens_that_query_in_the_page_that_browsers_reach() -> None:
    graphs = cluster_graphs(plan().spec, "models", "chat", "https://prometheus.example.com/")
    query = graphs.query(gate("error_rate <= 1%"))
    parts = urlsplit(graphs.link(query))
    assert (parts.netloc, parts.path) == ("prometheus.example.com", "/graph")
    assert parse_qs(parts.query)["g0.expr"] == [query]


def test_on_one_machine_arms_are_a_label_and_the_link_is_there_while_prometheus_runs() -> None:
    query = local_graphs(None).query(gate("latency p95 <= 200ms"))
    assert re.search(r'by \(arm, le\) .*job=~"serinus-\.\*"', query)
    assert local_graphs(None).link(query) == ""
    assert local_graphs(40123).link(query).startswith("http://127.0.0.1:40123/graph?")


def test_counters_that_a_gate_names_are_drawn_as_their_rates() -> None:
    own = gate("csat drop <= 3%").model_copy(
        update={"events": 'points_total{shop="eu"}', "of": "ratings_total", "variant_label": "version"}
    )
    assert cluster_graphs(plan().spec, "models", "chat", "").query(own) == (
        'sum by (version) (increase(points_total{shop="eu"}[60000ms]))'
        " / sum by (version) (increase(ratings_total[60000ms]))"
    )
