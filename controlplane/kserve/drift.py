"""What somebody else changed: fields of a variant's objects that are not as they were made, and by whom.

Called by the platforms. Every write to a cluster leaves the writer's name beside the fields that it changed
(`managedFields`), so a change can be named even where it only adds something. Values that KServe itself rewrites
(`1024Mi` to `1Gi`) are nobody's change. Pure.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canary.weights import Arm
from controlplane.kubernetes.api import FIELD_MANAGER, Object

Path = tuple[str, ...]
OURS = frozenset({FIELD_MANAGER})
"""Field managers whose writes are no drift."""
PLAIN: Mapping[str, tuple[Path, ...]] = {
    "InferenceService": (
        ("predictor", "minReplicas"),
        ("predictor", "model", "runtime"),
        ("predictor", "model", "storageUri"),
        ("predictor", "model", "args"),
    ),
    "ServingRuntime": (("containers",),),
}
"""Fields that nobody but a person rewrites; a removed one leaves no name behind, so they are compared by value."""


@dataclass(frozen=True, slots=True)
class FieldDrift:
    """One object that is not as it was made."""

    arm: Arm
    kind: str
    name: str
    fields: tuple[str, ...]
    """Dotted paths, such as `spec.predictor.model.args`."""
    manager: str
    """The writer's name; empty where nobody's is left."""
    sentence: str
    repairable: bool
    """Whether Serinus may put it back: only what it made, and only the canary's."""


def changed_fields(live: Object, made: Object) -> dict[Path, str]:
    """Paths under `spec` that are not as they were made, with the manager who wrote them (empty: unknown)."""
    found = touched_fields(live, made)
    for path in PLAIN.get(str(made["kind"]), ()):
        if any(each[: len(path)] == path for each in found):
            continue
        if not _holds(value_at(live["spec"], path), value_at(made["spec"], path)):
            found[path] = last_writer(live)
    return found


def touched_fields(live: Object, made: Object) -> dict[Path, str]:
    """Those of them whose writer left a name: what was removed is not among them."""
    return {
        path: manager
        for manager, path in foreign_fields(live)
        if value_at(live["spec"], path) != value_at(made["spec"], path)
    }


def report(
    arm: Arm, kind: str, live: Object, changed: Mapping[Path, str], then: str, *, repairable: bool
) -> FieldDrift:
    """These changes of one object, and what happens next."""
    name, managers = str(live["metadata"]["name"]), sorted({manager for manager in changed.values() if manager})
    fields = tuple(dotted(path) for path in changed)
    return FieldDrift(arm, kind, name, fields, " and ".join(managers), sentence(kind, name, changed, then), repairable)


def foreign_fields(object_: Object, ours: Collection[str] = OURS) -> Iterator[tuple[str, Path]]:
    """Manager and path under `spec` of everything that somebody else wrote."""
    for entry in object_["metadata"].get("managedFields") or ():
        if entry.get("manager") not in ours and not entry.get("subresource"):
            fields = entry.get("fieldsV1") or {}
            for path in _paths(fields["f:spec"]) if "f:spec" in fields else ():
                yield str(entry.get("manager", "")), path


def sentence(kind: str, name: str, changed: Mapping[Path, str], then: str) -> str:
    """`InferenceService chat-nf4 was changed by kubectl-edit (spec.predictor.model.args); it is put back.`"""
    managers = sorted({manager for manager in changed.values() if manager})
    by = f" by {' and '.join(managers)}" if managers else " by somebody"
    return f"{kind} {name} was changed{by} ({', '.join(dotted(path) for path in changed)}); {then}."


def dotted(path: Path) -> str:
    """As people write it."""
    return ".".join(("spec", *path))


def _paths(fields: Mapping[str, Any], path: Path = ()) -> Iterator[Path]:
    """Paths of mappings; a list is one field, whatever of it was changed."""
    names = [name for name in fields if name != "."]
    if not names or any(not name.startswith("f:") for name in names):
        yield path
        return
    for name in names:
        yield from _paths(fields[name], (*path, name.removeprefix("f:")))


def value_at(value: Any, path: Path) -> Any:
    """What stands there; None where nothing does."""
    for step in path:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


def _holds(live: Any, made: Any) -> bool:
    """Whether all that was made is still there; the API server adds defaults inside of lists of mappings."""
    if isinstance(made, Mapping):
        return isinstance(live, Mapping) and all(_holds(live.get(name), value) for name, value in made.items())
    if isinstance(made, list):
        return isinstance(live, list) and len(live) == len(made) and all(map(_holds, live, made))
    return bool(live == made)


def last_writer(object_: Object, ours: Collection[str] = OURS) -> str:
    """Who wrote last beside us and the controllers' status; a removed field keeps no owner."""
    entries = [
        entry
        for entry in object_["metadata"].get("managedFields") or ()
        if entry.get("manager") not in ours and not entry.get("subresource")
    ]
    last: Mapping[str, Any] = max(entries, key=lambda entry: str(entry.get("time", "")), default={})
    return str(last.get("manager", ""))
