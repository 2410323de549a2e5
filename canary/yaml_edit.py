"""Byte-exact edits of a canary.yml: other values go in, and every other byte of the file stays.

Called by `controlplane.gitops` to write a promotion or a rollback back into git. Works by the places of values, never
by writing YAML anew; comments, order, quotes and line ends stay as their owner likes them. Every edit is read again
afterwards: unless exactly that changed which was meant to, there is no edit but a `CannotEdit`. Touches no disk.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from canary.errors import BadInput
from canary.spec.dialects import Form, form_of
from canary.spec.faults import Path, dotted
from canary.spec.reader import Node, read
from canary.spec.source import Plain, Source
from canary.yaml_splice import Splice, body, entry, indented, insertion, line_removal, spliced

ARMS: Mapping[Form, tuple[Path, Path]] = {
    "full": (("spec", "stable"), ("spec", "canary")),
    "variants": (("variants", 0), ("variants", 1)),
    "deploy": (("deploy", "a_b", "control"), ("deploy", "a_b", "variant")),
}
"""Where the variant in service and the one that is tried stand, in each form of the file."""


class CannotEdit(BadInput):
    """The file is written in a way that no careful edit can change; somebody has to do it by hand."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file with its values and their places."""

    text: str
    root: Node
    form: Form = field(default="full")

    @classmethod
    def of(cls, text: str) -> "Written":
        """Raises `CannotEdit` for a text that cannot be read without faults."""
        root, faults = read(Source("canary.yml", text))
        if root is None or faults:
            raise CannotEdit(f"The file cannot be read, so it is not edited: {faults[0].message}")
        return cls(text, root, form_of(root))

    def at(self, path: Path) -> Node:
        """The value at a path."""
        node = self.root.get(*path)
        if node is None:
            raise CannotEdit(f"The file has no {dotted(path)}, so it is not edited.")
        return node


def is_no_op(root: Node) -> bool:
    """Whether the file names nothing to try: its canary says exactly what its stable says."""
    stable, canary = (root.get(*path) for path in ARMS[form_of(root)])
    return stable is not None and canary is not None and raw_value(stable) == raw_value(canary)


def promoted(text: str) -> str:
    """The file after a promotion: stable says what the canary says, line by line; all other lines are untouched."""
    stable, canary = ARMS[Written.of(text).form]
    return copy(text, source=canary, target=stable)


def rolled_back(text: str, before: str | None = None) -> str:
    """The file after a rollback: the canary says what stable says.

    `before` is an earlier version of the file. Where it was at rest on the same stable, its own canary block comes back
    byte for byte, comments included, as a revert would bring it; otherwise stable's values are written line by line.
    """
    now = Written.of(text)
    stable, canary = ARMS[now.form]
    if before is not None:
        earlier = Written.of(before)
        if earlier.form == now.form and is_no_op(earlier.root) and _same(earlier, now, stable):
            splices = _restored(earlier, earlier.at(canary), now, now.at(canary))
            if (restored := _checked(now, splices, {canary: raw_value(earlier.at(canary))})) is not None:
                return restored
    return copy(text, source=stable, target=canary)


def copy(text: str, *, source: Path, target: Path) -> str:
    """The value at `target` says what the one at `source` says. Raises `CannotEdit` when that cannot be done safely."""
    now = Written.of(text)
    give, take = now.at(source), now.at(target)
    if raw_value(give) == raw_value(take):
        return text
    meant = {target: raw_value(give)}
    for attempt in (_merged, _whole, _anew):
        splices = attempt(now, give, now, take)
        if splices is not None and (edited := _checked(now, splices, meant)) is not None:
            return edited
    raise CannotEdit(
        f"{dotted(target)} cannot be made to say what {dotted(source)} says without touching other values (an anchor "
        f"or alias is in the way). Please edit line {take.place.line} by hand."
    )


def replace_values(text: str, raw: Mapping[Path, str]) -> str:
    """The values at these paths, replaced by YAML as it stands here; everything else is untouched."""
    now = Written.of(text)
    splices, meant = [], {}
    for path, written in raw.items():
        start, end = body(text, now.at(path))
        splices.append(Splice(start, end, written))
        meant[path] = raw_value(Written.of(f"v: {written}\n").at(("v",)))
    edited = _checked(now, splices, meant)
    if edited is None:
        raise CannotEdit(f"{', '.join(map(dotted, raw))} cannot be replaced without touching other values.")
    return edited


def raw_value(node: Node) -> Any:
    """What a value says, with the difference between a quoted and a plain scalar, which fields may read differently."""
    match node.value:
        case dict():
            return {key: raw_value(child) for key, child in node.value.items()}
        case tuple():
            return tuple(raw_value(child) for child in node.value)
        case str():
            return (isinstance(node.value, Plain), str(node.value))
        case _:
            return node.value


def _same(one: Written, other: Written, path: Path) -> bool:
    return bool(raw_value(one.at(path)) == raw_value(other.at(path)))


