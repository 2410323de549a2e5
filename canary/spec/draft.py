"""What can be understood of a file, even while other parts of it are at fault: the food of `checks.py`.

Made by `parse.py` from the tree. A part that cannot be read is absent here (its fault is reported elsewhere), so that
one wrong number hides no other fault.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from canary.spec.base import LONGEST_LIST
from canary.spec.faults import Path, dotted, place_of
from canary.spec.gates import Gate, GateField
from canary.spec.models import Budget, Evaluation, LocalPlatform, Platform, Shadow, Variant
from canary.spec.reader import Node
from canary.spec.source import Place
from canary.spec.units import Seconds, Share

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class DraftGate:
    """A gate that can be read, and where it stands."""

    path: Path
    gate: Gate


@dataclass(frozen=True, slots=True)
class DraftStage:
    """A stage as far as it can be read."""

    path: Path
    traffic: float | None
    hold: float | None
    gates: tuple[DraftGate, ...]


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan as far as it can be read."""

    root: Node
    stable: Variant | None
    canary: Variant | None
    platform: Platform | None
    stages: tuple[DraftStage, ...]
    gates: tuple[DraftGate, ...]
    evaluation: Evaluation | None
    shadow: Shadow | None
    budget: Budget | None
    model_uri: str | None

    def place(self, path: Path, *, key: bool = False) -> Place:
        """Where a path stands in the file."""
        return place_of(self.root, path, key=key)

    def whereabouts(self, path: Path) -> str:
        """Where a path stands, for a sentence: `line 12`, or the path itself where there are no lines."""
        place = self.place(path)
        return f"line {place.line}" if place.source.characters else dotted(path)


def draft(root: Node) -> Draft:
    """The readable parts of a full form."""
    stages = root.get("spec", "stages")
    listed = stages.value[:LONGEST_LIST] if stages is not None and isinstance(stages.value, tuple) else ()
    uri = root.get("spec", "model", "uri")
    platform = root.get("spec", "platform")
    return Draft(
        root=root,
        stable=_read(Variant, root, ("spec", "stable")),
        canary=_read(Variant, root, ("spec", "canary")),
        platform=_read(Platform, root, ("spec", "platform")) if platform else Platform(local=LocalPlatform()),
        stages=tuple(_stage(root, ("spec", "stages", index)) for index in range(len(listed))),
        gates=_gates(root, ("spec", "gates")),
        evaluation=_read(Evaluation, root, ("spec", "evaluation")),
        shadow=_read(Shadow, root, ("spec", "shadow")),
        budget=_read(Budget, root, ("spec", "budget")),
        model_uri=str(uri.value) if uri is not None and isinstance(uri.value, str) else None,
    )


def _stage(root: Node, path: Path) -> DraftStage:
    hold: float | None = _read(Seconds, root, (*path, "hold"))
    return DraftStage(path, _read(Share, root, (*path, "traffic")), hold, _gates(root, (*path, "gates")))


def _gates(root: Node, path: Path) -> tuple[DraftGate, ...]:
    """The readable gates of a list."""
    listed = root.get(*path)
    if listed is None or not isinstance(listed.value, tuple):
        return ()
    read = [
        ((*path, index), _read(GateField, root, (*path, index))) for index in range(len(listed.value[:LONGEST_LIST]))
    ]
    return tuple(DraftGate(where, gate) for where, gate in read if gate is not None)


def _read(kind: Any, root: Node, path: Path) -> Any:
    """The value at a path, or None where there is none or it is at fault."""
    node = root.get(*path)
    if node is None:
        return None
    try:
        return _adapter(kind).validate_python(node.plain(), by_alias=True, by_name=False)
    except ValidationError:
        return None


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
