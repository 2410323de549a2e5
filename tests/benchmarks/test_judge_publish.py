"""The documents' figures are those of the run that is published beside the benchmark."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import judge_publish
from benchmarks.judge_chart import chart
from benchmarks.judge_publish import DOCUMENT, PICTURE, PUBLISHED
from benchmarks.judge_tables import written_into


@pytest.fixture
def found() -> Any:
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))


def test_tables_and_chart_are_those_of_the_published_run(found: Any) -> None:
    """Written again by `python -m benchmarks.judge_publish` after a whole `python benchmarks/judge.py`."""
    document = DOCUMENT.read_text(encoding="utf-8")
    assert written_into(document, found) == document
    assert PICTURE.read_text(encoding="utf-8") == chart(found["regressions"])


def test_figures_that_were_copied_wrongly_are_replaced(found: Any) -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    own = next(line for line in document.splitlines() if line.startswith("| Kayenta every 10 min |"))
    assert written_into(document.replace(own, "| Kayenta every 10 min | 0 |"), found) == document


def test_a_document_without_a_place_for_a_table_is_told(found: Any) -> None:
    with pytest.raises(ValueError, match="no table in the rest of the document begins with"):
        written_into("# Nothing\n", found)


def test_a_quick_run_is_not_for_the_documents(found: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = tmp_path / "judge.json"
    found["healthy"]["real, 200 rps"]["ours at 5%"]["rollouts"] = 100
    quick.write_text(json.dumps(found))
    monkeypatch.setattr(judge_publish, "RESULTS", quick)
    with pytest.raises(SystemExit, match="of 100 healthy rollouts"):
        judge_publish.main()
