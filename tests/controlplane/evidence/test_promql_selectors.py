"""The text of the questions: what is asked for whom, and that no name can change what a question means."""

import json
from dataclasses import replace

import pytest

from canary.errors import BugError, SpecError
from canary.spec import parse
from canary.spec.models import Gate
from controlplane.evidence.metric_locations import Labels
from controlplane.evidence.promql_selectors import selectors
from tests.controlplane.evidence.scraped import LATENCY, TTFT, places

INJECTED = 'x"} or vector(1) #'
KPI = Gate(text="conversion drop <= 3%", metric="kpi/conversion", comparison="drift", limit=0.03, better="higher")


def test_each_family_is_one_question_whatever_the_rollouts_profiles_are() -> None:
    found = selectors(
        [
            places("a", gates=[LATENCY]),
            places("b", namespace="lab", gates=[TTFT]),
            places("c", profile="istio"),
            places("d", profile="vllm"),
        ],
        Labels(),
    )
    assert found.keys() == {"gateway", "mesh", "pods"}
    assert 'envoy_cluster_name=~"httproute/(lab/(b)|shop/(a))/rule/0/backend/[01]"' in found["gateway"]
    assert 'destination_workload=~"(c-bf16|c-int4)(-.*)?"' in found["mesh"]
    assert 'namespace=~"lab|shop",pod=~"(b-bf16|b-int4|c-bf16|c-int4|d-bf16|d-int4)(-.*)?"' in found["pods"]
    assert "http_requests_total" in found["pods"]


def test_open_requests_are_asked_for_once_of_the_proxy_or_else_of_the_servers() -> None:
    gateway, mesh, pods = (selectors([places(profile=each)], Labels()) for each in ("envoy-gateway", "istio", "vllm"))
    assert "envoy_cluster_upstream_rq_active" in gateway["gateway"]
    assert gateway.keys() == {"gateway"}
    assert "vllm:num_requests_running|vllm:num_requests_waiting" in mesh["pods"]
    assert "vllm:num_requests_running|vllm:num_requests_waiting" in pods["pods"]


def test_s14_only_gateways_and_the_rollouts_own_namespaces_are_asked_about_their_requests() -> None:
    """What others make up is not even fetched: a million series would crowd out everybody's."""
    found = selectors([places("a", gateway="edge"), places("c", profile="istio", namespace="lab")], Labels())
    assert 'namespace=~"edge|envoy-gateway-system|istio-ingress|istio-system"' in found["gateway"]
    assert ',namespace=~"envoy-gateway-system|istio-ingress|istio-system|lab"' in found["mesh"]
    believing = selectors([places("a")], Labels(gateways=("*",)))
    assert "namespace=~" not in believing["gateway"]


def test_gates_decide_which_names_are_worth_asking_for() -> None:
    """Requests and failures always; buckets, tokens and KPIs only where something rests on them."""
    plain, asking = (selectors([places(gates=gates)], Labels()) for gates in ((), (LATENCY, KPI)))
    assert plain.keys() == {"gateway"}
    assert "rq_time_bucket" not in plain["gateway"]
    assert "rq_time_bucket" in asking["gateway"]
    assert "serinus_kpi_events_total|serinus_kpi_of_total" in asking["pods"]
    assert "vllm" not in asking["pods"]


@pytest.mark.parametrize("name", [INJECTED, 'chat"}', "chat|.*", "chat\n", "", "chat)"])
def test_s5_a_name_that_is_none_is_put_into_no_question(name: str) -> None:
    """Wherever a name stands in a question: the route's, the namespace's, the servers'."""
    pods = replace(places("chat", profile="vllm"), services={"stable": "chat-v1", "canary": name})
    for each in (places(name), replace(places("chat"), namespace=name), pods):
        with pytest.raises(BugError, match="is no name that Kubernetes gives"):
            selectors([each], Labels())


@pytest.mark.parametrize("gate", [f"kpi/{INJECTED} <= 3%", f"{INJECTED} drop <= 3%", f"latency by {INJECTED} <= 1s"])
def test_s5_a_metric_that_would_change_a_question_is_no_metric(gate: str) -> None:
    plan = {
        "apiVersion": "serinus.dev/v1alpha1",
        "kind": "ModelCanary",
        "metadata": {"name": "chat"},
        "spec": {
            "model": {"name": INJECTED},  # a model may be called anything: it stands in no question
            "stable": {"name": "v1", "command": ["serve"]},
            "canary": {"name": "v2", "command": ["serve", "--new"]},
            "stages": [{"traffic": "5%", "gates": [gate]}, {"traffic": "100%"}],
        },
    }
    with pytest.raises(SpecError) as refused:
        parse(json.dumps(plan), "canary.yml")
    assert {fault.path for fault in refused.value.faults} == {"spec.stages[0].gates[0]"}


def test_a_dot_in_a_name_is_a_dot() -> None:
    assert "shop/(chat[.]v2)" in selectors([places("chat.v2")], Labels())["gateway"]
