"""Scorers: what each takes for a good answer, and that no answer or pattern stops one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.evaluation.item import Item
from canary.evaluation.scorer import Completion, ToolCall, scorer_of, unfit
from canary.spec.evaluation import Scorer
from canary.spec.units import UnreadableNumber


def score(text: str, expected: Any = None, **config: Any) -> float:
    item = Item("a", ({"role": "user", "content": "?"},), expected)
    return scorer_of(Scorer.model_validate(config))(item, Completion(text))


@pytest.mark.parametrize(
    ("config", "expected", "text", "wanted"),
    [
        ({"kind": "exact"}, "Paris", " paris\n", 1),
        ({"kind": "exact", "ignoreCase": False}, "Paris", "paris", 0),
        ({"kind": "exact"}, ["Paris", "Lutetia"], "lutetia", 1),
        ({"kind": "contains"}, "Paris", "It is PARIS.", 1),
        ({"kind": "contains", "inverse": True}, "Paris", "It is Paris.", 0),
        ({"kind": "contains"}, 42, "It is 42.", 1),
        ({"kind": "regex", "pattern": r"^\d+$"}, None, "2026", 1),
        ({"kind": "regex", "pattern": r"^\d+$"}, None, "in 2026", 0),
        ({"kind": "numeric"}, 12, "8 + 4 = 12", 1),
        ({"kind": "numeric"}, "1,200", "so 1,200.", 1),
        ({"kind": "numeric", "tolerance": "0.01"}, 3.14159, "about 3.14", 1),
        ({"kind": "numeric", "tolerance": "1%"}, 1000, "1009", 1),
        ({"kind": "numeric", "tolerance": "1%"}, 1000, "1011", 0),
        ({"kind": "numeric"}, 3, "three", 0),
        ({"kind": "json"}, None, '{"a": 1}', 1),
        ({"kind": "json"}, None, '{"a": NaN}', 0),
        ({"kind": "json"}, None, "[" * 100_000, 0),
        ({"kind": "refusal"}, None, "I\u2019m sorry, but I can\u2019t help with that.", 1),
        ({"kind": "refusal"}, None, "Of course.", 0),
        ({"kind": "length", "most": 3}, None, "four", 0),
        ({"kind": "length", "least": 2, "most": 4}, None, "four", 1),
    ],
)
def test_scores(config: dict[str, Any], expected: Any, text: str, wanted: float) -> None:
    assert score(text, expected, **config) == wanted


def test_a_tool_call_is_equal_by_name_and_by_the_meaning_of_its_arguments() -> None:
    call = scorer_of(Scorer(kind="tool_call"))
    item = Item("a", (), {"name": "weather", "arguments": {"city": "Bern", "days": 2}})
    assert call(item, Completion("", (ToolCall("weather", '{"days": 2, "city": "Bern"}'),))) == 1
    assert call(item, Completion("", (ToolCall("weather", '{"days": 3, "city": "Bern"}'),))) == 0
    assert call(item, Completion("", (ToolCall("weather", "not json"),))) == 0
    assert call(item, Completion("weather(Bern)")) == 0


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(.*a){20}$"])
def test_s3_no_pattern_runs_for_ever(pattern: str) -> None:
    """Patterns that take a backtracking engine longer than the universe has; Rust's takes linear time."""
    assert score("a" * 100_000 + "!", kind="regex", pattern=pattern) == 0


@pytest.mark.parametrize("pattern", [r"(a)\1", r"(?=a)", "(", r"(?:(?:(?:a{1000}){1000}){1000})"])
def test_a_pattern_that_cannot_run_in_linear_time_is_refused_before_anything_is_asked(pattern: str) -> None:
    with pytest.raises(UnreadableNumber, match="is no regular expression of Rust's"):
        scorer_of(Scorer(kind="regex", pattern=pattern))


@pytest.mark.parametrize("tolerance", ["-1", "x", "%"])
def test_a_tolerance_is_a_number(tolerance: str) -> None:
    with pytest.raises(UnreadableNumber, match="expected a tolerance"):
        scorer_of(Scorer(kind="numeric", tolerance=tolerance))


@pytest.mark.parametrize(
    ("kind", "expected", "clause"),
    [
        ("exact", None, "has no expected"),
        ("exact", {}, "a text or a list of texts"),
        ("contains", "", "a text or a list of texts"),
        ("numeric", "many", "a number"),
        ("tool_call", "weather", '"name", "arguments"'),
        ("json", None, ""),
    ],
)
def test_an_item_says_what_it_lacks_for_a_scorer(kind: Any, expected: Any, clause: str) -> None:
    found = unfit(Scorer(kind=kind), Item("a", (), expected))
    assert clause in found
    assert bool(found) == bool(clause)


KINDS = [
    Scorer(kind="exact"), Scorer(kind="contains"), Scorer(kind="regex", pattern="a.c"), Scorer(kind="numeric"),
    Scorer(kind="json"), Scorer(kind="tool_call"), Scorer(kind="refusal"), Scorer(kind="length", most=5),
]  # fmt: skip
PLAIN = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()) | st.just({"name": "a"})
)


@given(st.sampled_from(KINDS), PLAIN, st.text())
def test_s3_any_answer_has_a_score(config: Scorer, expected: Any, text: str) -> None:
    given_score = scorer_of(config)(Item("a", (), expected), Completion(text, (ToolCall("a", text),)))
    assert given_score in {0.0, 1.0}
