"""Replay of simulated rollouts: the same plan on the same record decides the same at the same times, in every world."""

import os
from dataclasses import replace

import pytest

from canary.frame import FrameEncoder, Restated, frames_of
from canary.replay import decided_again, decided_otherwise
from canary.rollout import Rollout
from canary.spec.parse import revision
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.simulation.plans import SHORT_PLAN, TINY_PLAN

SEEDS = range(10) if os.environ.get("SERINUS_PROFILE") == "nightly" else range(1)
FORGETFUL = {"store-down", "writes-rejected"}
"""Worlds in which decisions cannot be saved: there the record may restate."""


@pytest.mark.parametrize("scenario", sorted(SCENARIOS))
@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_plan_makes_every_decision_again(scenario: str, seed: int) -> None:
    """Every event with its evidence, to the last digit, and the whole state at the end; read back from text."""
    story = simulate(SHORT_PLAN, SCENARIOS[scenario], seed=seed)
    write = FrameEncoder()
    lines = [write.line(frame) for frame in story.frames]

    again = decided_again(SHORT_PLAN.spec, frames_of(lines))

    assert list(again.events) == list(story.events)
    assert story.rollout is not None
    assert _decided(again.rollout) == _decided(story.rollout)
    assert scenario in FORGETFUL or not again.gaps


@pytest.mark.parametrize("fatal", range(0, 60, 3))
def test_a_controller_that_is_killed_anywhere_leaves_a_record_that_decides_the_same(fatal: int) -> None:
    """State and record are written together, so neither knows more than the other."""
    story = simulate(TINY_PLAN, SCENARIOS["errors-x20"], seed=3, fatal={fatal, fatal + 5})

    again = decided_again(TINY_PLAN.spec, story.frames)

    assert list(again.events) == list(story.events)
    assert not any(isinstance(frame, Restated) for frame in story.frames)


@pytest.mark.parametrize("scenario", ["healthy", "errors-x20", "latency-20", "no-traffic"])
def test_a_plan_that_is_called_another_one_and_says_the_same_ends_the_same(scenario: str) -> None:
    """The way for other plans adds nothing of its own where the plan asks for nothing else."""
    story = simulate(SHORT_PLAN, SCENARIOS[scenario], seed=1)
    other = decided_otherwise(SHORT_PLAN.spec, story.frames, SHORT_PLAN.spec, revision(SHORT_PLAN))

    assert other.rollout.result == (story.rollout and story.rollout.result)
    told = [(event.event, event.phase, event.stage, event.reason) for event in story.events]
    assert [(event.event, event.phase, event.stage, event.reason) for event in other.events] == told


def _decided(rollout: Rollout) -> Rollout:
    """Without what was announced: that is not decided."""
    return replace(rollout, announced=0)
