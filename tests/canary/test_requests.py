"""What the machine answers to people who want to skip to a share. The other verbs are in `test_machine.py`."""

from dataclasses import replace

import pytest

from canary.requests import was_accepted, wish
from canary.rollout import Phase, Reason
from canary.snapshot import OperatorRequest, RouteStatus
from canary.spec.models import Stage
from canary.weights import Weights
from tests.canary.rollouts import an_event
from tests.canary.story import ERRORS, Story, plan

SHARES = (0.05, 0.25, 0.75, 1.0)


def at_25(**fields: object) -> Story:
    """A rollout that is judged in the second of four stages."""
    stages = [Stage(traffic=share, hold=60, gates=(ERRORS,), **fields) for share in SHARES[:-1]]
    story = Story(plan(*stages, Stage(traffic=1.0, hold=60)))
    return story.ready(5).at(10).ask(11, "promote").expect(Phase.ANALYZING, weight=0.25)


def last_answer(story: Story) -> str:
    return next(event.message for event in reversed(story.rollout.history) if event.event == "operator")


def was_last_accepted(story: Story) -> bool:
    """As the entry says, and as it is found out for an entry of a build that did not write it."""
    history = story.rollout.history
    event = next(event for event in reversed(history) if event.event == "operator")
    bare = {key: value for key, value in event.evidence.items() if key != "accepted"}
    earlier = [replace(each, evidence=bare) if each is event else each for each in history]
    assert was_accepted(earlier[history.index(event)], earlier) is event.evidence["accepted"]
    return was_accepted(event, history)


def test_an_answer_says_whether_the_request_was_accepted() -> None:
    story = at_25()
    assert was_last_accepted(story.ask(12, "pause"))
    assert not was_last_accepted(story.ask(13, "approve"))
    assert not was_last_accepted(story.ask(14, "promote", to=0.6))
    assert was_last_accepted(story.ask(15, "promote", to=0.75))
    assert not was_last_accepted(story.ask(16, "resume"))
    assert was_last_accepted(story.ask(17, "abort"))
    assert not was_last_accepted(story.ask(18, "promote"))


@pytest.mark.parametrize("accepted", [True, False])
def test_the_wording_of_an_answer_decides_nothing(accepted: bool) -> None:
    event = an_event(event="operator", message="ada asked: nothing was changed.", evidence={"accepted": accepted})
    assert was_accepted(event, [event]) is accepted


@pytest.mark.parametrize(("to", "stage", "phase"), [(0.75, 2, Phase.ANALYZING), (1.0, 3, Phase.WATCHING)])
def test_a_later_share_is_skipped_to_and_counts_as_the_pass_of_all_before(to: float, stage: int, phase: Phase) -> None:
    story = at_25().ask(12, "promote", to=to).expect(phase, weight=to, stage=stage)
    assert last_answer(story) == f"ada skipped to stage {stage + 1} ({to * 100:g} %)."
    assert story.rollout.passed == tuple(range(stage))
    assert any(event.reason is Reason.STAGE_SKIPPED and event.weight == to for event in story.rollout.history)


def test_a_stage_between_can_be_left_out() -> None:
    story = Story(plan(*(Stage(traffic=share, hold=60, gates=(ERRORS,)) for share in SHARES[:-1]), Stage(traffic=1.0)))
    story.ready(5).at(10).ask(11, "promote", to=0.75).expect(Phase.ANALYZING, weight=0.75, stage=2)
    assert 0.25 not in {event.weight for event in story.rollout.history}


@pytest.mark.parametrize("to", [0.0, 0.05, 0.25, 0.6, 0.7500011])
def test_a_share_that_no_later_stage_has_changes_nothing_and_names_those_that_are_left(to: float) -> None:
    """Neither where it is, nor back, nor anything between two stages."""
    story = at_25().ask(12, "promote", to=to).expect(Phase.ANALYZING, weight=0.25, stage=1)
    assert last_answer(story).startswith("ada asked to promote to ")
    assert last_answer(story).endswith(" %, which no later stage has (75 %, 100 %): nothing was changed.")


def test_a_share_is_met_however_it_was_rounded() -> None:
    third = Story(
        plan(Stage(traffic=0.05, hold=60, gates=(ERRORS,)), Stage(traffic=0.333333, hold=60), Stage(traffic=1))
    )
    third.ready(5).at(10).ask(11, "promote", to=1 / 3).expect(Phase.ANALYZING, weight=0.333333, stage=1)


def test_one_that_is_paused_goes_there_and_on() -> None:
    at_25().ask(12, "pause").expect(Phase.PAUSED).ask(13, "promote", to=0.75).expect(Phase.ANALYZING, weight=0.75)


def test_one_that_nobody_sees_goes_there_at_a_persons_word() -> None:
    blind = at_25().silence(80).expect(Phase.BLIND)
    blind.ask(81, "promote", to=0.75)
    assert (blind.rollout.stage, blind.rollout.weights.share) == (2, 0.75), blind.tell()


def test_one_that_waits_for_approval_goes_there() -> None:
    waiting = at_25(approve="leads").at(300).expect(Phase.AWAITING_APPROVAL, weight=0.25)
    waiting.ask(301, "promote", to=1.0).expect(Phase.WATCHING, weight=1.0, stage=3)


def test_nothing_is_skipped_while_the_canary_cannot_serve_or_in_the_last_stage() -> None:
    last = at_25().ask(12, "promote", to=1.0).ask(13, "promote", to=1.0).expect(Phase.WATCHING, stage=3)
    assert (
        last_answer(last) == "ada asked to promote to 100 %, which is not possible while Watching: nothing was changed."
    )
    early = Story().ask(1, "promote", to=0.25).expect(Phase.PREPARING, weight=0)
    assert last_answer(early).endswith("nothing was changed.")


def test_where_both_are_said_the_share_counts() -> None:
    """It is the smaller step; the ways in refuse the two together."""
    at_25().ask(12, "promote", full=True, to=0.75).expect(Phase.ANALYZING, weight=0.75, stage=2)


def test_the_answer_says_how_far_somebody_went() -> None:
    assert last_answer(at_25().ask(12, "promote")) == "ada skipped the rest of stage 2."
    assert last_answer(at_25().ask(12, "promote", full=True)) == "ada skipped to stage 4 (100 %)."


def test_a_wish_is_said_with_how_far_it_goes() -> None:
    wishes = (OperatorRequest("q", "promote", "ada", 0.0, full, to) for full, to in ((False, None), (True, None)))
    assert [wish(each) for each in wishes] == ["promote", "promote to 100 %"]
    assert wish(OperatorRequest("q", "promote", "ada", 0.0, to=0.005)) == "promote to 0.5 %"
    assert wish(OperatorRequest("q", "abort", "ada", 0.0)) == "abort"


def test_stages_that_are_skipped_are_not_missed_in_a_route_that_takes_its_time() -> None:
    """KServe's controllers take seconds: until then the route has what it had before the first of them."""
    story = Story(plan(*(Stage(traffic=share, hold=60, gates=(ERRORS,)) for share in SHARES))).ready(5)
    story.expect(Phase.ANALYZING, weight=0.05).follows = False
    story.ask(10, "promote", to=0.75)
    story.at(12, route=RouteStatus(at=12, weights=Weights.of_share(0.05))).expect(Phase.SHIFTING, weight=0.75)
    lowered = RouteStatus(at=18, weights=Weights.of_share(0.01))
    story.at(18, route=lowered).expect(Phase.ROLLING_BACK, Reason.ROUTE_LOWERED, weight=0)
