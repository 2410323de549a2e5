"""What an object takes in memory, and what is kept of those that take too much."""

import tracemalloc
from typing import Any

import pytest
from pydantic_core import from_json, to_json

from controlplane.kubernetes.allowance import Allowance, outline, weight

SHAPES: dict[str, Any] = {
    "empty mappings": [{}] * 100_000,
    "empty lists": [[]] * 100_000,
    "small mappings": [{"b": 1}] * 50_000,
    "large numbers": [10**6 + number for number in range(100_000)],
    "fractions": [number + 0.5 for number in range(100_000)],
    "short texts": [f"s{number}" for number in range(100_000)],
    "one mapping": {f"k{number}": 1 for number in range(50_000)},
    "a long text": "x" * 1_000_000,
}


@pytest.mark.parametrize("name", SHAPES)
def test_s14_what_an_object_weighs_is_what_it_takes(name: str) -> None:
    """Near enough: a bound that half of it passes is none."""
    text = to_json({"spec": SHAPES[name]})
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    object_ = from_json(text)
    taken = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.6 * taken < weight(object_) < 3 * taken


def test_a_packed_state_can_be_weighed() -> None:
    assert weight({"status": {"state": {"packed": b"\x00\xff" * 500}}}) > 1_000
    assert weight({"status": {"number": float("inf")}}) > 0


def test_an_outline_is_who_it_is_with_what_is_ours() -> None:
    notes = {f"requests.serinus.dev/{number}": "pause" for number in range(30)}
    meta = {
        "name": "chat",
        "namespace": "models",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "finalizers": ["serinus.dev/traffic-back", "example.com/x"],
        "labels": {"serinus.dev/rollout": "chat", "team": "ml"},
        "annotations": {**notes, "git.serinus.dev/commit": "x" * 2_000, "other": "y" * 100_000},
        "managedFields": [{}] * 100,
    }
    kept = outline({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"a": 1}, "status": {}})
    assert kept.keys() == {"apiVersion", "kind", "metadata"}
    assert kept["metadata"]["finalizers"] == meta["finalizers"], "they are written back as they stand here"
    assert kept["metadata"]["labels"] == {"serinus.dev/rollout": "chat"}
    assert len(kept["metadata"]["annotations"]) == 20
    assert weight(kept) < 5_000


def test_each_namespace_has_its_own_and_gets_back_what_it_gives() -> None:
    allowance = Allowance(100)
    allowance.take("a", 90)
    assert not allowance.fits("a", 20)
    assert allowance.fits("b", 90)
    allowance.take("a", -90)
    assert allowance.fits("a", 100)
    assert allowance.fits("", 10**9), "what has no namespace is the cluster's own"
