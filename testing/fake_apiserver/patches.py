"""JSON patch (RFC 6902) and merge patch (RFC 7396), as an API server carries them out. Pure.

Used by `kube.py` and its tests. Knows the four operations that we write (`test`, `add`, `replace`, `remove`) and no
kinds; a strategic merge patch is not among them, because custom resources have none.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from controlplane.kubernetes.depth import LEVELS

T = TypeVar("T")
DEEPEST = LEVELS - 2
"""Levels of one object; a list has two around it."""


class PatchFailed(Exception):  # noqa: N818 - what happened to the patch
    """An operation cannot be carried out on this document, which is unchanged."""


def copied(value: T, levels: int = DEEPEST) -> T:
    """A copy that shares nothing that can be changed, of what JSON can say; several times faster than `deepcopy`.

    Lists and mappings below so many levels are empty, as they are to a client of the real server.
    """
    made: Any = value
    if isinstance(value, dict):
        made = {name: copied(inner, levels - 1) for name, inner in value.items()} if levels else {}
    elif isinstance(value, list):
        made = [copied(inner, levels - 1) for inner in value] if levels else []
    return cast("T", made)


def json_patched(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """The document after all operations; raises `PatchFailed` at the first that does not hold."""
    # A holder makes the document itself an ordinary member, so that the path "" needs no case of its own.
    holder = {"": copied(document)}
    for each in operations:
        _carry_out(holder, each)
    return holder[""]


def merge_patched(document: Any, patch: Any) -> Any:
    """The document with the patch laid over it: null removes a member, a mapping is merged, all else replaces."""
    if not isinstance(patch, Mapping):
        return copied(patch)
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patched(merged.get(name), value)
    return merged


def _carry_out(holder: dict[str, Any], operation: Mapping[str, Any]) -> None:
    path, value = str(operation["path"]), copied(operation.get("value"))
    parent, last = _parent(holder, path)
    match operation["op"]:
        case "test":
            # A member that is missing equals null: the server's library says so, and first writes rely on it.
            if _member(parent, last) != value:
                raise PatchFailed(f"{path} is not {value!r}")
        case "add" if isinstance(parent, list):
            parent.insert(len(parent) if last == "-" else _index(path, last, len(parent)), value)
        case "add":
            parent[last] = value
        case "replace" | "remove" if not _has(parent, last):
            raise PatchFailed(f"there is no {path}")
        case "replace":
            parent[int(last) if isinstance(parent, list) else last] = value
        case "remove":
            del parent[int(last) if isinstance(parent, list) else last]
        case unknown:
            raise PatchFailed(f"this operation is not known: {unknown!r}")


def _parent(holder: dict[str, Any], path: str) -> tuple[Any, str]:
    steps = [step.replace("~1", "/").replace("~0", "~") for step in path.split("/")]
    parent: Any = holder
    for step in steps[:-1]:
        parent = _member(parent, step)
        if not isinstance(parent, dict | list):
            raise PatchFailed(f"nothing holds {path}")
    return parent, steps[-1]


def _has(parent: Any, name: str) -> bool:
    return name in parent if isinstance(parent, dict) else name.isdigit() and int(name) < len(parent)


def _member(parent: Any, name: str) -> Any:
    if not _has(parent, name):
        return None
    return parent[int(name)] if isinstance(parent, list) else parent[name]


def _index(path: str, text: str, length: int) -> int:
    if not text.isdigit() or int(text) > length:
        raise PatchFailed(f"{path} is beyond the end of its list")
    return int(text)
