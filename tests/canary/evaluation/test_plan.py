"""Which evaluations can be run."""

from typing import Any

import pytest

from canary.evaluation.item import Item
from canary.evaluation.plan import faults_of, item_faults, scoring_of
from canary.evaluation.scorer import Completion
from canary.spec.evaluation import Evaluation


def evaluation(*metrics: str, **more: Any) -> Evaluation:
    return Evaluation.model_validate({"dataset": "items.jsonl", "metrics": list(metrics), **more})


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (evaluation("exact >= 4.2"), "scores are shares from 0% to 100%"),
        (evaluation("politeness >= stable"), '"politeness" has no scorer; write scorers: {politeness:'),
        (evaluation("length >= stable"), '"length" has no scorer'),
        (evaluation("exact >= stable", scorers={"other": {"kind": "json"}}), "which no line of metrics asks for"),
        (evaluation("a >= stable", scorers={"a": {"kind": "regex", "pattern": "("}}), "is no regular expression"),
        (evaluation("exact >= stable", dataset="https://a/items.jsonl"), "is an address"),
        (evaluation("exact >= stable", request={"temperature": "hot"}), "expected a number from 0 to 2"),
    ],
)
def test_what_cannot_be_run_is_said_before_anything_is_asked(found: Evaluation, sentence: str) -> None:
    ((_, message),) = faults_of(found)
    assert sentence in message


def test_metrics_of_plans_have_stated_default_scorers() -> None:
    plan = evaluation("first_turn_resolution >= stable", "hallucination_rate <= 1.2%", "refusal_rate <= stable")
    assert list(faults_of(plan)) == []
    scoring = scoring_of(plan)
    item = Item("a", (), "Paris")
    said = {metric: score(item, Completion("It is Paris.")) for metric, score in scoring.scores.items()}
    assert said == {"first_turn_resolution": 1, "hallucination_rate": 0, "refusal_rate": 0}
    assert scoring.compares
    assert not scoring_of(evaluation("exact >= 70%")).compares


def test_items_that_cannot_be_scored_are_named_by_their_lines() -> None:
    items = [Item("a", (), "x", line=1), Item("b", (), None, line=2), Item("c", (), {}, line=3)]
    faults = item_faults(evaluation("exact >= stable", "contains >= stable"), items)
    assert [fault.line for fault in faults] == [2, 2, 3, 3]
    assert str(faults[0]) == "line 2: has no expected, which contains holds the answer against"
