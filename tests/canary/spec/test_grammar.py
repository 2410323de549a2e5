"""The gate as a line: its words and their places."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.spec.grammar import Line, Word, read_criterion, read_line
from canary.spec.units import UnreadableNumber


def test_a_line_is_taken_apart_with_the_place_of_each_word() -> None:
    assert read_line("latency p95 <= 200ms over 4h per tenant") == Line(
        Word("latency", 0), Word("p95", 8), "<=", Word("200ms", 15), Word("4h", 26), Word("tenant", 33)
    )


@pytest.mark.parametrize(
    ("text", "operator", "value"),
    [
        ("latency<=200ms", "<=", "200ms"),
        ("latency ≤ 200 ms", "<=", "200 ms"),
        ("latency < 200ms", "<=", "200ms"),
        ("csat ≥ 4", ">=", "4"),
        ("error_rate not worse than stable by 0.1pp", "not worse", "0.1pp"),
        ("error_rate  not  worse than stable by 10 %", "not worse", "10 %"),
        ("csat drop <= 3%", "drop", "3%"),
        ("error_rate rise <= 3%", "rise", "3%"),
        ("kpi/x drift <= 3%", "drift", "3%"),
        ("cost_per_1m_tokens <= $0.40", "<=", "$0.40"),
        ("queue_time <= 1h30m", "<=", "1h30m"),
        ("latency <= 200ms\n  over 4h", "<=", "200ms"),
    ],
)
def test_operators_have_one_form_whatever_was_typed(text: str, operator: str, value: str) -> None:
    line = read_line(text)
    assert (line.operator, line.value.text) == (operator, value)


@pytest.mark.parametrize(
    ("text", "offset", "words"),
    [
        ("", 0, "begins with its metric"),
        ("<= 200ms", 0, "begins with its metric"),
        ("latency p95", 10, "but the line ends"),
        ("latency p95 200ms", 12, "expected <=, >="),
        ("p95 latency <= 200ms", 4, "expected <=, >="),
        ("latency p95 == 200ms", 12, "expected <=, >="),
        ("latency p95 <=", 13, "expected a limit such as 200ms"),
        ("latency p95 not worse by 10%", 16, "not worse than stable by 10%"),
        ("latency p95 not worse than stable", 32, 'expected "by" and a margin'),
        ("latency p95 not worse than stable by", 35, "expected a margin"),
        ("csat drop 3%", 10, "drop <= 3%"),
        ("latency <= 200ms over", 20, "expected a duration"),
        ("latency <= 200ms per", 19, "expected a label"),
        ("latency <= 200ms, error_rate <= 1%", 16, "another one belongs on its own line"),
    ],
)
def test_the_first_word_that_does_not_fit_is_named(text: str, offset: int, words: str) -> None:
    with pytest.raises(UnreadableNumber) as refused:
        read_line(text)
    assert refused.value.offset == offset
    assert words in str(refused.value)


def test_a_criterion_compares_with_a_value_or_with_stable() -> None:
    assert read_criterion("f1 >= 70%").value.text == "70%"
    assert read_criterion("f1 >= stable").value.text == "stable"
    line = read_criterion("f1 not worse than stable by 2pp")
    assert (line.operator, line.value.text) == ("not worse", "2pp")
    with pytest.raises(UnreadableNumber, match="expected <=, >= or not worse than stable by"):
        read_criterion("f1 rise <= 3%")
    with pytest.raises(UnreadableNumber, match="its own line"):
        read_criterion("f1 >= stable by 3%")


def test_an_endless_line_is_refused_unread() -> None:
    with pytest.raises(UnreadableNumber, match="one short line"):
        read_line("latency <= " + "9" * 10_000)


@given(st.text(max_size=80) | st.text("latency p95<=>0.1%ms$ notworsethanstable\n", max_size=80))
@settings(deadline=None)
def test_any_text_is_a_line_or_a_refusal_within_it(text: str) -> None:
    """The place of a refusal always lies in the text, so that a caret can stand there."""
    for read in (read_line, read_criterion):
        offset = _refused_at(read, text)
        assert offset is None or 0 <= offset <= max(0, len(text) - 1)


def _refused_at(read: Callable[[str], Line], text: str) -> int | None:
    """The place of the refusal, None for a line."""
    try:
        read(text)
    except UnreadableNumber as refused:
        return refused.offset
    return None
