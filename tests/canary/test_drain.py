"""What has lost its traffic is not stopped before it has answered what it had begun, and what is cut is counted."""

from dataclasses import replace

import pytest

from canary.action import Retire, Run, Stop
from canary.invariants import broken
from canary.machine import advance
from canary.rollout import Phase, Reason
from canary.snapshot import InFlight, RouteStatus
from canary.spec.models import Cohort, Stage
from canary.weights import ALL_STABLE, Arm
from tests.canary.story import Story, plan


class Counted(Story):
    """A story in which somebody counts what each arm is answering."""

    def count(
        self,
        seconds: float,
        arm: Arm,
        open_: float,
        broken: float = 0.0,
        *,
        at: float | None = None,
        settled: float | None = None,
    ) -> Story:
        """Somebody counts, at this moment or (`at`) at an earlier one."""
        counts = {**self.seen.in_flight, arm: InFlight(seconds if at is None else at, open_, broken, settled)}
        return self.at(seconds, in_flight=counts)


def aborted(**fields: object) -> Counted:
    """A canary at 5 % is aborted at 21 s, with nine answers under way."""
    story = Counted(plan(**{"drain": 300.0, **fields}))
    story.ready(5).at(20)
    story.count(20.5, "canary", 9, 2)
    story.ask(21, "abort").expect(Phase.ROLLING_BACK, weight=0.0)
    return story


def requests(story: Story) -> dict[str, object]:
    ends = [event for event in story.rollout.history if event.event == "end"]
    return dict(ends[-1].evidence["requests"])


def test_a_rollback_takes_the_traffic_at_once_and_waits_for_what_is_open() -> None:
    story = aborted()
    assert story.rollout.zero == 21
    story.count(22, "canary", 9, 2).expect(Phase.ROLLING_BACK, weight=0.0)
    story.count(100, "canary", 1, 2).expect(Phase.ROLLING_BACK, Reason.DRAINING)
    assert Stop("canary") not in story.actions
    assert Run("canary") in story.actions
    assert "Open requests of v2: 1. It is stopped once there are none" in story.rollout.message
    story.count(130, "canary", 0, 2).expect(Phase.ROLLED_BACK, weight=0.0)
    assert Stop("canary") in story.actions
    assert "answered the 9 requests that it had begun, within 109 s" in story.rollout.message
    assert requests(story)["cut_by_stop"] == 0


def test_r5_a_count_of_zero_is_not_trusted_while_a_worker_of_the_proxy_may_send_by_the_old_weights() -> None:
    """One that gets no processor goes on as before while the proxy says that it routes otherwise."""
    story = aborted()
    story.count(22, "canary", 0, 2).expect(Phase.ROLLING_BACK, weight=0.0)
    story.count(22.9, "canary", 0, 2).expect(Phase.ROLLING_BACK, weight=0.0)
    story.count(23.1, "canary", 0, 2).expect(Phase.ROLLED_BACK, weight=0.0)
    story = aborted()
    story.count(30, "canary", 0, 2, settled=20.9).expect(Phase.ROLLING_BACK, weight=0.0)
    story.count(31, "canary", 0, 2, settled=21.0).expect(Phase.ROLLED_BACK, weight=0.0)


def test_what_is_open_when_its_time_is_over_is_cut_and_counted() -> None:
    story = aborted(drain=60.0)
    story.count(22, "canary", 9, 2)
    story.count(79, "canary", 3, 2).expect(Phase.ROLLING_BACK)
    story.count(81, "canary", 3, 2).expect(Phase.ROLLED_BACK)
    assert requests(story)["cut_by_stop"] == 3
    assert "3 requests that v2 was still answering were cut off" in story.rollout.message


def test_answers_that_break_off_meanwhile_are_counted_as_cut() -> None:
    """The process died while it was drained: nothing is open, and nothing was answered."""
    story = aborted()
    story.count(22, "canary", 9, 2)
    story.count(40, "canary", 0, 11).expect(Phase.ROLLED_BACK)
    assert requests(story)["cut_by_stop"] == 9


