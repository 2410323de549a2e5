"""Columns line up, the last one is cut on a terminal, and a difference of two variants is readable."""

from controlplane.view.table import differences, table
from controlplane.view.urgency import ENDED, URGENT, urgency


def test_columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() -> None:
    assert table(("A", "LONG"), [("wide", "x"), ("b", "")]) == ["A      LONG", "wide   x", "b"]


def test_a_line_is_cut_where_the_terminal_ends_and_nowhere_else() -> None:
    rows = [("chat", "a sentence of some length")]
    assert table((), rows) == ["chat   a sentence of some length"]
    assert table((), rows, 12) == ["chat   a se…"]


def test_nothing_is_no_line() -> None:
    assert table((), []) == []
    assert differences({}) == []


def test_a_field_that_only_one_variant_has_shows_a_dash_for_the_other() -> None:
    shown = differences({"args": {"stable": None, "canary": ["--new"]}})
    assert shown[1].split() == ["args", "–", '["--new"]']


def test_what_may_need_somebody_comes_first_and_what_has_ended_last() -> None:
    phases = ["Succeeded", "Analyzing", "Paused", "RollingBack"]
    assert sorted(phases, key=urgency) == ["RollingBack", "Paused", "Analyzing", "Succeeded"]
    assert max(map(urgency, URGENT)) < urgency("Preparing") < min(map(urgency, ENDED))
