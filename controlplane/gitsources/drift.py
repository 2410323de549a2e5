"""Where a ModelCanary says something else than its file, who wrote that, and how its fields come back to git. Pure.

Used by `drift_repair.py`. Defaults that the API server adds are nobody's change. Fields change hands as `kubectl` and
other tools do it: what somebody added belongs to git's field manager then, whose next server-side apply leaves it out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from canary.spec.crd import schema
from controlplane.gitsources.provenance import MANAGER
from controlplane.kserve.drift import Path, foreign_fields, last_writer, value_at
from controlplane.kubernetes.api import FIELD_MANAGER, Object
from controlplane.kubernetes.resources import MODEL_CANARY

OURS = frozenset({MANAGER, FIELD_MANAGER})


def says_the_same(live: Object, made: Object) -> bool:
    """Whether the whole spec is what the file says, with the schema's defaults or without. Cheap."""
    return live.get("spec") in (made["spec"], with_defaults(made["spec"]))


def with_defaults(spec: Any) -> Any:
    """The spec as an API server with our schema keeps it."""
    return _defaulted(spec, schema()["properties"]["spec"])


def changes(live: Object, made: Object) -> Mapping[Path, str]:
    """Paths under `spec` that are not as they were made, with the manager who wrote them (empty: unknown).

    `live` has its `managedFields`. What nobody else owns and the file does not speak of is a default of some schema.
    """
    spec, kept = made["spec"], with_defaults(made["spec"])
    found = {
        path: manager
        for manager, path in foreign_fields(live, OURS)
        if value_at(live["spec"], path) not in (value_at(spec, path), value_at(kept, path))
    }
    for path in _different(live["spec"], spec, kept):
        if not any(_within(path, each) or _within(each, path) for each in found):
            found[path] = last_writer(live, OURS)
    return found


def handed_over(live: Object) -> list[Object] | None:
    """`managedFields` with everything of the spec in git's name; None where nobody else has any of it."""
    theirs = [entry for entry in live["metadata"].get("managedFields") or () if _is_theirs(entry)]
    if not theirs:
        return None
    kept: list[Object] = []
    fields: Mapping[str, Any] = {}
    for entry in live["metadata"]["managedFields"]:
        if entry in theirs:
            fields = _merged(fields, entry["fieldsV1"]["f:spec"])
            rest = {name: value for name, value in entry["fieldsV1"].items() if name != "f:spec"}
            if rest:
                kept.append({**entry, "fieldsV1": rest})
        else:
            kept.append(entry)
    mine = next((entry for entry in kept if _is_of_git(entry)), None)
    if mine is None:
        kept.append({**_NOBODYS, "fieldsV1": {"f:spec": fields}})
        return kept
    own = mine["fieldsV1"]
    after = {**mine, "fieldsV1": {**own, "f:spec": _merged(own.get("f:spec", {}), fields)}}
    return [after if entry is mine else entry for entry in kept]


_NOBODYS: Object = {
    "manager": MANAGER,
    "operation": "Apply",
    "apiVersion": MODEL_CANARY.api_version,
    "fieldsType": "FieldsV1",
}


def _is_theirs(entry: Object) -> bool:
    return (
        entry.get("manager") not in OURS and not entry.get("subresource") and "f:spec" in (entry.get("fieldsV1") or {})
    )


def _is_of_git(entry: Object) -> bool:
    return (entry.get("manager"), entry.get("operation"), entry.get("subresource", "")) == (MANAGER, "Apply", "")


def _merged(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Both sets of fields."""
    merged = dict(one)
    for name, inner in other.items():
        merged[name] = _merged(merged.get(name, {}), inner)
    return merged


def _defaulted(value: Any, wanted: Mapping[str, Any]) -> Any:
    """A value with what the schema adds to it."""
    if isinstance(value, Mapping):
        properties = wanted.get("properties") or {}
        others = wanted.get("additionalProperties")
        rest = others if isinstance(others, Mapping) else {}
        given = {key: _defaulted(each, properties.get(key, rest)) for key, each in value.items()}
        added = {key: each["default"] for key, each in properties.items() if "default" in each and key not in given}
        return {**given, **{key: _defaulted(each, properties[key]) for key, each in added.items()}}
    if isinstance(value, list):
        return [_defaulted(each, wanted.get("items") or {}) for each in value]
    return value


def _different(live: Any, made: Any, kept: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of what was made and stands there otherwise, or not at all; a list is one field."""
    if isinstance(made, Mapping) and isinstance(live, Mapping):
        for name, value in made.items():
            yield from _different(live.get(name), value, kept[name], (*path, name))
    elif live not in (made, kept):
        yield path


def _within(path: Path, other: Path) -> bool:
    return path[: len(other)] == other
