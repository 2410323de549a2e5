"""What `validate` and `plan` say of gates that promise less than they seem to."""

import pytest

from canary.spec.advice import notes
from canary.spec.parse import parse_document

PLAN = """apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: chat, uri: hf://a/b}
  stable: {name: one}
  canary: {name: two}
  stages: [{traffic: 10%, hold: 1h}, {traffic: 100%}]
  gates:
    - {metric: csat, drift: 3%, GATE}
"""


@pytest.mark.parametrize(
    ("gate", "said"),
    [
        ("query: a / b", 1),
        ("query: a / b, failures: 2, test: threshold", 0),
        ("events: a, of: b", 0),
    ],
)
def test_a_query_whose_answers_are_only_counted_is_said_to_be_that(gate: str, said: int) -> None:
    found = notes(parse_document(PLAN.replace("GATE", gate), "canary.yml"))
    assert len(found) == said
    for note in found:
        assert (note.path, note.line) == ("spec.gates[0].query", 10)
        assert "no bound on false rollbacks" in note.message
        assert "events: orders_total and of: sessions_total" in note.message