def test_a_proxy_that_was_started_again_counts_from_zero() -> None:
    story = aborted()
    story.count(22, "canary", 9, 20)
    story.count(40, "canary", 0, 4).expect(Phase.ROLLED_BACK)
    assert requests(story)["cut_by_stop"] == 4


def test_a_count_from_before_the_traffic_was_gone_proves_nothing() -> None:
    story = aborted()
    story.count(23, "canary", 0, at=20.9).expect(Phase.ROLLING_BACK)
    story.count(24, "canary", 0, at=22.9).expect(Phase.ROLLING_BACK)
    story.count(25, "canary", 0, at=23).expect(Phase.ROLLED_BACK)


def test_short_answers_are_not_worth_a_word() -> None:
    """They are open at any moment, and gone a second later."""
    story = aborted()
    story.count(21.5, "canary", 9, 2)
    story.count(23.5, "canary", 0, 2).expect(Phase.ROLLED_BACK)
    assert story.rollout.message == "All traffic is on v1 again, 0 s after the decision."
    assert Reason.DRAINING not in [event.reason for event in story.rollout.history]


def test_what_is_still_answered_is_told_once_and_kept_up_to_date() -> None:
    story = aborted()
    for second in range(22, 60):
        story.count(second, "canary", 60 - second, 2)
    told = [event for event in story.rollout.history if event.reason is Reason.DRAINING]
    assert len(told) == 1
    assert "Open requests of v2: 1." in story.rollout.message


def test_where_nobody_counts_it_has_all_of_its_time() -> None:
    story = Story(plan(drain=60.0)).ready(5).at(20).ask(21, "abort")
    story.at(80).expect(Phase.ROLLING_BACK)
    story.at(81).expect(Phase.ROLLED_BACK)
    assert "Nobody counts what v2 was still answering; it had 1 min for it (drain)." in story.rollout.message
    assert "cut_by_stop" not in requests(story)


def test_a_plan_that_does_not_say_waits_long_for_requests_that_are_counted_and_briefly_for_others() -> None:
    """Where nothing counts them, a rollback would end five minutes later for nothing."""
    story = Story(plan(drain=None)).ready(5).at(20).ask(21, "abort")
    story.at(50).expect(Phase.ROLLING_BACK)
    story.at(51).expect(Phase.ROLLED_BACK)
    assert "it had 30 s for it (drain)" in story.rollout.message
    counted = aborted(drain=None)
    counted.count(100, "canary", 1, 2).expect(Phase.ROLLING_BACK)
    counted.count(320, "canary", 1, 2).expect(Phase.ROLLING_BACK)
    counted.count(321, "canary", 1, 2).expect(Phase.ROLLED_BACK)


def test_a_drain_of_nothing_cuts_at_once_and_says_how_many() -> None:
    story = Counted(plan(drain=0.0)).ready(5).at(20)
    story.follows = False
    story.ask(21, "abort").expect(Phase.ROLLING_BACK)
    story.count(21.1, "canary", 9, 2)
    story.at(21.2, route=RouteStatus(21.1, ALL_STABLE)).expect(Phase.ROLLED_BACK)
    assert requests(story)["cut_by_stop"] == 9


def test_who_aborts_again_does_not_wait() -> None:
    story = aborted()
    story.count(30, "canary", 5, 2).expect(Phase.ROLLING_BACK)
    story.ask(31, "abort").expect(Phase.ROLLED_BACK)
    assert requests(story)["cut_by_stop"] == 5


def test_who_aborts_again_does_not_stop_a_canary_that_the_route_still_sends_everything_to() -> None:
    """Stable was drained at 100 %, and after the abort the route is slow to give its traffic back."""
    story = Story(plan(Stage(traffic=1.0, hold=600), drain=300.0)).ready(5).expect(Phase.WATCHING)
    story.follows = False
    story.ask(20, "abort").expect(Phase.ROLLING_BACK)
    story.ask(21, "abort").expect(Phase.ROLLING_BACK)
    assert Stop("canary") not in story.actions
    story.at(22, route=RouteStatus(22, ALL_STABLE))
    story.ask(23, "abort").expect(Phase.ROLLED_BACK)


