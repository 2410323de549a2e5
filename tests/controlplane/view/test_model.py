"""The picture says what the state and the last look say, and nothing else."""

import dataclasses
import math

import pytest

from canary.rollout import Phase
from canary.snapshot import MetricsStatus, RouteStatus, VariantStatus
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Weights
from controlplane.view.model import picture
from tests.controlplane.view.scenes import PASSES, analyzing, plan, preparing, rolled_back, seen


def test_a_stage_being_judged_shows_how_long_it_has_been_held() -> None:
    rollout, world, now = analyzing()
    shown = picture(plan(), rollout, world, now)
    assert [(step.share, step.state) for step in shown.stages] == [
        (0.05, "passed"),
        (0.25, "now"),
        (0.75, "ahead"),
        (1.0, "ahead"),
    ]
    assert shown.stages[1].held == pytest.approx(251.6)
    assert not shown.finished


def test_gates_without_a_verdict_wait_and_those_outside_the_plan_come_last() -> None:
    """The hard stop is in no plan: its verdict is a row of its own."""
    rollout, world, now = analyzing()
    stop = GateVerdict(
        "half of the canary's requests fail", GateAnswer.FAIL, "30 of 40 failed.", 0.75, 0.0, 0.5, spoke="hard stop"
    )
    shown = picture(plan(), dataclasses.replace(rollout, verdicts=(stop, PASSES)), world, now)
    assert [(row.label, row.verdict) for row in shown.gates] == [
        ("latency p95", GateAnswer.PASS),
        ("error_rate", GateAnswer.WAIT),
        ("ttft p95", GateAnswer.WAIT),
        ("kpi/conversion", GateAnswer.WAIT),
        ("half of the canary's requests fail", GateAnswer.FAIL),
    ]
    assert shown.gates[1].why == "no evidence yet"
    assert shown.gates[1].limit == 0.01
    assert (shown.gates[2].limit, shown.gates[2].margin) == (None, 0.1)
    assert not shown.gates[3].at_most
    assert shown.gates[3].unit == "share"


def test_a_rollback_tells_its_cause_and_its_times() -> None:
    shown = picture(plan(), *rolled_back())
    assert shown.cause.startswith("error_rate <= 1% failed: 12 % of answers failed")
    assert shown.ending is not None
    assert shown.ending.harm_to_verdict == pytest.approx(2.8)
    assert shown.ending.verdict_to_zero == pytest.approx(0.1)
    assert shown.ending.peak == 0.25
    assert shown.finished


def test_weights_that_are_not_in_force_yet_are_seen() -> None:
    rollout, world, now = analyzing()
    world = dataclasses.replace(world, route=RouteStatus(at=now, weights=Weights.of_share(0.05)))
    stable, canary = picture(plan(), rollout, world, now).arms
    assert (canary.asked, canary.in_force) == (0.25, 0.05)
    assert (stable.asked, stable.in_force) == (0.75, 0.95)


@pytest.mark.parametrize("phase", Phase)
def test_there_is_a_picture_of_every_phase(phase: Phase) -> None:
    """With nothing known of the world: no metrics, no route, no readiness."""
    rollout, _, now = analyzing()
    world = seen(0, Weights(0), evidence=MetricsStatus(at=0.0), route=RouteStatus(at=0.0), canary=VariantStatus(at=0.0))
    shown = picture(plan(), dataclasses.replace(rollout, phase=phase), world, now)
    assert shown.waits_for
    assert shown.evidence_age is None


def test_names_and_sentences_cannot_command_a_terminal() -> None:
    rollout, world, now = preparing()
    world = dataclasses.replace(world, canary=VariantStatus(at=now, problem="died\x1b[2J\nbadly"))
    spec = plan().model_copy(update={"canary": plan().canary.model_copy(update={"name": "nf4\x1b[31m"})})
    shown = picture(spec, dataclasses.replace(rollout, message="\x1b]0;owned\x07hello", phase=Phase.PAUSED), world, now)
    assert (shown.arms[1].name, shown.arms[1].problem) == ("nf4", "died badly")
    assert (shown.message, shown.waits_for) == ("hello", "hello")


def test_a_value_that_is_no_number_is_kept_as_it_is() -> None:
    """Formatting, not the picture, decides how NaN looks."""
    rollout, world, now = analyzing()
    odd = dataclasses.replace(PASSES, canary=math.nan)
    assert math.isnan(picture(plan(), dataclasses.replace(rollout, verdicts=(odd,)), world, now).gates[0].canary or 0.0)
