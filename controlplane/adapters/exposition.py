"""A Prometheus metrics page as samples. Used by `scrape.py`; the grammar is `prometheus_client`'s own parser.

Only lines with wanted names are parsed, so a page costs by what is read from it. Says nothing about what samples mean.
"""

from collections.abc import Collection, Iterator

from prometheus_client.parser import text_string_to_metric_families

from canary.spec.samples import Sample


def samples(page: str, wanted: Collection[str]) -> list[Sample]:
    """The samples with these names, in the order of the page; of a series that stands there twice the last one.

    Raises ValueError where such a line is not in the Prometheus text format. Comments are left out on purpose: with a
    TYPE line the parser renames counters whose names do not end in `_total`, as Envoy's do not.
    """
    lines = "\n".join(_wanted_lines(page, wanted))
    if not lines:
        return []
    parsed = (sample for family in text_string_to_metric_families(f"{lines}\n") for sample in family.samples)
    newest = {
        (each.name, frozenset(each.labels.items())): Sample(each.name, each.labels, each.value) for each in parsed
    }
    return list(newest.values())


def _wanted_lines(page: str, wanted: Collection[str]) -> Iterator[str]:
    for line in page.splitlines():
        if line.partition("{")[0].partition(" ")[0] in wanted:
            yield line
