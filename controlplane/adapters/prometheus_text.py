"""Cuts the newest points out of the text of a large answer, without building the thousands of objects it describes.

Used by `prometheus_api.py`. Safe because of what JSON is: a quote inside a string is written with a backslash, so the
marks looked for here can only be the structure itself. Whatever does not look exactly as Prometheus writes it is left
to the ordinary parser. What is not a number fails there as it would fail here.
"""

import re
from typing import NamedTuple

SERIES = '{"metric":'
VALUES = '},"values":[['
END = "]]}"
NATIVE = '"histograms":'
"""Native histograms, which stand beside the points."""
_PLAIN = re.compile(r'\{"metric":(\{[^}]*)\},"values":\[\[(?:[^\]]*\],\[)*([^,\]]+),"([^"]+)"\]\]\}')
"""A series without a brace in its labels: its labels, and time and number of its newest point. Nearly all are such."""


class Newest(NamedTuple):
    """The newest point of every series, a column for each thing that is told of it, all in the same order."""

    labels: list[str]
    """JSON objects without their closing brace; the same series always has the same text."""
    at: list[float]
    """When it was scraped."""
    values: list[float]
    """May be NaN or infinite."""


def cut(text: str) -> tuple[str, Newest] | None:
    """The answer without its series, still JSON, and the series; None where the text has another form."""
    begin = text.find(SERIES)
    if begin < 0 or NATIVE in text:
        return None
    try:
        last = text.rindex(SERIES)
        end = text.index(END, text.index(VALUES, last)) + len(END)
        found = _PLAIN.findall(text)
        if len(found) != text.count(SERIES):
            found = [_parted(chunk) for chunk in text[begin:].split(SERIES)[1:]]
        points = Newest(
            [each[0] for each in found], [float(each[1]) for each in found], [float(each[2]) for each in found]
        )
    except ValueError:
        return None
    return text[:begin] + text[end:], points


def _parted(chunk: str) -> tuple[str, str, str]:
    """The same three of `{<labels>},"values":[[<time>,"<number>"],…]]}`; raises ValueError for anything else."""
    labels, found, points = chunk.partition(VALUES)
    if not found:
        raise ValueError(chunk[:100])
    end = points.index(END)
    at, _, value = points[points.rfind("[", 0, end) + 1 : end].partition(",")
    return labels, at, value.strip('"')
