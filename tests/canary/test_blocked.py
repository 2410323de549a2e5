"""What is said while something is awaited that does not come by itself."""

from dataclasses import replace

from canary.rollout import Event, Phase, Reason
from canary.snapshot import RouteStatus, VariantStatus
from canary.weights import ALL_STABLE
from tests.canary.story import Story, plan

SILENT = "HTTPRoute models/chat: no controller has accepted it yet, nor its gateway infra/edge (class nobody)"
NO_ROOM = VariantStatus(at=1, ready=0, problem="no GPU left (asks for 1, at most 0 of 4 free on node-a)", stuck=True)


def unheard(deadline: float) -> Story:
    """A rollout whose route no controller ever answers for."""
    story = Story(plan(progress_deadline=deadline))
    story.follows = False
    return story.at(1, route=RouteStatus(at=1, problem=SILENT))


def told(story: Story) -> list[Event]:
    return [event for event in story.rollout.history if event.event == "alert"]


def test_a_route_that_nobody_takes_is_said_within_seconds_with_what_stays_and_until_when_it_is_waited_for() -> None:
    story = unheard(600).at(4)
    story.expect(Phase.PREPARING, Reason.VARIANTS_STARTING)
    story.at(7).expect(Phase.PREPARING, Reason.WAITING_FOR_ROUTE)
    assert story.rollout.message == (
        f"Nobody can be served yet: {SILENT}. v2 gets no traffic meanwhile, and v1 is left as it is. If it does not "
        "come by 1970-01-01T00:10:01Z (progressDeadline 10 min), v2 is stopped and the rollout has failed."
    )


def test_what_is_awaited_is_said_once_however_long_it_lasts() -> None:
    story = unheard(600).at(300)
    assert [event.reason for event in told(story)] == [Reason.WAITING_FOR_ROUTE]


def test_other_numbers_in_the_same_sentence_are_no_news_and_other_words_are() -> None:
    """Seconds go by in it; a second thing that is wrong is another sentence."""
    story = Story(plan(progress_deadline=600)).at(1, canary=NO_ROOM).at(20)
    other = VariantStatus(at=21, problem="no GPU left (asks for 1, at most 0 of 8 free on node-a)", stuck=True)
    story.at(21, canary=other).at(40)
    assert len(told(story)) == 1
    crashed = VariantStatus(at=41, problem="crashed (exit code 1)", stuck=True)
    story.at(41, canary=crashed)
    assert [event.message.split(". ")[0] for event in told(story)] == [
        f"v2 is not ready: {NO_ROOM.problem}",
        f"v2 is not ready: {crashed.problem}",
    ]
    story.expect(Phase.PREPARING, Reason.WAITING_FOR_CANARY)


def test_when_it_has_come_the_phases_own_words_stand_again() -> None:
    story = Story(plan(progress_deadline=600)).at(1).at(2, canary=NO_ROOM)
    begun = story.rollout.message
    story.at(10).expect(Phase.PREPARING, Reason.WAITING_FOR_CANARY)
    story.at(11, canary=VariantStatus(at=11, problem="loading for 1 s")).expect(
        Phase.PREPARING, Reason.VARIANTS_STARTING
    )
    assert story.rollout.message == begun
    story.ready(20).expect(Phase.ANALYZING, weight=0.05)


def test_a_variant_that_only_loads_is_nobodys_news() -> None:
    story = Story(plan(progress_deadline=600)).at(1, canary=VariantStatus(at=1, problem="loading for 1 s")).at(60)
    story.expect(Phase.PREPARING, Reason.VARIANTS_STARTING)
    assert told(story) == []


def test_a_route_that_is_never_taken_ends_the_attempt_with_the_same_words() -> None:
    story = unheard(60).ready(2).at(70)
    story.expect(Phase.ROLLED_BACK)
    failed = next(event for event in story.rollout.history if event.phase is Phase.ROLLING_BACK)
    assert failed.reason is Reason.ROUTE_NOT_READY
    assert SILENT in failed.message


def test_a_shift_that_no_gateway_takes_is_said_after_a_while_and_moves_nothing() -> None:
    """What is in force stays; the rollout goes on once the gateway is back."""
    story = Story().ready(1).expect(Phase.ANALYZING, weight=0.05)
    story.follows = False
    behind = "HTTPRoute models/chat: gateway infra/edge has not taken the last change yet (generation 3)"
    story.at(61).expect(Phase.SHIFTING, Reason.STAGE_PASSED, weight=0.25)
    story.at(64, route=RouteStatus(at=64, problem=behind)).expect(Phase.SHIFTING, Reason.STAGE_PASSED)
    story.at(75).expect(Phase.SHIFTING, Reason.WAITING_FOR_ROUTE, weight=0.25)
    assert story.rollout.message == (
        f"25 % was asked for and is not in force: {behind}. The rollout waits; nothing else is changed."
    )
    story.follows = True
    story.at(80, route=RouteStatus(at=80, weights=story.rollout.weights)).expect(Phase.ANALYZING, weight=0.25)


def test_a_route_that_was_told_less_is_lowered_before_its_gateway_says_so() -> None:
    """Or the weights that were recorded would be written over what somebody took away."""
    story = Story().ready(1).expect(Phase.ANALYZING, weight=0.05)
    story.follows = False
    behind = RouteStatus(
        at=10, problem="gateway infra/edge has not taken the last change yet", asked=story.rollout.weights
    )
    story.at(10, route=behind).expect(Phase.ANALYZING, weight=0.05)
    story.at(12, route=replace(behind, at=12, asked=ALL_STABLE)).expect(Phase.ROLLING_BACK, Reason.ROUTE_LOWERED)
