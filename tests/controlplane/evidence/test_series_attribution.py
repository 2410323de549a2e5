"""Whose a series is, by the labels that real gateways, KServe, Knative and Istio give it."""

from typing import Any

import pytest

from canary.weights import Arm
from controlplane.evidence.metric_locations import Labels
from controlplane.evidence.series_attribution import SeriesOwner, SeriesOwners
from tests.controlplane.evidence.scraped import CANARY, STABLE, places

KEY = ("shop", "chat")


SERVERS_OWN = {"namespace": "shop", "pod": "chat-int4-predictor-7d9f4b5c8-x2x4z", "inferenceservice": "chat-int4"}
GATEWAYS_OWN = {
    "envoy_cluster_name": "httproute/shop/chat/rule/0/backend/1",
    "namespace": "envoy-gateway-system",
    "pod": "envoy-a",
}


def _owners(**labels: Any) -> SeriesOwners:
    owners = SeriesOwners(Labels(**labels))
    owners.put(KEY, places(), (STABLE, CANARY))
    return owners


@pytest.mark.parametrize(
    "labels",
    [
        {"inferenceservice": "chat-int4", "pod": "chat-int4-predictor-0"},
        {"app": "isvc.chat-int4-predictor", "pod": "chat-int4-predictor-0"},
        {"llm_isvc_name": "chat-int4", "pod": "chat-int4-kserve-mn-0"},
        {"pod": "chat-int4-predictor-7d9f4b5c8-x2x4z"},
        {"pod": "chat-int4-kserve-7d9f4b5c8-x2x4z"},
        {"namespace_name": "shop", "revision_name": "chat-int4", "pod": "chat-int4-deployment-5f-x"},
        {"destination_workload_namespace": "shop", "destination_workload": "chat-int4-predictor", "pod": "chat-int4-p"},
        {
            "destination_workload_namespace": "shop",
            "destination_workload": "chat-int4-predictor",
            "reporter": "source",
            "pod": "front-end-5f-x",
        },
        {
            "destination_workload_namespace": "shop",
            "destination_workload": "chat-int4-predictor",
            "reporter": "source",
            "namespace": "istio-system",
            "pod": "istio-ingressgateway-5f-x",
        },
    ],
)
def test_a_servers_series_is_its_arms_however_the_server_is_named(labels: dict[str, str]) -> None:
    assert _owners().of({"namespace": "shop", **labels}) == SeriesOwner(KEY, "canary", labels["pod"], float("-inf"))


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"namespace": "elsewhere", "inferenceservice": "chat-int4", "pod": "chat-int4-predictor-0"},
        {"namespace": "shop", "inferenceservice": "chat-int4x", "pod": "chat-int4x-predictor-5f-x"},
        {"namespace": "shop", "pod": "chat-int4-predictor-b-predictor-7d9f4b5c8-x2x4z"},
        {"envoy_cluster_name": "httproute/shop/chat/rule/0"},
        {"envoy_cluster_name": "httproute/shop/chat/rule/0/backend/2"},
        {**GATEWAYS_OWN, "envoy_cluster_name": "httproute/shop/chat/rule/1/backend/0"},
        {"envoy_cluster_name": "httproute/shop/other/rule/0/backend/1"},
        {"envoy_cluster_name": "grpcroute/shop/chat/rule/0/backend/1"},
        {"envoy_cluster_name": "httproute/shop/chat/rule/0-mirror-0", "namespace": "shop", "app": "chat-int4"},
    ],
)
def test_what_is_not_exactly_ours_is_nobodys(labels: dict[str, str]) -> None:
    assert _owners().of(labels) is None


def test_the_scrape_configurations_own_label_names_are_used() -> None:
    owners = _owners(namespace="kubernetes_namespace", pod="kubernetes_pod")
    labels = {"kubernetes_namespace": "shop", "kubernetes_pod": "chat-int4-predictor-5f-x1"}
    assert owners.of(labels) == SeriesOwner(KEY, "canary", "chat-int4-predictor-5f-x1", float("-inf"))


def test_a_profile_that_counts_at_the_servers_leaves_the_gateways_alone() -> None:
    """Two counters of the same requests would count them twice."""
    owners = SeriesOwners(Labels())
    owners.put(KEY, places(profile="vllm"), (STABLE, CANARY))
    assert owners.of({"envoy_cluster_name": "httproute/shop/chat/rule/0/backend/1"}) is None


