"""What an API server with our CustomResourceDefinitions does to a write, for the one in memory, which knows no schema.

Fields that the schema does not name are dropped, what does not fit is refused. Rules (CEL) and defaults are left out.
Of the kinds of KServe and the Gateway API only the shape is known of what Serinus reads.
"""

from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from controlplane.kubernetes.api import Rejected
from testing.fake_apiserver.kube import Admission

FOLDER = Path(__file__).parents[3] / "manifests" / "crd"
Node = dict[str, Any]


def _object(**properties: Node) -> Node:
    return {"type": "object", "properties": properties, "x-kubernetes-preserve-unknown-fields": True}


def _list(items: Node) -> Node:
    return {"type": "array", "items": items}


TEXT, NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
BACKENDS = _list(_object(name=TEXT, weight=NUMBER, namespace=TEXT))
RULES = _list(_object(backendRefs=BACKENDS, matches=_list(_object()), filters=_list(_object())))
MODEL = _object(storageUri=TEXT, runtime=TEXT, resources=_object())
OTHERS = {
    ("gateway.networking.k8s.io", "httproutes"): _object(
        spec=_object(parentRefs=_list(_object(name=TEXT, namespace=TEXT)), hostnames=_list(TEXT), rules=RULES)
    ),
    ("serving.kserve.io", "inferenceservices"): _object(
        spec=_object(predictor=_object(model=MODEL, minReplicas=NUMBER, containers=_list(_object())))
        | {"required": ["predictor"]}
    ),
    ("serving.kserve.io", "servingruntimes"): _object(spec=_object(containers=_list(_object(name=TEXT, image=TEXT)))),
    ("", "pods"): _object(spec=_object(containers=_list(_object(name=TEXT, image=TEXT)))),
}
"""Shapes of the kinds of others."""


@cache
def schemas() -> dict[tuple[str, str], tuple[Node, jsonschema.Draft202012Validator]]:
    """By group and plural, each definition's schema."""
    found = {key: (node, jsonschema.Draft202012Validator(_plain(node))) for key, node in OTHERS.items()}
    for file in FOLDER.glob("*.serinus.dev.yaml"):
        spec = yaml.safe_load(file.read_text())["spec"]
        node = spec["versions"][0]["schema"]["openAPIV3Schema"]
        found[spec["group"], spec["names"]["plural"]] = node, jsonschema.Draft202012Validator(_plain(node))
    return found


def admit(write: Admission) -> None:
    """A hook for `MemoryKube.admit`."""
    known = schemas().get((write.resource.group, write.resource.plural))
    if known is None or write.after is None:
        return
    node, validator = known
    pruned = _pruned(write.after, node)
    if (fault := next(iter(validator.iter_errors(pruned)), None)) is not None:
        raise Rejected(f"{write.resource.kind} is invalid: {fault.json_path}: {fault.message[:200]}")
    write.after.clear()
    write.after.update(pruned)


def _pruned(value: Any, node: Node) -> Any:
    """The value without what the schema does not name."""
    if isinstance(value, list) and isinstance(node.get("items"), dict):
        return [_pruned(each, node["items"]) for each in value]
    if not isinstance(value, dict) or node.get("type") != "object":
        return value
    properties, others = node.get("properties", {}), node.get("additionalProperties")
    if not properties and not isinstance(others, dict):
        return value
    kept = {key: _pruned(child, properties[key]) for key, child in value.items() if key in properties}
    if isinstance(others, dict):
        kept |= {key: _pruned(child, others) for key, child in value.items() if key not in properties}
    elif node.get("x-kubernetes-preserve-unknown-fields"):
        kept |= {key: child for key, child in value.items() if key not in properties}
    return kept


def _plain(node: Node) -> Node:
    """As JSON Schema: what a server calls an integer or a string."""
    made = {key: value for key, value in node.items() if not key.startswith("x-")}
    if "properties" in node:
        made["properties"] = {key: _plain(child) for key, child in node["properties"].items()}
    for key in ("items", "additionalProperties"):
        if isinstance(node.get(key), dict):
            made[key] = _plain(node[key])
    if node.get("x-kubernetes-int-or-string"):
        made["type"] = ["integer", "string"]
    if node.get("nullable"):
        made = {"anyOf": [made, {"type": "null"}]}
    return made
