"""kubectl's JSONPath: `-o jsonpath={.status.phase}` on objects as the API server sends them. Pure; used for `-o`.

What kubectl's own package does with text, fields, indices, slices, unions, wildcards, `..`, filters of one comparison
and `range … end`, with the same spacing. What it can do besides, or what nobody can, is a clear error; a field that is
not there is empty, as for `kubectl get`. The template is read by `jsonpath_template.py`.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from canary.errors import BadInput
from controlplane.view.jsonpath_template import (
    OPEN_END,
    Comparison,
    Descent,
    Every,
    Field,
    Filter,
    Path,
    Places,
    Range,
    Slice,
    Step,
    Text,
    Union,
    template_of,
)


def rendered(template: str, value: Any) -> str:
    """What kubectl prints for this template. Raises `BadInput` for one that cannot be read or carried out."""
    return "".join(_written(template_of(template), value, value))


def _written(nodes: Sequence[Text | Path | Range], value: Any, root: Any) -> Iterator[str]:
    for node in nodes:
        match node:
            case Text(text):
                yield text
            case Path():
                yield " ".join(_shown(each) for each in _found(node, value, root))
            case Range(over, inner):
                for each in _found(over, value, root):
                    # kubectl takes `$` inside of a range for the present one's root, and so does everybody's template.
                    yield from _written(inner, each, root)


def _found(path: Path, value: Any, root: Any) -> list[Any]:
    found = [root if path.from_root else value]
    for step in path.steps:
        # A union tells its first part of everything first: all names, and then all kinds.
        parts = step.steps if isinstance(step, Union) else (step,)
        found = [inner for part in parts for each in found for inner in _stepped(part, each, root)]
    return found


def _stepped(step: Step | Union, value: Any, root: Any) -> list[Any]:
    match step:
        case Field(name):
            return [value[name]] if isinstance(value, Mapping) and name in value else []
        case Every():
            return _children(value)
        case Descent():
            return list(_descendants(value))
        case Slice(start, end, stride):
            return _sliced(value, start, end, stride)
        case Places():
            if value is not None and not isinstance(value, list):
                raise BadInput("The jsonpath asks for every place, [*], in what is no list; .* is every field.")
            return value or []
        case Filter(comparison):
            among = _children(value) if isinstance(value, list) else []
            return [each for each in among if _holds(comparison, each, root)]
        case Union():
            raise AssertionError  # taken apart by the caller


def _sliced(value: Any, start: int | None, end: int | None, stride: int | None) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise BadInput("The jsonpath asks for a place in what is no list.")
    length = len(value)
    if end is None and stride is None and start is not None:  # a single place
        if not -length <= start < length:
            raise BadInput(f"The jsonpath asks for place {start} of a list of {length}.")
        return [value[start]]
    first = 0 if start is None else start + length * (start < 0)
    last = length if end == OPEN_END or end is None else min(end + length * (end < 0), length)
    if first > length or first < 0 or first > last:
        raise BadInput(f"The jsonpath asks for the places from {first} to {last} of a list of {length}.")
    if first == length and length:
        raise BadInput(f"The jsonpath asks for place {first} of a list of {length}.")
    return value[first : last : stride or 1]


def _children(value: Any) -> list[Any]:
    match value:
        case list():
            return value
        case Mapping():  # Go's maps have no order, so kubectl sorts them
            return [value[key] for key in sorted(value)]
        case _:
            return []


def _descendants(value: Any) -> Iterator[Any]:
    yield value
    for each in _children(value):
        yield from _descendants(each)


def _holds(comparison: Comparison, value: Any, root: Any) -> bool:
    left = _side(comparison.left, value, root)
    if comparison.sign is None:
        return bool(left)
    right = _side(comparison.right, value, root)
    if len(left) > 1 or len(right) > 1:
        raise BadInput("A filter of a jsonpath compares single values: can only compare one element at a time.")
    if not left or not right:
        return False
    return _compared(left[0], comparison.sign, right[0])


def _side(side: Any, value: Any, root: Any) -> list[Any]:
    return _found(side, value, root) if isinstance(side, Path) else [side]


def _compared(left: Any, sign: str, right: Any) -> bool:
    if type(left) is not type(right) or not isinstance(left, str | bool | int | float):
        raise BadInput(
            f"A filter of a jsonpath cannot compare {_shown(left)} with {_shown(right)}: their types differ."
        )
    match sign:
        case "==" | "!=":
            return bool(left == right) == (sign == "==")
        case _ if isinstance(left, bool):
            raise BadInput(f"A filter of a jsonpath cannot tell whether {_shown(left)} {sign} {_shown(right)}.")
        case _:
            return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])


def _shown(value: Any) -> str:
    """As Go prints it."""
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case float():
            return _number(value, 1e-4, 1e6, 2)
        case int():
            return str(value)
        case _:
            return _json(value)


def _json(value: Any) -> str:
    """As Go writes JSON: fields in order, no spaces, whole numbers without a point."""
    match value:
        case Mapping():
            inside = (f"{json.dumps(str(key), ensure_ascii=False)}:{_json(value[key])}" for key in sorted(value))
            return f"{{{','.join(inside)}}}"
        case list():
            return f"[{','.join(_json(each) for each in value)}]"
        case float():
            return _number(value, 1e-6, 1e21, 1)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _number(value: float, least: float, most: float, places: int) -> str:
    """A float, with an exponent below `least` and from `most` on; `places`: digits of the exponent at least."""
    exact = Decimal(repr(value)).normalize()
    if not value or least <= abs(value) < most:
        return f"{exact:f}"
    digits, _, exponent = f"{exact:e}".partition("e")
    number = int(exponent)
    return f"{digits}e{'-' if number < 0 else '+'}{abs(number):0{places}d}"
