"""Deciding again: what a record has to have, and what it says of its gaps. Whole rollouts: `tests/simulation`."""

from dataclasses import replace

import pytest

from canary.frame import Begun, Frame, Looked, Restated
from canary.judge import compile_gates
from canary.machine import begin, note
from canary.replay import NoRecording, decided_again, decided_otherwise
from canary.rollout import Phase, Reason
from canary.snapshot import MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec.models import CanarySpec
from canary.weights import ALL_STABLE

SPEC = CanarySpec.model_validate(
    {"model": {"name": "m"}, "stable": {"name": "v1"}, "canary": {"name": "v2"}, "stages": [{"traffic": 1.0}]}
)
CONFIG = compile_gates(SPEC)
BEGUN = Begun(10.0, "chat", "r1", 1, "{}")


def looked(at: float) -> Looked:
    variant = VariantStatus(at, 1, 0)
    return Looked(at, Snapshot(variant, variant, RouteStatus(at, ALL_STABLE), MetricsStatus(at)))


@pytest.mark.parametrize("frames", [[], [looked(11.0), BEGUN]])
def test_a_record_without_its_beginning_is_refused(frames: list[Frame]) -> None:
    with pytest.raises(NoRecording):
        decided_again(SPEC, frames)
    with pytest.raises(NoRecording):
        decided_otherwise(SPEC, frames, SPEC, "r2")


def test_what_the_record_restates_is_taken_over_and_told_as_a_gap() -> None:
    """Its events are known, though nobody can decide them again."""
    rollout = begin(CONFIG, name="chat", revision="r1", attempt=1, now=10.0)
    rollout = note(replace(rollout, phase=Phase.PREPARING), "phase", Reason.VARIANTS_STARTING, "Lost.", {}, 12.0)
    again = decided_again(SPEC, [BEGUN, Restated(12.0, rollout), looked(13.0)])
    assert again.gaps == (12.0,)
    assert [event.message for event in again.events][1] == "Lost."
    assert again.until == 13.0


def test_another_plan_wakes_for_its_own_deadlines() -> None:
    """The recorded plan waits an hour for its variants, the other one ten seconds: nothing new was seen in between."""
    patient, hasty = (SPEC.model_copy(update={"progress_deadline": seconds}) for seconds in (3600.0, 10.0))
    frames: list[Frame] = [BEGUN, looked(10.5), looked(500.0)]
    assert not decided_again(patient, frames).rollout.finished
    other = decided_otherwise(patient, frames, hasty, "r2")
    failed = next(event for event in other.events if event.phase is Phase.ROLLING_BACK)
    assert failed.reason is Reason.CANARY_NOT_READY
    assert 10.0 <= failed.t <= 12.0
