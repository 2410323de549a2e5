"""Pieces of a YAML text by their places: where a value stands, where its entry does, and how pieces are put in.

Used by `yaml_edit.py` alone, which checks every result by reading it again; what is found here may therefore be simple.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from canary.spec.reader import Node

_ALIASED = re.compile(r"""(?:"[^"\n]*"|'[^'\n]*'|[^:\n]+?)\s*:[ \t]+(\*[^\s,\]}]+)""")
_COMMENT = re.compile(r"[ \t]+#[^\r\n]*")
_BLANK = " \t\r\n"


@dataclass(frozen=True, slots=True)
class Splice:
    """The characters from `start` to before `end` are replaced by `text`."""

    start: int
    end: int
    text: str


def spliced(text: str, splices: Sequence[Splice]) -> str | None:
    """The text with all splices made; None where two of them overlap."""
    pieces, position = [], 0
    for splice in sorted(splices, key=lambda each: each.start):
        if splice.start < position:
            return None
        pieces += [text[position : splice.start], splice.text]
        position = splice.end
    return "".join([*pieces, text[position:]])


def body(text: str, node: Node, *, comment: bool = False) -> tuple[int, int]:
    """Where a value stands; with the comment behind its last line if asked for. A block begins at its first key."""
    if node.key is not None and (alias := _ALIASED.match(text, node.key.index)):
        return alias.span(1)
    start = node.place.index
    if isinstance(node.value, dict) and node.value:
        first = next(iter(node.value.values())).key
        if first is not None and "{" not in text[start : first.index]:
            start = first.index
    end = _without_blanks(text, start, node.end)
    if comment and (found := _COMMENT.match(text, end)):
        end = found.end()
    return start, end


def entry(text: str, node: Node) -> tuple[int, int]:
    """Where a key and its value stand."""
    start, end = body(text, node)
    return (node.key.index if node.key is not None else start), end


def indented(piece: str, column: int, wanted: int) -> str:
    """A piece of several lines moved from one column to another; its first line is not indented."""
    first, *rest = piece.split("\n")
    return "\n".join([first, *(_moved(line, wanted - column) for line in rest)])


def line_removal(text: str, span: tuple[int, int]) -> Splice:
    """Takes away the lines that a span stands on."""
    start = text.rfind("\n", 0, span[0]) + 1
    return Splice(start if not text[start : span[0]].strip() else span[0], _line_end(text, span[1]), "")


def insertion(text: str, after: int, line: str) -> Splice:
    """Puts lines of their own behind the line of `after`."""
    position = _line_end(text, after)
    newline = "\r\n" if "\r\n" in text else "\n"
    unended = position == len(text) and not text.endswith("\n")
    return Splice(position, position, f"{newline}{line}" if unended else f"{line}{newline}")


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _without_blanks(text: str, start: int, end: int) -> int:
    while end > start and text[end - 1] in _BLANK:
        end -= 1
    return end


def _moved(line: str, by: int) -> str:
    if by >= 0:
        return " " * by + line if line.strip() else line
    blank = len(line) - len(line.lstrip(" "))
    return line[min(-by, blank) :]
