"""What may be written of an evaluation."""

import pytest
from pydantic import ValidationError

from canary.spec.evaluation import LATER, Evaluation, Scorer
from canary.spec.models import ModelCanary
from canary.spec.parse import parse
from canary.spec.stored import from_text, to_text


def test_scorers_that_nothing_carries_out_yet_are_refused_with_those_that_there_are() -> None:
    for kind in LATER:
        with pytest.raises(ValidationError, match=f"no scorer of kind {kind} is built yet; there are exact"):
            Scorer.model_validate({"kind": kind})


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ({"kind": "regex"}, "pattern goes with kind: regex"),
        ({"kind": "exact", "pattern": "a"}, "pattern goes with kind: regex"),
        ({"kind": "length"}, "needs most, least or both"),
        ({"kind": "regex", "pattern": "a" * 1001}, "at most 1000"),
    ],
)
def test_a_scorer_has_the_settings_of_its_kind(written: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        Scorer.model_validate(written)


def test_a_plan_with_an_evaluation_is_stored_and_read_as_the_same() -> None:
    text = """
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: a}
spec:
  model: {name: m}
  stable: {name: v1}
  canary: {name: v2}
  evaluation:
    dataset: items.jsonl
    metrics: [exact >= stable, polite not worse than stable by 2pp]
    scorers: {polite: {kind: regex, pattern: please}}
    request: {maxTokens: 64, temperature: 0.5}
    onFail: warn
  stages: [{traffic: 100%}]
"""
    plan: ModelCanary = parse(text, "canary.yml")
    assert from_text(to_text(plan)) == plan
    evaluation = plan.spec.evaluation
    assert isinstance(evaluation, Evaluation)
    assert (evaluation.request.max_tokens, evaluation.request.temperature, evaluation.on_fail) == (64, "0.5", "warn")
