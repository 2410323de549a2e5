"""A text with places in it: what every fault points into.

Used by the reader, the dialects and everything that reports a fault. Knows lines and columns, nothing of YAML.
"""

import re
import unicodedata
from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property

from canary.errors import Fault

LINE_BREAK = re.compile(r"\r\n|\n|\r")
EXCERPT_WIDTH = 100
QUOTED_LENGTH = 60


class Plain(str):
    """A scalar that stood in a file without quotes: raw text whose type its field decides."""

    __slots__ = ()


@dataclass(frozen=True)
class Source:
    """A file's name and its text. Bytes are decoded by the reader."""

    file: str
    text: str | bytes

    @cached_property
    def characters(self) -> str:
        """The text for showing: bytes that are not UTF-8 become the replacement character."""
        return self.text if isinstance(self.text, str) else self.text.decode("utf-8", "replace")

    @cached_property
    def line_starts(self) -> list[int]:
        """Index of the first character of every line."""
        return [0, *(found.end() for found in LINE_BREAK.finditer(self.characters))]

    def line(self, number: int) -> str | None:
        """Line `number` (1-based) without its break, or None where the file has no such line."""
        if not 1 <= number <= len(self.line_starts):
            return None
        start = self.line_starts[number - 1]
        end = self.line_starts[number] if number < len(self.line_starts) else len(self.characters)
        return self.characters[start:end].rstrip("\r\n")


@dataclass(frozen=True, slots=True)
class Place:
    """One character of a source, by its index."""

    source: Source
    index: int = 0

    @property
    def line(self) -> int:
        """1-based."""
        return bisect_right(self.source.line_starts, self.index)

    @property
    def column(self) -> int:
        """1-based, counted in characters."""
        return self.index - self.source.line_starts[self.line - 1] + 1

    def fault(self, path: str, message: str) -> Fault:
        """What is wrong here, with an excerpt."""
        return Fault(self.source.file, self.line, self.column, path, message, excerpt(self))


def excerpt(place: Place) -> str:
    """The line of `place` between its neighbours, a caret under the column. Empty where there is no text to show."""
    number, column = place.line, place.column
    if not place.source.characters:
        return ""
    gutter = len(str(number + 1))
    # A very long line is shown around the column, and all lines are cut alike so that they stay aligned.
    cut = max(0, column - 1 - EXCERPT_WIDTH * 3 // 4)
    shown = []
    for each in (number - 1, number, number + 1):
        line = place.source.line(each)
        if line is None or (each > number and not line.strip()):
            continue
        shown.append(f"  {each:>{gutter}} | {printable(line[cut : cut + EXCERPT_WIDTH])}".rstrip())
        if each == number:
            before = printable(line[cut : column - 1])
            shown.append(f"  {'':>{gutter}} | {' ' * columns_of(before)}^")
    return "\n".join(shown)


def printable(text: str) -> str:
    """The text with everything that could steer a terminal made visible and one character wide."""
    return "".join(c if c.isprintable() else " " if c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def columns_of(text: str) -> int:
    """How many terminal columns a text takes."""
    wide = sum(1 for c in text if unicodedata.east_asian_width(c) in "WF")
    return len(text) + wide - sum(1 for c in text if unicodedata.combining(c))


def quoted(value: object) -> str:
    """A value from a file as it may stand in a message: short, in quotes, with nothing that steers a terminal."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, str):
        text = printable(value)
        return f'"{text}"' if len(text) <= QUOTED_LENGTH else f'"{text[:QUOTED_LENGTH]}…"'
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping"