def test_a_canary_without_any_traffic_is_not_waited_for() -> None:
    story = Story(plan(drain=60.0)).ready(5, canary=False).ask(21, "abort").expect(Phase.ROLLED_BACK)
    assert "never had traffic" in story.rollout.message


def test_a_stable_variant_that_never_served_is_not_said_to_serve_as_before() -> None:
    story = Story(plan(drain=60.0)).ready(5, stable=False, canary=False).ask(21, "abort").expect(Phase.ROLLED_BACK)
    assert story.rollout.message.startswith("v2 never had traffic; v1 cannot serve either")


def test_a_promotion_waits_for_what_stable_still_answers() -> None:
    story = Counted(plan(Stage(traffic=1.0, hold=10), drain=300.0)).ready(5).expect(Phase.WATCHING)
    story.count(6, "stable", 4)
    story.count(20, "stable", 2).expect(Phase.WATCHING, Reason.DRAINING, weight=1.0)
    assert "Open requests of v1: 2." in story.rollout.message
    story.count(50, "stable", 0).expect(Phase.SUCCEEDED)
    assert Stop("stable") in story.actions
    assert requests(story)["cut_by_stop"] == 0


def test_a_rollback_from_all_of_the_traffic_drains_the_canary() -> None:
    story = Counted(plan(Stage(traffic=1.0, hold=600), drain=300.0)).ready(5).expect(Phase.WATCHING)
    story.count(6, "stable", 0)
    story.count(20, "canary", 7)
    story.ask(21, "abort").expect(Phase.ROLLING_BACK)
    story.count(30, "canary", 7).expect(Phase.ROLLING_BACK)
    story.count(40, "canary", 0).expect(Phase.ROLLED_BACK)


def test_a_newer_plan_waits_for_the_answers_of_the_one_before() -> None:
    story = aborted()
    story.count(22, "canary", 3)
    story.count(30, "canary", 0).expect(Phase.ROLLED_BACK)
    other = Counted(plan(drain=300.0)).ready(5).at(20)
    other.at(21, superseded_by="r2").expect(Phase.ROLLING_BACK)
    other.count(30, "canary", 3).expect(Phase.ROLLING_BACK)
    other.count(40, "canary", 0).expect(Phase.SUPERSEDED)


@pytest.mark.parametrize("open_", [0.0, 3.0])
def test_the_invariant_sees_a_stop_that_came_too_soon(open_: float) -> None:
    story = aborted()
    story.count(23, "canary", 0)
    seen = replace(story.seen, in_flight={"canary": InFlight(23, 0.0, 0.0)})
    story = aborted()
    decision = advance(story.config, story.rollout, seen, 23.0)
    assert decision.rollout.phase is Phase.ROLLED_BACK
    told = replace(seen, in_flight={"canary": InFlight(23, open_, 0.0)})
    assert bool(broken(story.spec, story.rollout, told, decision)) == (open_ > 0)


def test_with_a_cohort_stable_is_retired_before_it_is_drained() -> None:
    """Who is outside the cohort asks it until then: its count says nothing before."""
    cohort = Cohort(header="x-tier", values=("beta",))
    story = Counted(plan(Stage(traffic=1.0, hold=10), drain=300.0, cohort=cohort)).ready(5).expect(Phase.WATCHING)
    story.count(8, "stable", 0).expect(Phase.WATCHING)
    assert Retire("stable") not in story.actions
    story.count(20, "stable", 0).expect(Phase.WATCHING)
    assert Retire("stable") in story.actions
    story.at(21, idle=("stable",))
    story.count(22, "stable", 2).expect(Phase.WATCHING)
    story.count(30, "stable", 0).expect(Phase.SUCCEEDED)


def test_a_stable_that_is_never_seen_retired_is_not_waited_for_for_ever() -> None:
    cohort = Cohort(header="x-tier", values=("beta",))
    story = Counted(plan(Stage(traffic=1.0, hold=10), drain=60.0, cohort=cohort)).ready(5)
    story.count(70, "stable", 2).expect(Phase.WATCHING)
    story.at(76).expect(Phase.SUCCEEDED)
