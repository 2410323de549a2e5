"""A resource in a cluster means what the same text means in a file."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from canary.errors import SpecError
from canary.spec import parse, revision
from canary.spec.reader import read
from canary.spec.resource import at_rest, document_of, from_object
from canary.spec.source import Source
from canary.spec.units import native

EXAMPLE = Path(__file__).parents[3] / "manifests" / "examples" / "four-week.canary.yml"


def resource(**spec: Any) -> dict[str, Any]:
    """A small sound plan as the server holds it, with these fields of `spec` in place of its own."""
    sound = {
        "model": {"name": "m"},
        "stable": {"name": "v1", "uri": "hf://a/b"},
        "canary": {"name": "v2", "uri": "hf://a/c"},
        "stages": [{"traffic": "5%", "hold": "1h"}, {"traffic": "100%"}],
    }
    metadata = {
        "name": "a",
        "namespace": "models",
        "uid": "42",
        "generation": 3,
        "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        "annotations": {"requests.serinus.dev/7": "{}"},
        "labels": {"team": "ml"},
    }
    api = {"apiVersion": "serinus.dev/v1alpha1", "kind": "ModelCanary"}
    return {**api, "metadata": metadata, "spec": {**sound, **spec}, "status": {"phase": "Shifting", "weight": 3}}


def faults(**spec: Any) -> list[tuple[str, str]]:
    """Path and sentence of all faults of a resource."""
    with pytest.raises(SpecError) as caught:
        from_object(resource(**spec))
    return [(fault.path, fault.message) for fault in caught.value.faults]


def test_r11_an_example_means_the_same_in_a_file_and_in_a_cluster() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    root, _ = read(Source("canary.yml", text))
    assert root is not None
    stored = json.loads(json.dumps(native(root.plain())))
    assert from_object(stored) == parse(text, "canary.yml")


def test_r11_what_the_server_and_others_keep_there_changes_no_plan() -> None:
    """Status, server-side metadata and annotations (people's requests among them) are not looked at."""
    object_ = resource()
    before = copy.deepcopy(object_)
    plan = from_object(object_)
    assert object_ == before
    assert plan.metadata.labels == {"team": "ml"}
    bare = {**object_, "metadata": {"name": "a", "namespace": "models", "labels": {"team": "ml"}}}
    del bare["status"]
    assert from_object(bare) == plan
    assert revision(from_object(bare)) == revision(plan)


@pytest.mark.parametrize(
    ("spec", "path", "said"),
    [
        ({"stages": [{"traffic": 5}, {"traffic": "100%"}]}, "spec.stages[0].traffic", "may be meant in percent"),
        ({"maxBlind": 30}, "spec.maxBlind", "has no unit"),
        ({"stagez": []}, "spec.stagez", 'did you mean "stages"'),
        ({"onBreach": None}, "spec.onBreach", "expected rollback"),
        ({"model": {"name": "m\u0000"}}, "spec.model.name", "control characters"),
    ],
)
def test_a_number_without_its_unit_is_refused_as_in_a_file(spec: dict[str, Any], path: str, said: str) -> None:
    [(found, message)] = faults(**spec)
    assert found == path
    assert said in message


def test_all_faults_come_at_once_and_equal_sentences_about_different_fields_stay_apart() -> None:
    found = faults(stable={}, canary={"replicas": 0})
    assert [path for path, message in found if message == "is missing"] == ["spec.stable.name", "spec.canary.name"]
    assert "spec.canary.replicas" in [path for path, _ in found]


def test_no_fault_of_a_resource_speaks_of_lines() -> None:
    """Nobody can look them up; what a fault refers to is named by its path."""
    gates = ["latency <= 1s", "latency <= 1s"]
    with pytest.raises(SpecError) as caught:
        from_object(resource(gates=gates, stages=[{"traffic": "50%"}, {"traffic": "5%"}, {"traffic": "100%"}]))
    text = str(caught.value)
    assert "line" not in text
    assert "ModelCanary models/a: spec.stages[1].traffic: " in text
    assert "of spec.stages[0].traffic" in text
    assert "in spec.gates[0]" in text
    assert all((fault.line, fault.column, fault.excerpt) == (0, 0, "") for fault in caught.value.faults)


@pytest.mark.parametrize("metadata", [None, [], "a", {}, {"name": None}])
def test_a_resource_without_a_name_is_refused_and_never_an_accident(metadata: Any) -> None:
    with pytest.raises(SpecError, match=r"^ModelCanary: metadata"):
        from_object({**resource(), "metadata": metadata})


@pytest.mark.parametrize(
    "metadata", [{"name": True}, {"name": "a", "namespace": 7}, {"name": "a", "labels": {"on": True}}]
)
def test_r11_metadata_that_is_no_text_is_refused_as_every_api_server_does(metadata: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match=r"metadata\.[\w.]+: expected a text in quotes"):
        from_object({**resource(), "metadata": metadata})


def test_s3_hostile_depth_and_size_end_with_a_sentence() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"a": deep}
    with pytest.raises(SpecError, match="no plan needs that"):
        from_object(resource(canary={"name": "v2", "engine": {"a": deep}}))
    with pytest.raises(SpecError, match="no plan needs that"):
        from_object(resource(canary={"name": "v2", "engine": {"a": list(range(6000))}}))


def test_the_document_of_a_resource_says_where_things_stand() -> None:
    assert document_of(resource()).root.get("spec", "stages", 0, "traffic") is not None


def test_a_plan_at_rest_is_told_from_one_with_faults() -> None:
    """Git has it so after a promotion or a rollback; it is no plan, and nothing is wrong with it."""
    variant = {"name": "v1", "uri": "hf://a/b"}
    assert at_rest(resource(stable=variant, canary=dict(variant)))
    assert not at_rest(resource())
    assert not at_rest(resource(stable=variant, canary={**variant, "replicas": 2}))
    assert not at_rest({"spec": None})
    assert "spec.canary.name" in [path for path, _ in faults(stable=variant, canary=variant)]
