"""The document's figures are those of the results beside the benchmark."""

import json

import pytest

from benchmarks.judge_tables import DOCUMENT, RESULTS, written_into

FOUND = json.loads(RESULTS.read_text(encoding="utf-8"))


def test_the_tables_are_those_of_the_results() -> None:
    """Written again by `python -m benchmarks.judge_tables` after every `python benchmarks/judge.py`."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written_into(document, FOUND) == document


def test_figures_that_were_copied_wrongly_are_replaced() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    own = next(line for line in document.splitlines() if line.startswith("| Kayenta every 10 min |"))
    assert written_into(document.replace(own, "| Kayenta every 10 min | 0 |"), FOUND) == document


def test_a_document_without_a_place_for_a_table_is_told() -> None:
    with pytest.raises(ValueError, match="no table in the rest of the document begins with"):
        written_into("# Nothing\n", FOUND)
