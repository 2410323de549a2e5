"""From pydantic's complaints to faults that a person can act on: the right place in the right file, said in our words.

Called by `parse.py` and `dialects.py` with the tree that was validated. Decides nothing about what is allowed.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from pydantic import ValidationError

from canary.errors import Fault
from canary.spec.base import Model
from canary.spec.metrics import did_you_mean
from canary.spec.reader import Node
from canary.spec.source import Place, printable, quoted
from canary.spec.units import UnreadableNumber

Path = tuple[str | int, ...]
HINTS = 100
"""Unknown keys that get the nearest known one; looking for it is the dearest part, and hostile files have many."""
_MISSING = "is missing"
_MEANT = re.compile(r'^unknown key, did you mean "(.*)"\?$')


def faults_of(error: ValidationError, root: Node, model: type[Model]) -> list[Fault]:
    """One fault for each complaint, in pydantic's order. A key that is misspelt is not also reported as missing."""
    complaints = error.errors(include_url=False)
    faults = [_fault(each, root, model, hint=index < HINTS) for index, each in enumerate(complaints)]
    misspelt = {_beside(fault, meant[1]) for fault in faults if (meant := _MEANT.search(fault.message))}
    return [fault for fault in faults if fault.message != _MISSING or fault.path not in misspelt]


def _beside(fault: Fault, key: str) -> str:
    """The path of another key of the same mapping."""
    around = fault.path.rpartition(".")[0]
    return f"{around}.{key}" if around else key


def dotted(path: Path) -> str:
    """`("spec", "stages", 1, "traffic")` as `spec.stages[1].traffic`."""
    joined = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return printable(joined.removeprefix("."))


def place_of(root: Node, path: Path, *, key: bool = False) -> Place:
    """Where a path stands: its value, or its key; where it does not stand at all, what surrounds it."""
    node = root.get(*path)
    if node is None:
        return place_of(root, path[:-1], key=True)
    return (node.key or node.place) if key else node.place


def _fault(error: Mapping[str, Any], root: Node, model: type[Model], *, hint: bool) -> Fault:
    path = _path_in_file(error["loc"], root)
    kind, given, context = error["type"], error.get("input"), error.get("ctx", {})
    reason = context.get("error")
    if isinstance(reason, UnreadableNumber):
        return _unreadable(reason, path, root)
    if kind == "extra_forbidden":
        message = f"unknown key{did_you_mean(str(path[-1]), _keys_at(model, path[:-1])) if hint else ''}"
        return place_of(root, path, key=True).fault(dotted(path), message)
    if kind == "missing":
        return place_of(root, path).fault(dotted(path), _MISSING)
    return place_of(root, path).fault(dotted(path), _sentence(kind, given, context, str(error["msg"])))


def _unreadable(reason: UnreadableNumber, path: Path, root: Node) -> Fault:
    """A text that does not say what its field needs: the place of the very word where it stands on one line."""
    if reason.key and root.get(*path, reason.key) is not None:
        path = (*path, reason.key)
    place = place_of(root, path)
    node = root.get(*path)
    if node is not None and isinstance(node.value, str) and reason.offset:
        for quote in (0, 1):
            begin = place.index + quote
            if place.source.characters.startswith(node.value, begin):
                place = Place(place.source, begin + reason.offset)
                break
    fault = place.fault(dotted(path), str(reason))
    return replace(fault, excerpt="") if reason.private else fault


def _sentence(kind: str, given: object, context: Mapping[str, Any], otherwise: str) -> str:
    """What was expected, and what was found."""
    got = f"got {quoted(given)}"
    match kind:
        case "literal_error":
            choices = re.findall(r"'([^']*)'", context["expected"])
            hint = did_you_mean(given, choices) if isinstance(given, str) else ""
            return f"expected {_one_of(choices)}, {got}{hint}"
        case "model_type" | "dict_type" | "mapping_type" | "model_attributes_type":
            return f"expected a mapping (key: value), {got}"
        case "tuple_type" | "list_type":
            return f"expected a list, {got}"
        case "greater_than":
            return f"must be greater than {context['gt']:g}, {got}"
        case "greater_than_equal":
            return f"must be at least {context['ge']:g}, {got}"
        case "less_than":
            return f"must be less than {context['lt']:g}, {got}"
        case "less_than_equal":
            return f"must be at most {context['le']:g}, {got}"
        case "string_too_long":
            return f"has at most {context['max_length']} characters, {got}"
        case _:
            return f"{otherwise[:1].lower()}{otherwise[1:]}, {got}"


def _one_of(choices: list[str]) -> str:
    """`a, b or c`."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}" if len(choices) > 1 else choices[0]


def _path_in_file(location: tuple[str | int, ...], root: Node) -> Path:
    """Pydantic's location without the names of union branches, which stand in no file."""
    path: list[str | int] = []
    node: Node | None = root
    for index, part in enumerate(location):
        child = node.get(part) if node is not None else None
        last = index == len(location) - 1
        if (
            child is None
            and part in {"line", "mapping", "value", "[key]"}
            and not (last and part not in {"[key]", "line"})
        ):
            continue
        path.append(part)
        node = child
    return tuple(path)


def _keys_at(model: type[Model], path: Path) -> list[str]:
    """The keys that a mapping at this path may have."""
    found: type[Model] | None = model
    for part in path:
        if isinstance(part, int) or found is None:
            continue
        annotations = {_key(found, name): field.annotation for name, field in found.model_fields.items()}
        found = _model_in(annotations.get(part))
    return [_key(found, name) for name in found.model_fields] if found else []


def _key(model: type[Model], name: str) -> str:
    return model.model_fields[name].alias or name


def _model_in(annotation: Any) -> type[Model] | None:
    """The first model inside a type such as `tuple[Stage, ...] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, Model):
        return annotation
    for inner in get_args(annotation):
        found = _model_in(inner)
        if found:
            return found
    return None
