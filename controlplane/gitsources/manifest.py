"""From a canary.yml in git to the ModelCanary of a cluster: the same text, with the types of the resource's schema.

Called by `plans.py` for each file that changed. Pure. `1.10` stays a text where the resource wants one, which is more
than a general reader of YAML could know.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from canary.spec import Source
from canary.spec.crd import schema
from canary.spec.dialects import form_of, full_form
from canary.spec.reader import Node, read
from canary.spec.source import Plain
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import MODEL_CANARY

_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_TRUTHS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
METADATA = ("name", "labels")
"""What a file may say of the object besides its spec. Annotations and all else are for those who own the cluster."""


def resource_of(root: Node, settings: Source | None) -> Object | None:
    """The resource that a file's tree means, without a namespace; None for one that is no mapping."""
    if not isinstance(root.value, dict):
        return None
    form = form_of(root)
    if form != "full":
        root, _ = full_form(root, form, read(settings)[0] if settings is not None else None, None)
    metadata, spec = root.get("metadata"), root.get("spec")
    if metadata is None or spec is None:
        return None
    kept = {key: node.plain() for key in METADATA if (node := metadata.get(key)) is not None}
    return {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "metadata": {key: _texts(value) for key, value in kept.items()},
        "spec": _typed(spec, _schema()["properties"]["spec"]),
    }


@cache
def _schema() -> Mapping[str, Any]:
    return schema()


def _typed(node: Node, wanted: Mapping[str, Any]) -> Any:
    """A value with the types that the schema has for it; as YAML means it where the schema leaves that open."""
    if isinstance(node.value, dict):
        properties, others = wanted.get("properties") or {}, wanted.get("additionalProperties")
        rest = others if isinstance(others, Mapping) else {}
        # A key without a value says nothing; the server would refuse null where a file may leave it.
        told = {key: child for key, child in node.value.items() if child.value is not None}
        return {key: _typed(child, properties.get(key, rest)) for key, child in told.items()}
    if isinstance(node.value, tuple):
        return [_typed(child, wanted.get("items") or {}) for child in node.value]
    if isinstance(node.value, Plain):
        return _scalar(str(node.value), wanted)
    return node.value


def _scalar(text: str, wanted: Mapping[str, Any]) -> Any:
    """What stood without quotes."""
    kind = wanted.get("type")
    if kind == "string":
        return text
    if text in _TRUTHS and kind in {None, "boolean"} and not wanted.get("x-kubernetes-int-or-string"):
        return _TRUTHS[text]
    if _INTEGER.fullmatch(text) and kind in {None, "integer", "number"}:
        return int(text)
    if _NUMBER.fullmatch(text) and kind in {None, "number"} and not wanted.get("x-kubernetes-int-or-string"):
        return float(text)
    return text


def _texts(value: Any) -> Any:
    """Names and labels are texts, whatever they look like."""
    if isinstance(value, dict):
        return {key: "" if each is None else str(each) for key, each in value.items()}
    return str(value)
