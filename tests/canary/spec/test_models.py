"""The models: frozen, camelCase in files, and what one field refuses for itself."""

from typing import Any

import pytest
from pydantic import ValidationError

from canary.spec.models import Alert, CanarySpec, JudgeSettings, LocalPlatform, ModelCanary, Platform, Stage, Variant


def a_spec(**more: Any) -> dict[str, Any]:
    """The smallest plan, as the Kubernetes API hands it over."""
    return {
        "model": {"name": "m"},
        "stable": {"name": "v1"},
        "canary": {"name": "v2"},
        "stages": [{"traffic": 0.05, "hold": 3600}, {"traffic": 1}],
        **more,
    }


def test_a_resource_with_native_numbers_is_a_plan() -> None:
    """What the Kubernetes API hands over is in base units already."""
    plan = ModelCanary.model_validate({"metadata": {"name": "x"}, "spec": a_spec(maxBlind=60)})
    assert plan.spec.stages[0].traffic == 0.05
    assert plan.spec.max_blind == 60.0


def test_gates_in_python_may_be_lines_or_values() -> None:
    """Tests and simulations write stages without a file."""
    stage = Stage.model_validate({"traffic": 0.05, "gates": ("latency p95 <= 200ms",)})
    assert stage.gates[0].limit == 0.2
    assert Stage(traffic=0.05, gates=stage.gates).gates == stage.gates


def test_a_plan_cannot_be_changed() -> None:
    plan = CanarySpec.model_validate(a_spec())
    with pytest.raises(ValidationError):
        setattr(plan, "on_breach", "hold")  # noqa: B010 - mypy knows already that it is refused


def test_defaults_are_the_same_as_saying_nothing() -> None:
    """Defaults are built without validation, to import quickly; they must still be what validation would give."""
    plan = CanarySpec.model_validate(a_spec())
    assert plan.judge == JudgeSettings.model_validate({})
    assert plan.platform == Platform.model_validate({"local": {}}) == Platform(local=LocalPlatform())
    assert plan.judge.hard_stop.min_requests == 20


def test_a_platform_with_nothing_after_it_has_its_defaults() -> None:
    assert Platform.model_validate({"local": None}).local == LocalPlatform()


@pytest.mark.parametrize(
    ("model", "value"),
    [
        (Platform, {}),
        (Platform, {"local": {}, "kserve": {}}),
        (Alert, {}),
        (Variant, {"name": "v1", "systemPrompt": {}}),
        (Variant, {"name": "v1", "systemPrompt": {"file": "a.txt", "text": "b"}}),
        (Variant, {"name": "v1", "replicas": 0}),
        (Variant, {"name": "v1", "env": {"A-B": "x"}}),
        (Variant, {"name": "v1", "env": {"1A": "x"}}),
        (Variant, {"name": "v1", "command": "python server.py"}),
        (CanarySpec, a_spec(stages=[])),
        (CanarySpec, a_spec(judge={"falseRollback": 0})),
        (CanarySpec, a_spec(judge={"hardStop": {"failures": 0}})),
        (CanarySpec, a_spec(evaluation={"dataset": "a.jsonl", "metrics": []})),
        (CanarySpec, a_spec(onBreach="explode")),
    ],
)
def test_what_makes_no_sense_alone_is_refused(model: Any, value: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(value)
