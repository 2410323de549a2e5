"""A stored plan is the plan."""

from pathlib import Path

import pytest

from canary.spec import parse, revision
from canary.spec.stored import from_text, to_text

PLAN = b"""
apiVersion: serinus.dev/v1alpha1
kind: ModelCanary
metadata: {name: chat}
spec:
  model: {name: chat}
  stable: {name: a, command: [serve, --port, "{port}"]}
  canary: {name: b, command: [serve, --port, "{port}", --fast]}
  judge: {falseRollback: 5%}
  evaluation: {dataset: d.jsonl, metrics: [accuracy >= 70%, accuracy >= stable]}
  gates: [latency p95 not worse than stable by 10%]
  stages:
    - traffic: 5%
      hold: 8h
      gates:
        - error_rate <= 0.1%
        - {metric: kpi/conversion, query: "sum by (variant) (y)", drift: 5%, window: 4h, onBreach: pause}
    - {traffic: 100%}
"""
SHORT = b"model: org/m\nvariants:\n- name: a\n  prompt: one\n- name: b\n  prompt: two\ntraffic_split: 95/5\n"


@pytest.mark.parametrize("text", [PLAN, SHORT])
def test_a_plan_comes_back_from_the_store_as_it_was(text: bytes) -> None:
    """Every field, and so the revision too."""
    plan = parse(text, "canary.yml")
    again = from_text(to_text(plan))
    assert again == plan
    assert revision(again) == revision(plan)


def test_the_samples_in_the_manifests_come_back(tmp_path: Path) -> None:
    """What we show people is stored exactly."""
    for file in (Path(__file__).parents[3] / "manifests" / "examples").glob("*.yml"):
        plan = parse(file.read_bytes(), str(file))
        assert from_text(to_text(plan)) == plan
