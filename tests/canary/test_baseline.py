"""What a rollout says of its plan once it has seen stable's own past, and when it may look at all."""

from dataclasses import replace

import pytest

from canary.baseline import READINGS, detection_limits, learn_noise, ran_before, seconds_back
from canary.format import share
from canary.judge import compile_gates
from canary.judge.judge import begin
from canary.rollout import Phase, Reason, Rollout
from canary.spec.gates import Gate
from canary.spec.models import CanarySpec, Variant
from canary.weights import Weights
from tests.canary.judge.test_baseline import past
from tests.canary.judge.worlds import plan, remembered

FINE = Gate(
    text="error_rate not worse than stable by 2%",
    metric="error_rate",
    comparison="notWorseThan",
    limit=0.02,
    better="lower",
)
WIDE = Gate(
    text="error_rate not worse than stable by 200%",
    metric="error_rate",
    comparison="notWorseThan",
    limit=2.0,
    better="lower",
)
LIMIT = Gate(text="error_rate <= 5%", metric="error_rate", comparison="max", limit=0.05, better="lower")
SPEC = plan(FINE, WIDE, LIMIT, hold=600.0)
CONFIG = compile_gates(SPEC)


def _rollout(spec: CanarySpec = SPEC, phase: Phase = Phase.PREPARING) -> Rollout:
    return Rollout("r", "1", 2, 900.0, phase, message="Starting.", since=900.0, judge=begin(compile_gates(spec)))


def test_a_margin_below_the_noise_is_said_once_with_both_numbers() -> None:
    """Both stages have the gate; one sentence is enough."""
    rollout = learn_noise(CONFIG, _rollout(), past(), 1000.0)
    [event] = rollout.history
    assert (event.event, event.reason, event.at) == ("alert", Reason.NOISE_FLOOR, 1000.0)
    noise = event.evidence["noise"]
    assert noise > 0.02
    said = f"Your 2 % limit is below the {share(noise)} by which stable differs from itself within 10 min"
    assert event.message.startswith(said)
    assert FINE.text in event.message
    assert rollout.message == f"Starting. {event.message}"
    assert rollout.events == 1


def test_a_margin_that_can_be_told_from_noise_is_not_mentioned() -> None:
    spec = plan(WIDE, LIMIT, hold=600.0)
    rollout = learn_noise(compile_gates(spec), _rollout(spec), past(), 1000.0)
    assert rollout.history == ()
    assert remembered(rollout.judge).everything.gates[WIDE.text].baseline.aa_test.blocks == 119


def test_floors_are_known_for_gates_that_compare_by_a_share_and_fall_with_time() -> None:
    longer = SPEC.model_copy(
        update={"stages": (SPEC.stages[0], SPEC.stages[1].model_copy(update={"hold": 6000.0}), SPEC.stages[2])}
    )
    found = detection_limits(compile_gates(longer), past())
    assert [(floor.stage, floor.gate) for floor in found] == [(s, g.text) for s in (0, 1) for g in (FINE, WIDE)]
    assert found[2].noise < found[0].noise


@pytest.mark.parametrize(
    "rollout",
    [
        _rollout(phase=Phase.ANALYZING),
        _rollout(phase=Phase.SUCCEEDED),
        replace(_rollout(), peak=Weights.of_share(0.05)),
    ],
    ids=["has traffic", "over", "had traffic"],
)
def test_a_rollout_whose_canary_has_traffic_learns_from_the_present_only(rollout: Rollout) -> None:
    assert learn_noise(CONFIG, rollout, past(), 1000.0) is rollout


def test_a_handful_of_readings_teaches_nothing() -> None:
    """A stable variant that has only just been started has no past."""
    rollout = _rollout()
    assert learn_noise(CONFIG, rollout, past(5), 1000.0) is rollout
    assert detection_limits(CONFIG, past(5)) == ()


def test_the_past_is_that_of_the_variant_that_the_rollout_before_left_serving() -> None:
    """The winner if it was promoted, otherwise the old one; under the same name something else may run."""
    won, lost = _rollout(phase=Phase.SUCCEEDED), _rollout(phase=Phase.ROLLED_BACK)
    after_win = SPEC.model_copy(update={"stable": SPEC.canary.model_copy(update={"replicas": 3})})
    changed = after_win.model_copy(update={"stable": Variant(name=SPEC.canary.name, command=["other"])})
    assert ran_before(after_win, won, SPEC)
    assert ran_before(SPEC, lost, SPEC)
    assert not ran_before(after_win, lost, SPEC)
    assert not ran_before(SPEC, won, SPEC)
    assert not ran_before(changed, won, SPEC)
    assert not ran_before(SPEC, _rollout(phase=Phase.ANALYZING), SPEC)


def test_the_look_back_is_half_an_hour_to_two_hours_and_then_scrape_by_scrape() -> None:
    assert seconds_back(1.0) == (1800.0, READINGS)
    assert seconds_back(15.0) == (15.0 * READINGS,)
    assert seconds_back(60.0) == (7200.0,)
