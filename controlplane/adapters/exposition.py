"""A Prometheus metrics page as samples. Used by `scrape.py`; the grammar is `prometheus_client`'s own parser.

Only lines with wanted names are parsed, each by itself, so a page costs by what is read from it and a line that makes
no sense costs no other. The parser's time grows with the square of a line's labels, hence the bounds. Says nothing
about what samples mean.
"""

from collections.abc import Collection
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families

from canary.spec.samples import Sample

LONGEST_LINE = 4096
"""Characters; model servers and proxies write a few hundred."""
MOST_LABELS = 64
MOST_LINES = 10_000
"""Lines with wanted names: some ten times what the largest model servers have."""
MOST_TO_PARSE = 1024 * 1024
"""Characters of all these lines, which take less than half a second."""


class ExpositionPage(NamedTuple):
    """What a page says, or the clause why it says less than it should."""

    samples: list[Sample]
    """In the order of the page; of a series that stands there twice the last one."""
    problem: str = ""


def read(page: str, wanted: Collection[str]) -> ExpositionPage:
    """The samples with these names; lines that are too long or not in the format are left out, and counted.

    Comments are left out on purpose: with a TYPE line the parser renames counters whose names do not end in `_total`,
    as Envoy's do not.
    """
    lines = [line for line in page.split("\n") if line.partition("{")[0].partition(" ")[0] in wanted]
    short = [line for line in lines if len(line) <= LONGEST_LINE and line.count('="') <= MOST_LABELS]
    size = sum(map(len, short))
    if len(short) > MOST_LINES or size > MOST_TO_PARSE:
        return ExpositionPage(
            [], f"its page has {len(short)} lines with metrics that count here, {size} characters: too many"
        )
    newest: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    odd = 0
    for line in short:
        try:
            sample = _sample(line)
        except (ValueError, OverflowError, IndexError):
            odd += 1
        else:
            newest[sample.name, frozenset(sample.labels.items())] = sample
    problems = [
        _clause(odd, "not in the Prometheus text format"),
        _clause(len(lines) - len(short), f"longer than {LONGEST_LINE} characters or {MOST_LABELS} labels"),
    ]
    return ExpositionPage(list(newest.values()), " and ".join(filter(None, problems)))


def _sample(line: str) -> Sample:
    """Raises ValueError, OverflowError or IndexError for what is no sample."""
    for family in text_string_to_metric_families(f"{line}\n"):
        for sample in family.samples:
            # An integer may have hundreds of digits.
            return Sample(sample.name, sample.labels, float(sample.value))
    raise ValueError(line)


def _clause(count: int, what: str) -> str:
    """`2 lines of its page are …`; empty for none."""
    if not count:
        return ""
    return f"{count} {'line of its page is' if count == 1 else 'lines of its page are'} {what}"
