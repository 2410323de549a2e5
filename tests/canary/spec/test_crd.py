"""The CustomResourceDefinition: structural, documented, bounded, and of one mind with the parser as far as it goes.

What a real API server says of it is asked in `tests/cluster/test_crd.py`; what is asked here needs none.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given, settings

from canary.spec.crd import custom_resource_definition, schema
from canary.spec.crd_schema import of_type
from canary.spec.reader import read
from canary.spec.resource import from_object
from canary.spec.source import Source
from canary.spec.units import native
from tests.canary.spec.crd_samples import FAULTS, ONLY_PARSED, changed, refusals, resources, sound

ROOT = Path(__file__).parents[3]
SCHEMA = schema()
JUNCTORS = ("allOf", "anyOf", "oneOf", "not")
FORBIDDEN = {"$ref", "definitions", "dependencies", "deprecated", "id", "patternProperties", "readOnly", "writeOnly"}
FORBIDDEN |= {"xml", "discriminator", "uniqueItems", "$defs", "const", "examples"}
"""What a structural schema must not say, and what the API server does not know."""

Node = dict[str, Any]


def nodes(node: Node, path: str = "") -> Iterator[tuple[str, Node]]:
    """Every value of the schema with its path."""
    yield path, node
    for key, child in node.get("properties", {}).items():
        yield from nodes(child, f"{path}.{key}")
    for key, below in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(node.get(key), dict):
            yield from nodes(node[key], path + below)


def closed(node: Node) -> Node:
    """The schema as a strict server reads it: what it does not name is refused; rules are left out."""
    made = {key: value for key, value in node.items() if not key.startswith("x-")}
    if "properties" in node:
        made["properties"] = {key: closed(child) for key, child in node["properties"].items()}
        if not node.get("x-kubernetes-preserve-unknown-fields"):
            made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = closed(node[key])
    if node.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    return made


def strict() -> jsonschema.Draft202012Validator:
    """The schema without its rules."""
    made = closed(SCHEMA)
    made["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(made)


STRICT = strict()


def test_the_schema_is_structural() -> None:
    """Every value has one type, or says that it takes several; nothing in it is forbidden."""
    for path, node in nodes(SCHEMA):
        several = node.get("x-kubernetes-int-or-string") or node.get("x-kubernetes-preserve-unknown-fields")
        assert "type" in node or several, path
        assert not (node.get("x-kubernetes-int-or-string") and "type" in node), path
        assert not FORBIDDEN & node.keys(), path
        assert not ("properties" in node and "additionalProperties" in node), path
        for junctor in (each for key in JUNCTORS for each in node.get(key, ())):
            assert set(junctor) == {"required"}, path
        if node.get("type") == "array":
            assert "items" in node, path


def test_r11_everything_is_bounded() -> None:
    """The server has to know how dear its rules can become, and a status fits into what it stores."""
    for path, node in nodes(SCHEMA):
        if node.get("type") == "array":
            assert node.get("maxItems", 10_000) <= 300, path
        elif isinstance(node.get("additionalProperties"), dict):
            assert node["maxProperties"] <= 5_000, path
        elif node.get("type") == "string" and "enum" not in node and node.get("format") != "date-time":
            assert "maxLength" in node or path in {".apiVersion", ".kind"}, path


ANY_DEPTH = {
    ".spec.gates[]": "a line or a mapping; no structural schema can say which keys a value of no type has",
    ".spec.stages[].gates[]": "likewise",
    ".spec.stable.ready": "a path or a mapping",
    ".spec.canary.ready": "likewise",
    ".status.state": "written by the operator alone, and read within bounds",
}
"""What the server takes however deep it is. Whoever lists and watches reads it all the same (`test_depth.py`), and the
operator refuses such a plan by a sentence."""


def levels(node: Node, path: str = "") -> int:
    """Levels of the deepest value that the schema takes there."""
    inner = [levels(child, f"{path}.{key}") for key, child in node.get("properties", {}).items()]
    for key, most, below in (("items", "maxItems", "[]"), ("additionalProperties", "maxProperties", "{}")):
        if isinstance(node.get(key), dict):
            inner.append(levels(node[key], path + below))
        elif node.get("x-kubernetes-preserve-unknown-fields") and path not in ANY_DEPTH:
            # Without a type it may be a list or a mapping, unless nothing is in those.
            assert node.get(most) == 0, path
    may_hold = bool(inner) or node.get("type") in {"array", "object"} or "maxItems" in node
    return 1 + max(inner, default=0) if may_hold else 0


def test_r3_the_server_takes_nothing_that_is_deeper_than_a_plan() -> None:
    """But for what is named here, and why."""
    found = dict(nodes(SCHEMA))
    assert ANY_DEPTH.keys() <= found.keys()
    assert all(found[path].get("x-kubernetes-preserve-unknown-fields") for path in ANY_DEPTH)
    assert 5 < levels(SCHEMA) < 12


def test_every_field_is_explained() -> None:
    """`kubectl explain` reads like documentation."""
    fields = [(path, node) for path, node in nodes(SCHEMA) if path and not path.endswith(("[]", "{}", ".metadata"))]
    assert len(fields) > 200
    assert [path for path, node in fields if not node.get("description")] == []


def test_every_rule_has_a_sentence() -> None:
    rules = [rule for _, node in nodes(SCHEMA) for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) > 50
    assert [rule for rule in rules if len(rule["message"]) < 15 or "\n" in rule["message"]] == []


def test_what_people_see_of_a_rollout_stands_in_columns() -> None:
    """`kubectl get mcan -w` shows phase, weight, stage, verdict, reason and age, all of which the status has."""
    [version] = custom_resource_definition()["spec"]["versions"]
    shown = [each["name"] for each in version["additionalPrinterColumns"] if not each.get("priority")]
    assert shown == ["Phase", "Weight", "Stage", "Verdict", "Reason", "Age"]
    for column in version["additionalPrinterColumns"]:
        if column["jsonPath"] == ".metadata.creationTimestamp":
            continue
        node = SCHEMA
        for key in column["jsonPath"].strip(".").split("."):
            node = node["properties"][key]
        assert node["type"] == "string"
    assert version["subresources"] == {"status": {}}


def test_r11_the_file_in_manifests_is_what_the_models_say() -> None:
    """Made again by `serinus schema --crd > manifests/crd/modelcanaries.serinus.dev.yaml`."""
    from controlplane.cli.schema import crd_as_yaml

    kept = (ROOT / "manifests" / "crd" / "modelcanaries.serinus.dev.yaml").read_text(encoding="utf-8")
    assert kept == crd_as_yaml()
    assert yaml.safe_load(kept) == json.loads(json.dumps(custom_resource_definition()))
    # `kubectl apply` without --server-side keeps a copy in an annotation, and these have an end.
    assert len(json.dumps(custom_resource_definition())) < 200_000


def test_r11_defaults_that_the_server_writes_change_no_plan() -> None:
    """A plan is the same before and after the server has written them into it."""

    def filled(node: Node, value: Any) -> Any:
        if isinstance(value, list):
            return [filled(node.get("items", {}), each) for each in value]
        if not isinstance(value, dict):
            return value
        known = node.get("properties", {})
        missing = {key: each["default"] for key, each in known.items() if "default" in each and key not in value}
        return {key: filled(known.get(key, {}), each) for key, each in value.items()} | missing

    plan = sound()
    complete = {**plan, "spec": filled(SCHEMA["properties"]["spec"], plan["spec"])}
    assert complete["spec"]["maxBlind"] == "5m"
    assert complete["spec"]["platform"]["kserve"]["mode"] == "standard"
    assert from_object(complete) == from_object(plan)
    STRICT.validate(complete)


def test_an_example_is_a_resource() -> None:
    text = (ROOT / "manifests" / "examples" / "four-week.canary.yml").read_text(encoding="utf-8")
    root, _ = read(Source("x.yml", text))
    assert root is not None
    STRICT.validate(native(root.plain()))


@given(resources())
@settings(deadline=None)
def test_r11_what_runs_in_a_cluster_has_the_types_of_the_schema(object_: dict[str, Any]) -> None:
    """Nothing that the operator would carry out is refused at the door; so what is refused there, it refuses too."""
    if not refusals(object_):
        STRICT.validate(without_nulls(object_))


def without_nulls(value: Any) -> Any:
    """The server takes them for fields that were left out."""
    if isinstance(value, dict):
        return {key: without_nulls(child) for key, child in value.items() if child is not None}
    return [without_nulls(child) for child in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", [*FAULTS, *ONLY_PARSED])
def test_a_fault_is_found_with_its_path(name: str) -> None:
    path, value, where = (FAULTS | ONLY_PARSED)[name]
    base = changed(sound(), "spec.stable.uri", "hf://a/b") if name == "a canary that is stable" else sound()
    found = refusals(changed(base, path, value))
    assert [fault for fault in found if fault.path.startswith(where)], found
    assert all(fault.line == 0 or fault.excerpt == "" for fault in found)


def test_a_sound_plan_is_no_fault() -> None:
    assert refusals(sound()) == ()
    STRICT.validate(sound())


def test_a_type_that_a_cluster_does_not_know_is_noticed_when_the_schema_is_made() -> None:
    with pytest.raises(TypeError, match=re.escape("set[str]")):
        of_type(set[str])
