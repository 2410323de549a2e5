"""What a file says and a cluster would read otherwise: `kubectl` reads YAML by older rules, and a resource has one type
for each field.

Used by `cluster.py`. To this reader of files `1.10` is a text where a text is wanted, and `on` always is one; `kubectl`
makes a number of the first (1.1) and true of the second before the server sees them. The server refuses most of that,
but in its own words and without a line; some it would take for something else.
"""

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from canary.errors import Fault
from canary.spec.faults import dotted
from canary.spec.reader import Node
from canary.spec.source import Plain, quoted
from canary.spec.units import native

Path = tuple[str | int, ...]
_SWITCHES = re.compile(r"[yY]|yes|Yes|YES|[nN]|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF")
_WHOLE = re.compile(r"[-+]?(0[xX][0-9a-fA-F_]+|0[bB][01_]+|0[oO]?[0-7_]+|[0-9][0-9_]*)")
_NUMBER = re.compile(
    r"[-+]?(\.[0-9_]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)


WORDS = {"boolean": "switch", "integer": "whole number", "number": "number", "string": "text"}


def kubectl_reads(text: str) -> str:
    """What `kubectl` makes of an unquoted text: `boolean`, `integer`, `number` or `string`."""
    if _SWITCHES.fullmatch(text):
        return "boolean"
    if _WHOLE.fullmatch(text):
        return "integer"
    if not _NUMBER.fullmatch(text):
        return "string"
    named = text.strip("+-").startswith((".i", ".I", ".n", ".N"))
    # What is too large for a number stays a text: the digest 12e34567.
    return "number" if named or math.isfinite(float(text.replace("_", ""))) else "string"


def read_otherwise(root: Node) -> Iterator[Fault]:
    """Every value and key that would arrive as something else, or not at all."""
    yield from _unquoted_keys(root, ())
    spec = root.get("spec")
    if spec is not None:
        yield from _values(spec, _spec_schema(), ("spec",))


@cache
def _spec_schema() -> Mapping[str, Any]:
    from canary.spec.crd_schema import of_model
    from canary.spec.models import CanarySpec

    return of_model(CanarySpec)


def _unquoted_keys(node: Node, path: Path) -> Iterator[Fault]:
    """`on:` is true to `kubectl`, and then a key that nobody knows."""
    if isinstance(node.value, tuple):
        for index, child in enumerate(node.value):
            yield from _unquoted_keys(child, (*path, index))
    if not isinstance(node.value, dict):
        return
    for key, child in node.value.items():
        if child.key is not None and _SWITCHES.fullmatch(key):
            written = child.key.source.characters[child.key.index : child.key.index + 1]
            if written and written not in {'"', "'"}:
                message = f'kubectl reads the key {key} as a switch; write "{key}": in quotes'
                yield child.key.fault(dotted((*path, key)), message)
        yield from _unquoted_keys(child, (*path, key))


def _values(node: Node, schema: Mapping[str, Any], path: Path) -> Iterator[Fault]:
    """The values below a node against the types that the resource has there."""
    if isinstance(node.value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", {})
        free = schema.get("x-kubernetes-preserve-unknown-fields", False)
        for key, child in node.value.items():
            inner = known.get(key) or others or ({"x-kubernetes-preserve-unknown-fields": True} if free else {})
            yield from _values(child, inner, (*path, key))
    elif isinstance(node.value, tuple):
        inner = schema.get("items") or schema
        for index, child in enumerate(node.value):
            yield from _values(child, inner, (*path, index))
    elif isinstance(node.value, str) and (message := _misread(node.value, schema)):
        yield node.place.fault(dotted(path), message)


def _misread(value: str, schema: Mapping[str, Any]) -> str:
    """What is wrong with one value; empty where the cluster reads what was meant."""
    wanted = "int-or-text" if schema.get("x-kubernetes-int-or-string") else schema.get("type", "")
    if not isinstance(value, Plain):
        if wanted in {"integer", "boolean"}:
            kind = "a whole number" if wanted == "integer" else "true or false"
            return f"expected {kind} without quotes, got the text {quoted(str(value))}"
        return ""
    read = kubectl_reads(value)
    if wanted == "string" and read != "string":
        return f"{value} arrives in a cluster as a {WORDS[read]}; write it in quotes"
    if wanted == "int-or-text" and read in {"number", "boolean"}:
        return f"{value} arrives in a cluster as a {WORDS[read]}; write it in quotes"
    if (
        schema.get("x-kubernetes-preserve-unknown-fields")
        and not wanted
        and read != "string"
        and native(value) == value
    ):
        return f"{value} arrives in a cluster as a {WORDS[read]}; write it in quotes"
    return ""
