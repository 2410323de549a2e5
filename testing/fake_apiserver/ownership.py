"""Who owns which field: server-side apply and `managedFields`, near enough to the real thing for our use. Pure.

Used by `kube.py`. Mappings are owned leaf by leaf; a list is one leaf (as in HTTPRoutes and InferenceServices, whose
lists are atomic or always written whole by us), so the keyed lists of pods and Services are not modelled.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from testing.fake_apiserver.patches import copied

Path = tuple[str, ...]
UNOWNED = frozenset({"apiVersion", "kind"})
"""The server's own, or the object's address: nobody owns them."""
UNOWNED_METADATA = frozenset(
    {
        "name",
        "namespace",
        "uid",
        "resourceVersion",
        "generation",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
        "managedFields",
    }
)
MEANT = ("name", "namespace", "uid", "resourceVersion")
"""Metadata by which a writer says which object, and which state of it, is meant."""


class Contested(Exception):  # noqa: N818 - what the fields are
    """Somebody else owns fields that an apply wants otherwise. `str()` is the API server's own sentence."""


@dataclass(slots=True)
class Owner:
    """One entry of `managedFields`."""

    manager: str
    operation: Literal["Apply", "Update"]
    api_version: str
    subresource: str = ""
    time: str = ""
    paths: set[Path] = field(default_factory=set)

    @classmethod
    def read(cls, entry: Mapping[str, Any]) -> Self:
        """From `metadata.managedFields[]`."""
        return cls(
            entry["manager"],
            entry["operation"],
            entry["apiVersion"],
            entry.get("subresource", ""),
            entry.get("time", ""),
            {path for path, _ in leaves(_plain(entry["fieldsV1"]))},
        )

    def entry(self) -> dict[str, Any]:
        """For `metadata.managedFields[]`."""
        fields: dict[str, Any] = {}
        for path in sorted(self.paths):
            inner = fields
            for step in path:
                inner = inner.setdefault(f"f:{step}", {})
        made = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "time": self.time,
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }
        return made | ({"subresource": self.subresource} if self.subresource else {})

    def named(self) -> str:
        """As the API server names it in a conflict."""
        name = f'"{self.manager}"'
        if self.subresource:
            name += f' with subresource "{self.subresource}"'
        return name if self.operation == "Apply" else f"{name} using {self.api_version} at {self.time}"


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Every field that can be owned, with its value: scalars, lists and empty mappings."""
    if not isinstance(value, Mapping) or (not value and path):
        yield path, value
        return
    for name, inner in value.items():
        if (not path and name in UNOWNED) or (path == ("metadata",) and name in UNOWNED_METADATA):
            continue
        yield from leaves(inner, (*path, name))


def applied(
    live: Mapping[str, Any], wanted: Mapping[str, Any], manager: str, now: str, *, force: bool, subresource: str = ""
) -> dict[str, Any]:
    """The object after a server-side apply: these fields, and none that this manager applied before and left out now.

    Raises `Contested` where another manager owns one of them with another value and `force` is not given.
    """
    fields, standing = dict(leaves(wanted)), dict(leaves(live))
    owners = _owners(live)
    mine = next((each for each in owners if (each.manager, each.operation) == (manager, "Apply")), None)
    others = [each for each in owners if each is not mine]
    lost = {
        id(each): {path for path in each.paths if _contested(path, fields, standing)} for each in others if each.paths
    }
    if any(lost.values()) and not force:
        raise Contested(_sentence([(each, lost[id(each)]) for each in others if lost.get(id(each))]))
    for each in others:
        each.paths -= lost.get(id(each), set())
    merged = copied(dict(live))
    if mine is not None:
        for path in mine.paths - fields.keys() - {path for each in others for path in each.paths}:
            _remove(merged, path)
    for path, value in fields.items():
        _set(merged, path, copied(value))
    # Nobody owns the address, nor which state the writer meant.
    merged |= {name: wanted[name] for name in ("apiVersion", "kind")}
    meant = {name: wanted["metadata"][name] for name in MEANT if name in wanted["metadata"]}
    merged["metadata"] = {**merged.get("metadata", {}), **meant}
    if mine is None:
        mine = Owner(manager, "Apply", wanted["apiVersion"], subresource)
        owners.append(mine)
    if mine.paths != fields.keys():
        mine.paths, mine.time = set(fields), now
    return _with_owners(merged, owners)


def updated(
    before: Mapping[str, Any], after: Mapping[str, Any], manager: str, now: str, *, subresource: str = ""
) -> dict[str, Any]:
    """The object after any other write: what changed belongs to this manager from now on.

    As on the real server a write may also say who owns what (`metadata.managedFields`), and is believed.
    """
    old, new = dict(leaves(before)), dict(leaves(after))
    changed = {path for path, value in new.items() if path not in old or old[path] != value}
    owners = _owners(after if "managedFields" in after.get("metadata", {}) else before)
    for each in owners:
        each.paths = {path for path in each.paths if path in new and path not in changed}
    if changed:
        key = (manager, "Update", subresource)
        mine = next((each for each in owners if (each.manager, each.operation, each.subresource) == key), None)
        if mine is None:
            mine = Owner(manager, "Update", after["apiVersion"], subresource)
            owners.append(mine)
        mine.paths |= changed
        mine.time = now
    return _with_owners(dict(after), owners)


def _contested(path: Path, fields: Mapping[Path, Any], standing: Mapping[Path, Any]) -> bool:
    if path in fields:
        return path in standing and standing[path] != fields[path]
    ours_is_leaf = any(value != {} and path[: len(each)] == each for each, value in fields.items())
    theirs_is_leaf = standing.get(path, {}) != {} and any(each[: len(path)] == path for each in fields)
    return ours_is_leaf or theirs_is_leaf


def _sentence(contested: list[tuple[Owner, set[Path]]]) -> str:
    many = sum(len(paths) for _, paths in contested)
    parts = []
    for owner, paths in contested:
        named = [f".{'.'.join(path)}" for path in sorted(paths)]
        if len(named) == 1:
            parts.append(f"conflict with {owner.named()}: {named[0]}")
        else:
            parts.append("\n".join([f"conflicts with {owner.named()}:", *(f"- {each}" for each in named)]))
    return f"Apply failed with {many} conflict{'s' * (many > 1)}: {chr(10).join(parts)}"


def _owners(object_: Mapping[str, Any]) -> list[Owner]:
    return [Owner.read(each) for each in object_.get("metadata", {}).get("managedFields", ())]


def _with_owners(object_: dict[str, Any], owners: list[Owner]) -> dict[str, Any]:
    entries = [each.entry() for each in owners if each.paths]
    return object_ | {"metadata": {**object_["metadata"], "managedFields": entries}}


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("f:"): _plain(inner) for name, inner in fields.items()}


def _set(object_: dict[str, Any], path: Path, value: Any) -> None:
    for step in path[:-1]:
        inner = object_.get(step)
        if not isinstance(inner, dict):
            inner = object_[step] = {}
        object_ = inner
    if value != {} or not isinstance(object_.get(path[-1]), dict):
        object_[path[-1]] = value


def _remove(object_: Any, path: Path) -> None:
    if not path or not isinstance(object_, dict) or path[0] not in object_:
        return
    if len(path) == 1:
        del object_[path[0]]
        return
    _remove(object_[path[0]], path[1:])
    # The last field of a mapping takes the mapping with it, as in the real server.
    if object_[path[0]] == {}:
        del object_[path[0]]
