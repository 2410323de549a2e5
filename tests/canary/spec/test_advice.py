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


LATENCY = PLAN.replace("{metric: csat, drift: 3%, GATE}", "GATE")


def _paths(text: str) -> list[str]:
    return [note.path for note in notes(parse_document(text, "canary.yml"))]


def test_r8_a_limit_that_stands_regardless_of_stable_is_said_to_promise_nothing() -> None:
    plan = LATENCY.replace("GATE", "{metric: error_rate, max: 1%, regardlessOfStable: true}")
    [note] = notes(parse_document(plan, "canary.yml"))
    assert note.path == "spec.gates[0].regardlessOfStable"
    assert "rolls every canary back" in note.message
    assert not _paths(LATENCY.replace("GATE", "error_rate <= 1%"))


def test_r8_narrow_margins_where_no_replicas_are_told_apart_are_said_to_be_noise() -> None:
    """With one replica of stable, or where a gateway counts; 10 % is more than replicas wander by."""
    narrow = LATENCY.replace("GATE", "latency p50 not worse than stable by 5%")
    assert _paths(narrow) == ["spec.gates[0]"]
    assert not _paths(narrow.replace("by 5%", "by 10%"))
    several = narrow.replace("stable: {name: one}", "stable: {name: one, replicas: 2}")
    assert not _paths(several)
    route = "platform: {kserve: {gateway: a/b, hostname: x}}"
    in_cluster = several.replace("  model:", f"  {route}\n  model:")
    [note] = notes(parse_document(in_cluster, "canary.yml"))
    assert "metricsProfile" in note.message
    assert not _paths(in_cluster.replace("hostname: x", "hostname: x, metricsProfile: vllm"))


def test_r8_clients_that_stay_on_a_variant_are_said_to_be_the_unit_that_nobody_counts() -> None:
    sticky = LATENCY.replace("  stages:", "  sticky: {header: x-session}\n  stages:")
    narrow = sticky.replace("GATE", "error_rate not worse than stable by 5%")
    assert _paths(narrow) == ["spec.sticky"]
    assert not _paths(narrow.replace("by 5%", "by 50%"))
