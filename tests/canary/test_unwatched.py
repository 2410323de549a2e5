"""Time that nobody watched brings no stage nearer to its end and no deadline nearer to its own."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.rollout import Drain, Phase, Reason
from canary.unwatched import not_counted
from tests.canary.story import Story, plan

SECONDS = st.floats(min_value=-1e6, max_value=1e6).filter(lambda seconds: abs(seconds) > 1)


def under_way() -> Story:
    """A canary in its first stage, half of whose hold is over."""
    return Story().ready(5).at(40).expect(Phase.ANALYZING, stage=0)


@given(SECONDS)
def test_r14_what_was_waited_for_is_waited_for_as_long_as_before(seconds: float) -> None:
    story = under_way()
    before = replace(story.rollout, drain=Drain("canary", 30.0), steady_since=3.0)
    after = not_counted(before, seconds, story.now + seconds)
    for field in ("since", "stage_since", "steady_since"):
        assert getattr(after, field) - getattr(before, field) == pytest.approx(seconds)
    assert after.drain is not None
    assert (after.phase, after.stage, after.weights, after.passed) == (before.phase, 0, before.weights, ())
    assert after.history[-1].reason is Reason.TIME_NOT_WATCHED


@given(SECONDS)
def test_r14_there_and_back_is_where_it_was(seconds: float) -> None:
    story = under_way()
    back = not_counted(not_counted(story.rollout, seconds, 0.0), -seconds, 0.0)
    assert abs(back.stage_since - story.rollout.stage_since) < 1e-6
    assert back.judge.previous is not None
    assert story.rollout.judge.previous is not None
    assert abs(back.judge.previous.at - story.rollout.judge.previous.at) < 1e-6


def test_r14_a_rollout_that_has_ended_has_nothing_to_wait_for() -> None:
    ended = replace(under_way().rollout, phase=Phase.SUCCEEDED, result="promoted")
    assert not_counted(ended, 3600.0, 0.0) is ended


def test_r14_the_deadline_of_a_variant_that_gets_ready_is_not_nearer_after_a_night() -> None:
    story = Story(plan(progressDeadline=100))
    story.at(50).expect(Phase.PREPARING)
    story.rollout, story.now = not_counted(story.rollout, 8 * 3600.0, story.now), story.now + 8 * 3600.0
    story._pass(story.now)
    story.expect(Phase.PREPARING)