def _checked(before: Written, splices: list[Splice] | None, meant: Mapping[Path, Any]) -> str | None:
    """The edited text if it reads as meant and in no other way; None otherwise."""
    edited = spliced(before.text, splices or [])
    if edited is None:
        return None
    expected = raw_value(before.root)
    for path, value in meant.items():
        expected = _with(expected, path, value)
    try:
        after = Written.of(edited)
    except CannotEdit:
        return None
    return edited if raw_value(after.root) == expected else None


def _with(value: Any, path: Path, new: Any) -> Any:
    """A copy of plain values with another one at a path."""
    if not path:
        return new
    if isinstance(value, dict):
        return {**value, str(path[0]): _with(value[str(path[0])], path[1:], new)}
    index = int(path[0])
    return (*value[:index], _with(value[index], path[1:], new), *value[index + 1 :])


def _merged(source: Written, give: Node, target: Written, take: Node) -> list[Splice] | None:
    """Splices that change only the entries that differ; None where both are not block mappings."""
    if not (_is_block(source.text, give) and _is_block(target.text, take)):
        return None
    assert isinstance(give.value, dict)  # noqa: S101 - a block mapping is one
    assert isinstance(take.value, dict)  # noqa: S101 - a block mapping is one
    splices: list[Splice] = []
    for key, have in take.value.items():
        want = give.value.get(key)
        if want is None:
            splices.append(line_removal(target.text, entry(target.text, have)))
        elif raw_value(want) != raw_value(have):
            inner = _merged(source, want, target, have)
            splices += [_entry_swap(source, want, target, have)] if inner is None else inner
    last = max((entry(target.text, child)[1] for child in take.value.values()), default=take.end)
    for key, want in give.value.items():
        if key not in take.value:
            column = _column(take)
            piece = _entry_text(source, want, column)
            splices.append(insertion(target.text, last, " " * column + piece))
    return splices


def _entry_swap(source: Written, want: Node, target: Written, have: Node) -> Splice:
    """One entry for another of the same key. A scalar for a scalar leaves even the key's own spacing alone."""
    short = isinstance(want.value, str) and isinstance(have.value, str)
    wanted, held = body(source.text, want), body(target.text, have)
    if short and "\n" not in source.text[slice(*wanted)] + target.text[slice(*held)]:
        return Splice(*held, source.text[slice(*wanted)])
    assert have.key is not None  # noqa: S101 - entries have keys
    return Splice(*entry(target.text, have), _entry_text(source, want, have.key.column - 1))


def _entry_text(source: Written, node: Node, column: int) -> str:
    assert node.key is not None  # noqa: S101 - entries have keys
    start, end = entry(source.text, node)
    return indented(source.text[start:end], node.key.column - 1, column)


def _restored(source: Written, give: Node, target: Written, take: Node) -> list[Splice] | None:
    """One splice that brings an entry back as it was, from its key to the comment behind its last line."""
    if give.key is None or take.key is None:
        return _whole(source, give, target, take)
    wanted = slice(give.key.index, body(source.text, give, comment=True)[1])
    piece = indented(source.text[wanted], give.key.column, take.key.column)
    return [Splice(take.key.index, body(target.text, take, comment=True)[1], piece)]


def _whole(source: Written, give: Node, target: Written, take: Node) -> list[Splice] | None:
    """One splice that takes the whole value over, with the comments in it."""
    start, end = body(target.text, take, comment=True)
    wanted = slice(*body(source.text, give, comment=True))
    piece = source.text[wanted]
    if not _is_block(source.text, give):
        return [Splice(start, end, piece)]
    column = _column(take) if _is_block(target.text, take) or take.key is None else take.key.column + 1
    piece = indented(piece, _column(give), column)
    if _is_block(target.text, take) or take.key is None:
        return [Splice(start, end, piece)]
    while target.text[start - 1 : start] in {" ", "\t"}:
        start -= 1
    newline = "\r\n" if "\r\n" in target.text else "\n"
    return [Splice(start, end, newline + " " * column + piece)]


def _anew(source: Written, give: Node, target: Written, take: Node) -> list[Splice]:
    """The last resort, where the form of a text cannot move: the value on one line, with other quotes if need be."""
    return [Splice(*body(target.text, take), _flow(give))]


def _flow(node: Node) -> str:
    match node.value:
        case dict():
            return (
                "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}: {_flow(v)}" for k, v in node.value.items()) + "}"
            )
        case tuple():
            return "[" + ", ".join(_flow(child) for child in node.value) + "]"
        case Plain():
            return str(node.value)
        case None:
            return "~"
        case _:
            return json.dumps(node.value, ensure_ascii=False)


def _is_block(text: str, node: Node) -> bool:
    """Whether a value is a mapping with a line for each key, standing where its key is (not behind an alias)."""
    if not isinstance(node.value, dict) or not node.value:
        return False
    first = next(iter(node.value.values())).key
    here = node.key is None or node.key.index < node.place.index
    return here and first is not None and "{" not in text[node.place.index : first.index]


def _column(node: Node) -> int:
    """Spaces before the first key of a block mapping, or before any other value."""
    first = next(iter(node.value.values())).key if isinstance(node.value, dict) and node.value else None
    return (first or node.place).column - 1
