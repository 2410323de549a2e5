"""What a variant really serves, held against the plan."""

from typing import Any

from controlplane.kserve.served_model import CACHED_SOURCE, SOURCE, ServedModel, identity, mismatch
from controlplane.kubernetes.api import Object

SERVICE: Object = {"metadata": {"name": "s"}}


def deployment(source: str = "", *fetched: str) -> Object:
    fetcher = {"name": "storage-initializer", "args": list(fetched)}
    meta = {"annotations": {SOURCE: source} if source else {}}
    return {
        "metadata": {},
        "spec": {"template": {"metadata": meta, "spec": {"initContainers": [fetcher] if fetched else []}}},
    }


def pod(digest: str, *, ready: bool = True) -> Object:
    status: dict[str, Any] = {"conditions": [{"type": "Ready", "status": str(ready)}]}
    status["containerStatuses"] = [{"name": "kserve-container", "imageID": f"docker.io/vllm@{digest}"}]
    return {"metadata": {"name": digest}, "status": status}


def test_the_weights_are_read_from_kserves_annotation() -> None:
    assert identity(SERVICE, deployment("hf://a/b"), []).uri == "hf://a/b"


def test_with_adapters_they_are_read_from_what_is_fetched() -> None:
    """KServe writes no annotation where there are several places."""
    found = identity(SERVICE, deployment("", "hf://a/b", "/mnt/models", "hf://a/lora", "/mnt/adapters/x"), [])
    assert found.uri == "hf://a/b"


def test_weights_from_a_local_cache_are_those_of_their_source() -> None:
    cached: Object = {"metadata": {"annotations": {CACHED_SOURCE: "hf://a/b"}}}
    assert identity(cached, deployment("pvc://cache/x"), []).uri == "hf://a/b"


def test_images_are_read_from_ready_pods() -> None:
    found = identity(SERVICE, None, [pod("sha256:1"), pod("sha256:1"), pod("sha256:2", ready=False)])
    assert found == ServedModel("", ("sha256:1",))


def test_what_is_not_known_is_no_mismatch() -> None:
    assert mismatch(ServedModel("", ()), "hf://a/b", "x@sha256:1") == ""
    assert mismatch(ServedModel("hf://a/b", ("sha256:1",)), "", None) == ""


def test_other_weights_are_a_mismatch() -> None:
    assert mismatch(ServedModel("hf://a/c", ()), "hf://a/b", None) == "it serves hf://a/c, and the plan says hf://a/b"


def test_another_digest_than_the_pinned_one_is_a_mismatch() -> None:
    found = ServedModel("", ("sha256:2",))
    assert mismatch(found, "", "v@sha256:1") == "it runs the image sha256:2, and the plan says sha256:1"
    assert mismatch(found, "", "v:latest") == ""


def test_a_tag_that_moved_between_two_pods_is_a_mismatch() -> None:
    assert "different images under one name" in mismatch(ServedModel("", ("sha256:1", "sha256:2")), "", "v:latest")
