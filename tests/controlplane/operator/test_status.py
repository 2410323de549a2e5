"""The status: what it says, that the CRD knows every field of it, and that it stays small whatever happens."""

import json
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canary.judge.state import JudgeMemory
from canary.rollout import Phase, Reason, Rollout
from canary.snapshot import MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec.crd_status import STATUS
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Weights
from controlplane.operator.state import packed, rollout_of
from controlplane.operator.status import MOST_BYTES, StatusInputs, StatusUpdate, has_news, status_of
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.canary.rollouts import ROLLOUTS, a_rollout, an_event
from tests.simulation.plans import SAMPLE_PLAN

NOW = 1_767_225_600.0


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema as the server takes it: what it does not name is dropped, so here it is a fault."""
    made = dict(schema)
    if "properties" in made:
        made["properties"] = {name: _closed(inner) for name, inner in made["properties"].items()}
        made["additionalProperties"] = False
    if "items" in made:
        made["items"] = _closed(made["items"])
    return made


KNOWN = jsonschema.Draft202012Validator(_closed(STATUS))


def _size(status: dict[str, Any]) -> int:
    rest = {key: value for key, value in status.items() if key != "plan"}
    return len(json.dumps(rest, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode())


def test_what_people_read_is_plain() -> None:
    seen = Snapshot(
        VariantStatus(NOW, 1, 1), VariantStatus(NOW, 1, 1), RouteStatus(NOW, Weights.of_share(0.05)), MetricsStatus(NOW)
    )
    gate = GateVerdict("error_rate <= 5%", GateAnswer.WAIT, "wait and see", canary=0.01, samples={"canary": 40.0})
    rollout = a_rollout(
        phase=Phase.SHIFTING,
        reason=Reason.STAGE_PASSED,
        message="Giving 25 %.",
        stage=1,
        weights=Weights.of_share(0.25),
        verdicts=(gate,),
        history=(an_event(),),
        events=1,
    )
    slots = [{"variant": "v1", "since": "2026-01-01T00:00:00Z"}]
    status = status_of(StatusUpdate(rollout, "{}", 7, StatusInputs(3, 2, (), 4, seen, slots)), {}, NOW)
    told = {key: status[key] for key in ("phase", "stageText", "weight", "weightSeen", "verdict", "reason", "version")}
    assert told == {
        "phase": "Shifting",
        "stageText": "2/4",
        "weight": "25 %",
        "weightSeen": "5 %",
        "verdict": "wait",
        "reason": "StagePassed",
        "version": 7,
    }
    assert (status["observedGeneration"], status["fence"], status["slots"]) == (3, 2, slots)
    assert status["gates"][0]["samples"] == {"canary": 40}


def test_a_rollout_that_was_put_back_says_why_before_it_says_that() -> None:
    """Whoever looks a day later wants the cause, not the last step."""
    back = an_event(1, phase=Phase.ROLLING_BACK, reason=Reason.CANARY_NOT_READY, message="It crashed.")
    rollout = a_rollout(
        phase=Phase.ROLLED_BACK, reason=Reason.TRAFFIC_BACK, message="v1 serves.", history=(back,), result="failed"
    )
    status = status_of(StatusUpdate(rollout, "", 1), {}, NOW)
    assert (status["reason"], status["message"]) == ("CanaryNotReady", "It crashed. v1 serves.")
    degraded = next(each for each in status["conditions"] if each["type"] == "Degraded")
    assert (degraded["status"], degraded["reason"]) == ("True", "CanaryNotReady")


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = status_of(StatusUpdate(a_rollout(phase=Phase.ANALYZING, message="a"), "", 1), {}, NOW)
    second = status_of(StatusUpdate(a_rollout(phase=Phase.BLIND, message="b"), "", 2), first, NOW + 60)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times["Blind"] == "2026-01-01T00:01:00Z"
    assert times["Ready"] == "2026-01-01T00:00:00Z"


@settings(max_examples=20, deadline=None)
@given(ROLLOUTS, st.text(max_size=50), st.integers(1, 9))
def test_the_crd_knows_every_field_and_the_state_comes_back_exactly(rollout: Rollout, plan: str, version: int) -> None:
    status = status_of(StatusUpdate(rollout, plan, version, StatusInputs(stages=3)), {}, NOW)
    KNOWN.validate(json.loads(json.dumps(status, allow_nan=False)))
    assert rollout_of(status["state"]) == rollout_of(packed(status["state"])) == rollout
    assert status["plan"] == plan


@pytest.mark.parametrize("scenario", ["healthy", "errors-x2"])
def test_a_whole_rollout_fits_at_every_moment(scenario: str) -> None:
    """With the judge's own state as a real plan makes it."""
    states = _states(scenario)
    assert len(states) > 20
    sizes = [_size(status_of(StatusUpdate(state, "", 1), {}, NOW)) for state in states]
    assert max(sizes) <= MOST_BYTES
    assert rollout_of(status_of(StatusUpdate(states[-1], "", 1), {}, NOW)["state"]).judge == states[-1].judge


def test_the_share_that_was_served_stands_beside_the_one_that_was_asked_for() -> None:
    told = [status_of(StatusUpdate(state, "", 1), {}, NOW) for state in _states("healthy")]
    assert "weightServed" not in told[0]
    served = {(each["weight"], each["weightServed"]) for each in told if each.get("weightServed")}
    at_a_quarter = [float(share.removesuffix(" %")) for weight, share in served if weight == "25 %"]
    assert at_a_quarter
    assert all(15 < share < 35 for share in at_a_quarter)


def test_too_much_is_shed_and_what_matters_stays() -> None:
    """Huge evidence, hundreds of gates: the phase, the weights, the cursors and the newest event are still there."""
    evidence = {"verdicts": ["x" * 2000] * 20}
    history = tuple(an_event(number, evidence=evidence) for number in range(1, 101))
    gates = tuple(GateVerdict(f"gate {number}", GateAnswer.WAIT, "y" * 2000) for number in range(300))
    rollout = a_rollout(phase=Phase.ANALYZING, history=history, events=100, announced=99, verdicts=gates)
    rollout = replace(rollout, judge=replace(rollout.judge, memory=JudgeMemory(("z" * 200_000,))))
    status = status_of(StatusUpdate(rollout, "", 1), {}, NOW)
    assert _size(status) <= MOST_BYTES
    kept = rollout_of(status["state"])
    assert (kept.phase, kept.events, kept.announced, kept.history[-1].id) == (Phase.ANALYZING, 100, 99, "chat/1/100")


def test_a_gate_without_data_has_news_once_there_is_some() -> None:
    shown = [{"gate": "error_rate <= 5%", "samples": {"canary": 0}}]
    none, some = ({"canary": count} for count in (0.0, 12.0))
    assert not has_news(shown, [GateVerdict("error_rate <= 5%", GateAnswer.WAIT, "", samples=none)])
    assert has_news(shown, [GateVerdict("error_rate <= 5%", GateAnswer.WAIT, "", samples=some)])
    assert not has_news([{**shown[0], "samples": {"canary": 3}}], [])


def _states(scenario: str) -> list[Rollout]:
    """Every state of a simulated rollout of the sample plan, which has many gates."""
    states: list[Rollout] = []
    simulate(SAMPLE_PLAN, SCENARIOS[scenario], watch=lambda _before, decision: states.append(decision.rollout))
    return states[:: max(1, len(states) // 200)]
