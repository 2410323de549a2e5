"""The plan of a ModelCanary resource: the same rules as for a file, with faults that name fields and no lines.

Called by the operator with the object as the API server holds it, and by whoever has a resource as JSON. Numbers mean
what they would mean in a file, since `kubectl apply` made them of a file: `hold: 30` has no unit here either. What the
server adds (`status`, `metadata.uid`, managed fields) is not looked at, and neither are annotations, which are no part
of a plan. The server checked the object against the schema of `crd.py`; everything is checked again here, because the
schema knows less and an older one may be installed.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from canary.errors import Fault, SpecError
from canary.spec.models import ModelCanary
from canary.spec.parse import Document, in_order, understood
from canary.spec.reader import CHARACTER_LIMIT, DEPTH_LIMIT, NODE_LIMIT, of_python
from canary.spec.source import Place, Plain, Source

KIND = "ModelCanary"
OMITTED = "serinus.dev/omitted"
"""In place of a spec that is not kept: sentences about why it cannot be carried out. No owner can write this key."""
METADATA = ("name", "namespace", "labels")
"""The metadata that a plan is made of."""


def from_object(object_: Mapping[str, Any]) -> ModelCanary:
    """The plan of a resource. Raises `SpecError`: every fault with its path, and without line or column."""
    return document_of(object_).canary


def document_of(object_: Mapping[str, Any]) -> Document:
    """Like `from_object`, with the tree that further checks need; their faults go through `without_lines`."""
    place = Place(Source(title(object_), ""))
    if why := omitted(object_):
        raise SpecError(tuple(Fault(place.source.file, 0, 0, "", sentence) for sentence in why))
    if wrong := [path for path, value in _metadata_texts(object_) if not isinstance(value, str)]:
        raise SpecError(tuple(Fault(place.source.file, 0, 0, path, "expected a text in quotes") for path in wrong))
    try:
        root = of_python(_Counted().as_written(_said(object_)), place)
        return understood(root, "full", [])
    except _TooMuch as error:
        raise SpecError((Fault(place.source.file, 0, 0, "", str(error)),)) from None
    except SpecError as error:
        raise SpecError(without_lines(error.faults)) from None


def at_rest(object_: Mapping[str, Any]) -> bool:
    """Whether it names nothing to try: its canary says what its stable says, as git has it after a rollout.

    The server takes such a resource, though there is no plan in it: it is not an invalid one, either.
    """
    spec = object_.get("spec")
    return isinstance(spec, Mapping) and spec.get("canary") is not None and spec["canary"] == spec.get("stable")


def omitted(object_: Mapping[str, Any]) -> tuple[str, ...]:
    """Why the spec of a resource was not kept; empty where it was."""
    spec = object_.get("spec")
    said = spec.get(OMITTED) if isinstance(spec, Mapping) else None
    return tuple(str(each) for each in said) if isinstance(said, list | tuple) else ()


def without_spec(object_: Mapping[str, Any], why: Sequence[str]) -> dict[str, Any]:
    """The resource with these sentences in place of its spec, for whoever has no room for it."""
    return {**object_, "spec": {OMITTED: list(why)}}


def excess(object_: Mapping[str, Any]) -> str:
    """What is too much of a resource for any plan, as a clause; empty where it may be one. Stops at the bounds."""
    try:
        _Counted().as_written(_said(object_))
    except _TooMuch as error:
        return str(error)
    return ""


def title(object_: Mapping[str, Any]) -> str:
    """What messages call it: `ModelCanary models/support-llm`."""
    metadata = object_.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    parts = [str(named[key]) for key in ("namespace", "name") if named.get(key)]
    return f"{KIND} {'/'.join(parts)}".strip()


def without_lines(faults: tuple[Fault, ...]) -> tuple[Fault, ...]:
    """The same faults, saying nothing of lines that no one can look up."""
    return in_order([replace(fault, line=0, column=0, excerpt="") for fault in faults])


def _said(object_: Mapping[str, Any]) -> dict[str, Any]:
    """What its owner said: everything but what the server and other programs keep there."""
    said = {key: value for key, value in object_.items() if key != "status"}
    metadata = said.get("metadata")
    if isinstance(metadata, Mapping):
        said["metadata"] = {key: metadata[key] for key in METADATA if key in metadata}
    return said


def _metadata_texts(object_: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What has to be text in any Kubernetes object, by its path: no server takes `name: true` for "true"."""
    metadata = object_.get("metadata")
    named = metadata if isinstance(metadata, Mapping) else {}
    yield from ((f"metadata.{key}", named[key]) for key in ("name", "namespace") if named.get(key) is not None)
    labels = named.get("labels")
    if isinstance(labels, Mapping):
        yield from ((f"metadata.labels.{key}", value) for key, value in labels.items())


class _TooMuch(Exception):  # noqa: N818 - ends the reading; never leaves this module
    """More than a plan can hold."""


class _Counted:
    """Turns JSON into what a file would hold, and stops where the reader of files would."""

    def __init__(self) -> None:
        self._nodes = 0
        self._characters = 0

    def as_written(self, value: Any, depth: int = 0) -> Any:
        """Numbers and booleans as raw text whose type a field decides; texts stay what they are."""
        self._nodes += 1
        if depth > DEPTH_LIMIT or self._nodes > NODE_LIMIT or self._characters > CHARACTER_LIMIT:
            raise _TooMuch(
                f"has more than {DEPTH_LIMIT} levels, {NODE_LIMIT:,} values or {CHARACTER_LIMIT:,} characters;"
                " no plan needs that"
            )
        if isinstance(value, Mapping):
            self._characters += sum(len(str(key)) for key in value)
            return {str(key): self.as_written(child, depth + 1) for key, child in value.items()}
        if isinstance(value, list | tuple):
            return [self.as_written(child, depth + 1) for child in value]
        if isinstance(value, str):
            self._characters += len(value)
            return value
        if isinstance(value, bool | int | float):
            return Plain(json.dumps(value))
        if value is None:
            return None
        raise TypeError(f"JSON holds no {type(value).__name__}")
