"""Whose a series is, by the labels that real gateways, KServe, Knative and Istio give it."""

import pytest

from controlplane.evidence.owners import Owner, Owners
from controlplane.evidence.places import Labels
from tests.controlplane.evidence.scraped import CANARY, STABLE, places

KEY = ("shop", "chat")


def _owners(**labels: str) -> Owners:
    owners = Owners(Labels(**labels))
    owners.put(KEY, places(), (STABLE, CANARY))
    return owners


@pytest.mark.parametrize(
    "labels",
    [
        {"namespace": "shop", "inferenceservice": "chat-int4", "pod": "p"},
        {"namespace": "shop", "app": "isvc.chat-int4-predictor", "pod": "p"},
        {"namespace": "shop", "llm_isvc_name": "chat-int4", "pod": "p"},
        {"namespace": "shop", "pod": "chat-int4-predictor-7d9f4b5c8-x2x4z"},
        {"namespace": "shop", "pod": "chat-int4-kserve-7d9f4b5c8-x2x4z"},
        {"namespace_name": "shop", "revision_name": "chat-int4", "pod": "p", "namespace": "elsewhere"},
        {"destination_workload_namespace": "shop", "destination_workload": "chat-int4-predictor", "pod": "p"},
    ],
)
def test_a_servers_series_is_its_arms_however_the_server_is_named(labels: dict[str, str]) -> None:
    assert _owners().of(labels) == Owner(KEY, "canary", labels["pod"], float("-inf"))


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"namespace": "elsewhere", "inferenceservice": "chat-int4"},
        {"namespace": "shop", "inferenceservice": "chat-int4x"},
        {"namespace": "shop", "pod": "chat-int4-predictor-b-predictor-7d9f4b5c8-x2x4z"},
        {"envoy_cluster_name": "httproute/shop/chat/rule/0"},
        {"envoy_cluster_name": "httproute/shop/chat/rule/0/backend/2"},
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
    assert owners.of(labels) == Owner(KEY, "canary", "chat-int4-predictor-5f-x1", float("-inf"))


def test_a_profile_that_counts_at_the_servers_leaves_the_gateways_alone() -> None:
    """Two counters of the same requests would count them twice."""
    owners = Owners(Labels())
    owners.put(KEY, places(profile="vllm"), (STABLE, CANARY))
    assert owners.of({"envoy_cluster_name": "httproute/shop/chat/rule/0/backend/1"}) is None


def test_a_rollout_that_is_dropped_owns_nothing() -> None:
    owners = _owners()
    owners.drop(KEY)
    assert owners.of({"namespace": "shop", "inferenceservice": "chat-int4"}) is None
    assert owners.of({"envoy_cluster_name": "httproute/shop/chat/rule/0/backend/1"}) is None
