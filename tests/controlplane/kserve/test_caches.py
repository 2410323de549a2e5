"""Pods by what they belong to, without looking at all of them."""

from dataclasses import fields

from controlplane.kserve.caches import APP_LABEL, Caches, PodIndex
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import POD


def pod(name: str, app: str, version: int = 1, namespace: str = "models") -> Object:
    meta = {"name": name, "namespace": namespace, "labels": {"app": app}, "resourceVersion": str(version)}
    return {"metadata": meta}


def names(index: PodIndex, app: str) -> list[str]:
    return sorted(each["metadata"]["name"] for each in index.of("models", app))


def test_pods_that_were_there_before_are_found() -> None:
    cache = Cache(POD)
    cache.put(pod("a-1", "a"))
    assert names(PodIndex(cache, APP_LABEL), "a") == ["a-1"]


def test_pods_come_and_go() -> None:
    caches = Caches()
    index = caches.pods_of_apps
    caches.pods.replace([pod("a-1", "a"), pod("a-2", "a"), pod("b-1", "b"), pod("a-3", "a", namespace="other")])
    assert names(index, "a") == ["a-1", "a-2"]
    caches.pods.drop(("models", "a-1"))
    assert names(index, "a") == ["a-2"]


def test_a_pod_whose_label_changes_moves() -> None:
    """Somebody who takes a pod out of its Service for a closer look does just that."""
    caches = Caches()
    caches.pods.put(pod("a-1", "a"))
    index = caches.pods_of_apps
    caches.pods.put(pod("a-1", "quarantine", version=2))
    assert (names(index, "a"), names(index, "quarantine")) == ([], ["a-1"])


def test_pods_without_the_label_are_left_out() -> None:
    caches = Caches()
    caches.pods.put({"metadata": {"name": "x", "namespace": "models", "resourceVersion": "1"}})
    assert names(caches.pods_of_apps, "") == []


def test_a_namespaces_own_runtime_comes_before_the_clusters() -> None:
    caches = Caches()
    caches.cluster_runtimes.put({"metadata": {"name": "r", "resourceVersion": "1"}, "spec": "cluster"})
    assert (caches.runtime("models", "r") or {})["spec"] == "cluster"
    caches.runtimes.put({"metadata": {"name": "r", "namespace": "models", "resourceVersion": "1"}, "spec": "own"})
    assert (caches.runtime("models", "r") or {})["spec"] == "own"


def test_every_cache_is_filled() -> None:
    caches = Caches()
    assert {id(cache) for cache in caches.all()} == {id(getattr(caches, each.name)) for each in fields(caches)}
