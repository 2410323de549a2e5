"""Reads large answers of Prometheus in pieces of bounded cost, each a run of whole series that stands for itself.

Used by `prometheus_api.py`, which lets the event loop have its turn between two pieces: an answer of many megabytes
delays nobody. Safe because of what JSON is: a quote inside a string is written with a backslash, so the marks looked
for here can only be the structure itself. A series that makes no sense is left out and counted. Answers in another form
than Prometheus writes are left to the ordinary parser.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from controlplane.adapters.prometheus_native import spelled_out
from controlplane.adapters.prometheus_series import PrometheusSeries

SERIES = '{"metric":{'
"""Where a series begins: no string holds this, because of its quotes, and no label, whose value is no object."""
PIECE = 128 * 1024
"""Characters of a piece: some milliseconds of work."""
MOST_UNREADABLE = 1000
"""Series without sense in one piece, after which the whole answer has none."""
NUMBERS = 72
"""Bytes of memory that a series takes besides its labels: two numbers, and three places in lists."""
_PLAIN = re.compile(r'\{"metric":(\{[^{}]*)\},"values":\[\[(?:[^\[\]{}]*\],\[)*([0-9.e+-]+),"([0-9A-Za-z.+-]+)"\]\]\}')
"""A series without a brace in its labels: its labels, and time and number of its newest point. Nearly all are such.

No part of it runs over a brace, so that a text that only looks like series costs no more than one that is.
"""
_ITEM, _LABELS = TypeAdapter(PrometheusSeries), TypeAdapter(dict[str, str])


@dataclass(slots=True)
class Newest:
    """The newest point of every series, a column for each thing that is told of it, all in the same order."""

    labels: list[str]
    """By the text in the answer, as `labels_in` reads it; the same series always has the same."""
    at: list[float]
    """When it was scraped."""
    values: list[float]
    """May be NaN or infinite."""
    unreadable: int = 0
    """Series that are no series of Prometheus and were left out."""

    @property
    def bytes(self) -> int:
        """Memory that this takes, near enough."""
        return sum(map(sys.getsizeof, self.labels)) + NUMBERS * len(self.labels)

    def add(self, other: "Newest") -> None:
        """Put another part of the same answer behind this one."""
        self.labels += other.labels
        self.at += other.at
        self.values += other.values
        self.unreadable += other.unreadable


def parted(text: str) -> tuple[str, Iterator[str]] | None:
    """The answer without its series, still JSON, and pieces of whole series; None where the text has another form."""
    begin, last = text.find(SERIES), text.rfind(SERIES)
    if begin < 0:
        return None
    end = _end(text, last)
    return text[:begin] + text[end:], _pieces(text, begin, end)


def newest_in(piece: str) -> Newest:
    """The newest point of each series of a piece; of a native histogram those of its classic series.

    Raises ValueError where nearly nothing is a series.
    """
    found = _PLAIN.findall(piece)
    if len(found) == piece.count(SERIES):
        try:
            return Newest([labels for labels, _, _ in found], *_numbers(found))
        except ValueError:
            pass  # a number that is none: found again below, and left out by itself
    return newest_of(*series_in(piece))


def newest_of(series: list[PrometheusSeries], unreadable: int = 0) -> Newest:
    """The same of series that were parsed."""
    told = [
        (to_json(each.metric).decode()[:-1], *each.points[-1])
        for each in spelled_out(series, newest=True)
        if each.points
    ]
    return Newest(
        [labels for labels, _, _ in told], [at for _, at, _ in told], [value for _, _, value in told], unreadable
    )


def labels_in(text: str) -> dict[str, str] | None:
    """The labels of a series of `Newest`; None where they are none. To be asked once for each text: it costs most."""
    try:
        return _LABELS.validate_json(text + "}")
    except ValidationError:
        return None


def series_in(piece: str) -> tuple[list[PrometheusSeries], int]:
    """The series of a piece with all their points, and how many there were that are none. Raises as `newest_in`."""
    texts = (SERIES + each.rstrip(", \t\r\n") for each in piece.split(SERIES)[1:])
    return _readable(_ITEM.validate_json, texts)


def read_in(result: list[Any]) -> tuple[list[PrometheusSeries], int]:
    """The same of an answer that was parsed as a whole."""
    return _readable(_ITEM.validate_python, result)


def _readable(read: Callable[[Any], PrometheusSeries], items: Iterable[Any]) -> tuple[list[PrometheusSeries], int]:
    series: list[PrometheusSeries] = []
    unreadable = 0
    for item in items:
        try:
            series.append(read(item))
        except ValidationError:
            unreadable += 1
            if unreadable > MOST_UNREADABLE:
                raise ValueError("nearly nothing of the answer is a series") from None
    return series, unreadable


def _numbers(found: list[tuple[str, str, str]]) -> tuple[list[float], list[float]]:
    """Times and values; raises ValueError for what is no number, and for a time that is infinite."""
    at = [float(each[1]) for each in found]
    if not all(map(math.isfinite, at)):
        raise ValueError
    return at, [float(each[2]) for each in found]


def _pieces(text: str, begin: int, end: int) -> Iterator[str]:
    while begin < end:
        cut = text.find(SERIES, begin + PIECE, end)
        cut = end if cut < 0 else cut
        yield text[begin:cut]
        begin = cut


def _end(text: str, last: int) -> int:
    """Where the series ends that begins at `last`; where it is none, at the end of the list that it should be in."""
    try:
        return json.JSONDecoder().raw_decode(text, last)[1]
    except (ValueError, RecursionError):
        return max(text.find("}]}", last) + 1, last)