def test_a_rollout_that_is_dropped_owns_nothing() -> None:
    owners = _owners()
    every = [SERVERS_OWN, {**GATEWAYS_OWN}]
    assert all(owners.of(labels) for labels in every)
    owners.drop(KEY)
    assert not any(owners.of(labels) for labels in every)


@pytest.mark.parametrize("namespace", ["envoy-gateway-system", "istio-system", "gateways"])
def test_a_gateways_counters_come_from_where_gateways_run_their_proxies(namespace: str) -> None:
    """By default, or where the plan's own Gateway is."""
    owners = SeriesOwners(Labels())
    owners.put(KEY, places(gateway="gateways"), (STABLE, CANARY))
    assert owners.of({**GATEWAYS_OWN, "namespace": namespace}) is not None


FORGED: dict[str, dict[str, str]] = {
    "another tenant's pod, as the gateway": {**GATEWAYS_OWN, "namespace": "mallory", "pod": "envoy-a"},
    "the gateway, by a label of its page": {
        **GATEWAYS_OWN,
        "namespace": "mallory",
        "exported_namespace": "envoy-gateway-system",
    },
    "nobody knows who, as the gateway": {"envoy_cluster_name": GATEWAYS_OWN["envoy_cluster_name"]},
    "another tenant's pod, by names of its own": {**SERVERS_OWN, "namespace": "mallory", "k8s_namespace_name": "shop"},
    "another tenant's pod, by another name of its own": {
        **SERVERS_OWN,
        "namespace": "mallory",
        "namespace_name": "shop",
    },
    "nobody knows who, by names of its own": {"k8s_namespace_name": "shop", "pod": SERVERS_OWN["pod"]},
    "another tenant's caller": {
        "destination_workload_namespace": "shop",
        "destination_workload": "chat-int4-predictor",
        "reporter": "source",
        "namespace": "mallory",
        "pod": "front-end-5f-x",
    },
    "another tenant's server": {
        "destination_workload_namespace": "shop",
        "destination_workload": "chat-int4-predictor",
        "reporter": "destination",
        "namespace": "mallory",
        "pod": "chat-int4-predictor-5f-x",
    },
    "the canary, as stable's caller": {
        "destination_workload_namespace": "shop",
        "destination_workload": "chat-bf16-predictor",
        "reporter": "source",
        "namespace": "shop",
        "pod": SERVERS_OWN["pod"],
    },
    "a pod of the same namespace that is neither": {**SERVERS_OWN, "pod": "chat-other-5f-x"},
}


@pytest.mark.parametrize("labels", FORGED.values(), ids=FORGED)
def test_s14_what_a_target_says_of_others_is_nobodys(labels: dict[str, str]) -> None:
    """Whatever labels its page has: who was scraped is what service discovery says."""
    assert _owners().of(labels) is None


def test_s14_a_canary_is_no_gateway_of_its_own_even_where_its_gateway_is_in_its_namespace() -> None:
    owners = SeriesOwners(Labels())
    owners.put(KEY, places(gateway="shop"), (STABLE, CANARY))
    assert owners.of({**GATEWAYS_OWN, "namespace": "shop", "pod": "envoy-shop-5f-x"}) is not None
    assert owners.of({**GATEWAYS_OWN, "namespace": "shop", "pod": SERVERS_OWN["pod"]}) is None


def test_s14_of_two_names_the_longer_one_says_whose_pod_it_is() -> None:
    owners = SeriesOwners(Labels())
    services: dict[Arm, str] = {"stable": "chat", "canary": "chat-v2"}
    owners.put(KEY, places(services=services), (STABLE, CANARY))
    for said in ("chat-v2", "chat", "other"):
        owner = owners.of({"namespace": "shop", "pod": "chat-v2-predictor-5f-x", "inferenceservice": said})
        assert owner is not None
        assert owner.arm == "canary"


def test_where_targets_have_no_namespace_an_operator_can_say_so() -> None:
    """Then whoever is scraped is believed."""
    owners = _owners(gateways=("*",))
    assert owners.of({"envoy_cluster_name": GATEWAYS_OWN["envoy_cluster_name"]}) is not None
