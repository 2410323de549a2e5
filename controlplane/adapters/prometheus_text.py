"""Cuts the newest points out of the text of a large answer, without building the thousands of objects it describes.

Used by `prometheus_api.py`. Safe because of what JSON is: a quote inside a string is written with a backslash, so the
marks looked for here can only be the structure itself. Whatever does not look exactly as Prometheus writes it is left
to the ordinary parser. What is not a number fails there as it would fail here.
"""

from typing import NamedTuple

SERIES = '{"metric":'
VALUES = '},"values":[['
END = "]]}"
NATIVE = '"histograms":'
"""Native histograms, which stand beside the points."""


class Newest(NamedTuple):
    """One series: its labels as they stand in the text, and its newest point."""

    labels: str
    """A JSON object without its closing brace; the same series always has the same text."""
    at: float
    """When it was scraped."""
    value: float
    """May be NaN or infinite."""


def cut(text: str) -> tuple[str, list[Newest]] | None:
    """The answer without its series, still JSON, and the series; None where the text has another form."""
    head, *chunks = text.split(SERIES)
    if not chunks or NATIVE in text:
        return None
    try:
        points = [_newest(chunk) for chunk in chunks]
        last = chunks[-1]
        rest = last[last.index(END, last.index(VALUES)) + len(END) :]
    except ValueError:
        return None
    return head + rest, points


def _newest(chunk: str) -> Newest:
    """The newest point of `{<labels>},"values":[[<time>,"<number>"],…]]}`; raises ValueError for anything else."""
    labels, found, points = chunk.partition(VALUES)
    if not found:
        raise ValueError(chunk[:100])
    end = points.index(END)
    at, _, value = points[points.rfind("[", 0, end) + 1 : end].partition(",")
    return Newest(labels, float(at), float(value.strip('"')))
