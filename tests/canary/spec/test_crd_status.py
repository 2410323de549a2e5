"""What the operator writes into a status is what the CRD lets through: the server would drop the rest."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from canary.rollout import Event, Phase, Reason, Rollout
from canary.snapshot import MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec.crd_status import STATUS
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Weights
from controlplane.operator.status import StatusInputs, StatusUpdate, status_of
from tests.canary.spec.test_crd import closed

NOW = 1_790_000_000.0
STRICT = jsonschema.Draft202012Validator(closed(STATUS))
VERDICT = GateVerdict(
    "latency p95 <= 200ms", GateAnswer.WAIT, "too few", 0.1, None, 0.2, 1.5, {"canary": 20.0, "stable": 9}
)
EVENT = Event(
    "a/1/1", NOW, 1.0, "a", "9f", "weights", Phase.SHIFTING, 1, 0.25, Reason.STAGE_PASSED, "moved", {"x": 1}, seq=1
)
ROLLOUT = Rollout("a", "9f2c", 1, NOW)
FACTS = StatusInputs(3, 2, stages=4, slots=({"variant": "bf16", "since": "2026-11-21T09:00:05Z"}, {"variant": ""}))


def status(rollout: Rollout, facts: StatusInputs = FACTS) -> dict[str, Any]:
    """The status as the server gets it."""
    made: dict[str, Any] = json.loads(json.dumps(status_of(StatusUpdate(rollout, "plan", 7, facts), {}, NOW)))
    return made


@pytest.mark.parametrize("phase", Phase)
def test_a_status_of_every_phase_is_let_through_whole(phase: Phase) -> None:
    full = replace(
        ROLLOUT,
        phase=phase,
        message="x" * 5000,
        weights=Weights(250_000),
        verdicts=(VERDICT, replace(VERDICT, verdict=GateAnswer.FAIL, canary=float("inf"))) * 40,
        history=(EVENT,) * 60,
        harm_began=NOW,
        decided=NOW,
        zero=NOW,
        result="rolled_back",
        served={"stable": 1e9, "canary": 3.0},
    )
    STRICT.validate(status(full))


def test_the_first_status_and_one_with_faults_are_let_through() -> None:
    STRICT.validate(status(ROLLOUT, StatusInputs()))
    STRICT.validate(status(ROLLOUT, StatusInputs(faults=("spec.stages: one", "spec.gates: two"))))


def test_what_the_world_looked_like_is_let_through() -> None:
    seen = Snapshot(VariantStatus(NOW), VariantStatus(NOW), RouteStatus(NOW, Weights(50_000)), MetricsStatus(NOW))
    made = status(ROLLOUT, replace(FACTS, seen=seen))
    assert made["weightSeen"] == "5 %"
    STRICT.validate(made)
