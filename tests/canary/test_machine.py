"""Rollouts as stories: what the world does, and where the rollout is then."""

import dataclasses

import pytest

from canary.action import Run, SetWeights, Stop
from canary.errors import BugError
from canary.machine import _apply, advance
from canary.pass_context import PassContext, Transition
from canary.rollout import Phase, Reason
from canary.snapshot import EvaluationStatus, RouteStatus, ShadowDay, ShadowStatus, VariantStatus
from canary.spec.models import CanarySpec, Criterion, Evaluation, Shadow, ShadowPromote, Stage
from canary.verdict import GateAnswer
from canary.weights import ALL_STABLE, Weights
from tests.canary.story import ERRORS, Story, plan


def test_r12_a_healthy_canary_walks_through_every_stage_and_is_promoted() -> None:
    """5, 25, 100 %: each stage is held, passed and left once."""
    story = Story()
    story.at(1).expect(Phase.PREPARING, Reason.VARIANTS_STARTING, weight=0)
    story.ready(5).expect(Phase.ANALYZING, weight=0.05, stage=0)
    story.at(60).expect(Phase.ANALYZING, weight=0.05)
    story.at(66).expect(Phase.ANALYZING, Reason.WEIGHTS_IN_FORCE, weight=0.25, stage=1)
    story.at(120).expect(Phase.ANALYZING, weight=0.25)
    story.at(131).expect(Phase.SUCCEEDED, Reason.PROMOTED, weight=1.0)
    assert story.rollout.result == "promoted"
    assert story.rollout.passed == (0, 1, 2)
    assert Stop("stable") in story.actions


def test_a_failing_canary_loses_its_traffic_in_the_pass_that_sees_it() -> None:
    """From the verdict to weight 0 there is no other step, and the sentence has the numbers."""
    story = Story().ready(5).at(30)
    story.canary_errors = 0.6
    story.at(60).expect(Phase.ROLLED_BACK, Reason.TRAFFIC_BACK, weight=0)
    assert story.rollout.result == "rolled_back"
    assert story.rollout.decided is not None
    assert story.rollout.decided <= 45
    assert Stop("canary") in story.actions
    failed = next(event for event in story.rollout.history if event.reason is Reason.GATE_FAILED)
    assert failed.evidence["verdict"] == "fail"
    assert failed.evidence["samples"]["canary"] > 0


def test_the_end_says_what_was_served_and_how_long_the_way_back_took() -> None:
    """The last event carries counts and times as the contract has them."""
    story = Story().ready(5).at(30)
    story.canary_errors = 0.6
    story.at(60)
    end = story.rollout.history[-1]
    assert end.event == "end"
    assert end.evidence["result"] == "rolled_back"
    assert end.evidence["requests"]["canary"] > 0
    assert end.evidence["decided_to_zero"] >= 0


def test_a_canary_that_stops_being_ready_loses_its_traffic_without_statistics() -> None:
    """A canary that cannot serve needs no evidence."""
    story = Story().ready(5).at(20).ready(21, canary=False)
    story.expect(Phase.ROLLED_BACK, weight=0)
    assert any(event.reason is Reason.CANARY_LOST for event in story.rollout.history)


def test_a_rollback_waits_with_the_canary_while_stable_cannot_serve() -> None:
    """Moving traffic to a dead stable variant would turn a rollback into an outage."""
    story = Story().ready(5).at(20).ready(21, stable=False).ask(22, "abort")
    story.expect(Phase.ROLLING_BACK, weight=0.05)
    assert story.rollout.message.startswith("Stable cannot serve now")
    story.ready(30).expect(Phase.ROLLED_BACK, weight=0)


def test_no_stage_begins_while_stable_cannot_serve() -> None:
    """The way back has to exist before more traffic goes forward."""
    story = Story().ready(5).at(50).ready(51, stable=False).at(120)
    story.expect(Phase.ANALYZING, weight=0.05, stage=0)


def test_a_variant_that_never_gets_ready_ends_the_rollout_before_any_traffic() -> None:
    """The deadline ends the waiting, and stable serves as before."""
    story = Story(plan(progress_deadline=30)).ready(5, canary=False).at(60)
    story.expect(Phase.ROLLED_BACK, weight=0)
    assert story.rollout.result == "failed"
    assert story.rollout.peak == ALL_STABLE


def test_a_route_that_is_never_in_force_ends_the_rollout_at_the_same_deadline() -> None:
    """Both variants are ready and nobody can be served through the route: the canary does not hold its machines."""
    story = Story(plan(progress_deadline=30))
    story.follows = False
    nowhere = RouteStatus(at=5, problem="gateway kserve/mine does not exist")
    story.at(1, route=nowhere).ready(5).at(25).expect(Phase.PREPARING, weight=0)
    story.at(40).expect(Phase.ROLLED_BACK, weight=0)
    assert story.rollout.result == "failed"
    failed = next(event for event in story.rollout.history if event.reason is Reason.ROUTE_NOT_READY)
    assert "gateway kserve/mine does not exist" in failed.message
    assert Stop("canary") in story.actions


def test_a_route_that_is_in_force_before_the_deadline_is_waited_for() -> None:
    story = Story(plan(progress_deadline=30))
    story.follows = False
    story.at(1, route=RouteStatus(at=1, problem="not accepted yet")).ready(5)
    story.follows = True
    story.at(29).expect(Phase.ANALYZING, weight=0.05)


def test_a_hopeless_variant_is_not_waited_for() -> None:
    """A command that does not exist will not exist later either."""
    story = Story().at(2, canary=VariantStatus(at=2, ready=0, problem="no such command", hopeless=True))
    story.expect(Phase.ROLLED_BACK)
    failed = next(event for event in story.rollout.history if event.reason is Reason.CANARY_NOT_READY)
    assert "no such command" in failed.message


def test_weights_that_are_not_in_force_let_no_stage_begin() -> None:
    """The hold counts from the moment when the route is seen to follow."""
    story = Story()
    story.follows = False
    story.ready(5).at(100).expect(Phase.SHIFTING, weight=0.05)
    story.follows = True
    story.at(101).expect(Phase.ANALYZING)
    assert story.rollout.stage_since == 101


def test_traffic_that_was_taken_away_is_not_given_back_without_a_verdict() -> None:
    """After a crash between route and state, the route is lower than the record: the rollback is finished."""
    story = Story().ready(5).at(20)
    story.at(21, route=RouteStatus(at=21, weights=ALL_STABLE)).at(22).expect(Phase.ROLLED_BACK, weight=0)
    assert any(event.reason is Reason.ROUTE_LOWERED for event in story.rollout.history)


def test_a_route_that_gives_too_much_is_set_right_at_once() -> None:
    """Whoever raised it, the recorded weight is the most the canary may have."""
    story = Story().ready(5).at(20)
    story.follows = False
    story.at(21, route=RouteStatus(at=21, weights=Weights.of_share(0.5)))
    assert SetWeights(Weights.of_share(0.05)) in story.actions


def test_silent_metrics_freeze_the_weights_until_they_are_back() -> None:
    """Blind is neither a pass nor a failure."""
    story = Story().ready(5).at(20).silence(25).at(500)
    story.expect(Phase.BLIND, Reason.METRICS_SILENT, weight=0.05)
    story.at(501, evidence=dataclasses.replace(story.seen.evidence, at=501, up=True, problem=""))
    story.expect(Phase.ANALYZING, weight=0.05, stage=0)


@pytest.mark.parametrize(("reaction", "phase"), [("pause", Phase.PAUSED), ("rollback", Phase.ROLLED_BACK)])
def test_blindness_beyond_its_limit_brings_the_reaction_that_was_chosen(reaction: str, phase: Phase) -> None:
    """`maxBlind` and `onBlind` say how long, and what then."""
    Story(plan(max_blind=60, on_blind=reaction)).ready(5).at(20).silence(25).at(90).expect(phase)


def test_pause_freezes_and_resume_goes_on() -> None:
    """A pause keeps the weights; the stage's clock goes on."""
    story = Story().ready(5).at(20).ask(25, "pause").at(200)
    story.expect(Phase.PAUSED, Reason.PAUSED_BY_OPERATOR, weight=0.05)
    story.ask(201, "resume").expect(Phase.ANALYZING, weight=0.25, stage=1)


def test_a_paused_rollout_still_rolls_back() -> None:
    """Nobody has to wake up for the traffic to be safe."""
    story = Story().ready(5).at(20).ask(25, "pause")
    story.canary_errors = 0.6
    story.at(60).expect(Phase.ROLLED_BACK, weight=0)


def test_r12_abort_wins_in_every_phase() -> None:
    """Before traffic, with traffic, paused: everything goes back, and the result says who asked."""
    for moment in (1, 20, 70):
        story = Story().ready(5) if moment > 5 else Story()
        story.at(moment).ask(moment + 1, "abort").expect(Phase.ROLLED_BACK, weight=0)
        assert story.rollout.result == "aborted"


def test_a_request_is_answered_once_and_nonsense_changes_nothing() -> None:
    """An answered request in the snapshot is history."""
    story = Story().ready(5).at(20).ask(21, "resume").at(30)
    story.expect(Phase.ANALYZING, weight=0.05)
    answers = [event for event in story.rollout.history if event.event == "operator"]
    assert len(answers) == 1
    assert "nothing was changed" in answers[0].message


def test_promote_skips_the_rest_of_a_stage_and_full_skips_all() -> None:
    """A person's word counts as the pass of the stages it skips."""
    Story().ready(5).at(10).ask(11, "promote").expect(Phase.ANALYZING, weight=0.25, stage=1)
    story = Story(plan(Stage(traffic=0.05, hold=60), Stage(traffic=0.5, hold=60), Stage(traffic=1.0, hold=60)))
    story.ready(5).at(10).ask(11, "promote", full=True).expect(Phase.WATCHING, weight=1.0, stage=2)
    assert story.rollout.passed == (0, 1)


def test_a_stage_that_needs_approval_waits_for_it() -> None:
    """The gates passed; a group has the last word."""
    spec = plan(Stage(traffic=0.05, hold=10, approve="ml-leads"), Stage(traffic=1.0))
    story = Story(spec).ready(5).at(60).expect(Phase.AWAITING_APPROVAL, weight=0.05)
    story.ask(61, "approve").expect(Phase.SUCCEEDED, weight=1.0)


@pytest.mark.parametrize(
    ("policy", "phase"), [("hold", Phase.ANALYZING), ("pause", Phase.PAUSED), ("promote", Phase.SUCCEEDED)]
)
def test_no_data_at_the_end_of_the_hold_is_what_the_plan_says(policy: str, phase: Phase) -> None:
    """Missing evidence is never a pass by itself; the owner may say otherwise."""
    spec = plan(Stage(traffic=0.05, hold=10, gates=(ERRORS,)), Stage(traffic=1.0), on_no_data=policy)
    Story(spec, rps=0).ready(5).at(100).expect(phase)


def test_a_newer_plan_gets_the_traffic_back_first() -> None:
    """The old rollout ends as superseded before the new one may begin."""
    story = Story().ready(5).at(20).at(21, superseded_by="r2")
    story.expect(Phase.SUPERSEDED, weight=0)
    assert story.rollout.result == "superseded"


def test_an_evaluation_that_fails_ends_the_rollout_before_any_traffic() -> None:
    """The missed criterion and the measured value stand in the sentence."""
    criterion = Criterion(text="accuracy >= 70%", metric="accuracy", comparison="min", limit=0.7)
    spec = plan(evaluation=Evaluation(dataset="d.jsonl", metrics=(criterion,)))
    story = Story(spec).ready(5).expect(Phase.EVALUATING, weight=0).evaluated(50, accuracy=0.6)
    story.expect(Phase.ROLLED_BACK)
    assert any("accuracy >= 70%" in event.message for event in story.rollout.history)
    Story(spec).ready(5).evaluated(50, accuracy=0.8).expect(Phase.ANALYZING, weight=0.05)


def evaluated_plan(on_fail: str) -> CanarySpec:
    criterion = Criterion(text="exact >= stable", metric="exact", comparison="min")
    return plan(evaluation=Evaluation.model_validate({"dataset": "d.jsonl", "metrics": [criterion], "onFail": on_fail}))


@pytest.mark.parametrize("on_fail", ["block", "pause", "warn"])
def test_a_paired_test_that_passed_lets_the_canary_have_its_first_traffic(on_fail: str) -> None:
    story = Story(evaluated_plan(on_fail)).ready(5).expect(Phase.EVALUATING, weight=0)
    story.tested(50, GateAnswer.PASS, "exact did not move.").expect(Phase.ANALYZING, weight=0.05)
    assert any("exact did not move." in event.message for event in story.rollout.history)


def test_a_paired_test_that_failed_blocks_pauses_or_warns_as_the_plan_says() -> None:
    """Paused, it waits for a person: who may let it go on, or end it."""
    said = "exact fell by 9 points."
    blocked = (
        Story(evaluated_plan("block")).ready(5).tested(50, GateAnswer.FAIL, said).expect(Phase.ROLLED_BACK, weight=0)
    )
    assert blocked.rollout.result == "failed"
    assert any(said in event.message for event in blocked.rollout.history)
    warned = (
        Story(evaluated_plan("warn")).ready(5).tested(50, GateAnswer.FAIL, said).expect(Phase.ANALYZING, weight=0.05)
    )
    assert any(f"{said} The plan only warns" in event.message for event in warned.rollout.history)
    for verb, phase in (("resume", Phase.ANALYZING), ("promote", Phase.ANALYZING), ("abort", Phase.ROLLED_BACK)):
        paused = Story(evaluated_plan("pause")).ready(5).tested(50, GateAnswer.FAIL, said)
        paused.at(9_000).expect(Phase.EVALUATING, Reason.EVALUATION_UNDECIDED, weight=0)
        assert said in paused.rollout.message
        paused.ask(9_001, verb).at(9_010).expect(phase)  # type: ignore[arg-type]  # each is a verb


@pytest.mark.parametrize("on_fail", ["block", "warn"])
def test_an_undecided_evaluation_is_never_a_pass(on_fail: str) -> None:
    story = Story(evaluated_plan(on_fail)).ready(5).tested(50, GateAnswer.WAIT, "8 items can show no drop at all.")
    story.at(9_000).expect(Phase.EVALUATING, Reason.EVALUATION_UNDECIDED, weight=0)
    assert "until a person resumes or aborts" in story.rollout.message


def test_an_evaluation_whose_server_does_not_answer_waits_and_says_so_once() -> None:
    story = Story(evaluated_plan("block")).ready(5)
    for seconds in (20.0, 40.0, 60.0):
        story.at(seconds, evaluation=EvaluationStatus(at=seconds, problem="canary gives no answer to item 7."))
    story.expect(Phase.EVALUATING, Reason.EVALUATION_WAITING, weight=0)
    assert "canary gives no answer" in story.rollout.message
    assert sum(event.reason is Reason.EVALUATION_WAITING for event in story.rollout.history) == 1
    story.ask(61, "resume").expect(Phase.EVALUATING)
    story.tested(70, GateAnswer.PASS, "fine.").expect(Phase.ANALYZING, weight=0.05)


def test_a_shadow_that_wins_two_days_running_gets_its_first_traffic() -> None:
    """One winning day is not enough, and a loss between two wins starts the count again."""
    day = 86_400.0
    spec = plan(shadow=Shadow.model_validate({"for": 14 * day, "promote": ShadowPromote(win_rate=0.03, days=2)}))
    won, lost = (600, 200, 200), (300, 200, 500)
    days = [ShadowDay(number, *outcome) for number, outcome in enumerate((won, lost, won, won))]
    story = Story(spec, rps=0).ready(5).expect(Phase.SHADOWING, weight=0)
    for count in (1, 2, 3):
        story.shadowed(100 * count, ShadowStatus(at=100 * count, days=tuple(days[:count]))).expect(Phase.SHADOWING)
    story.shadowed(400, ShadowStatus(at=400, days=tuple(days))).expect(Phase.ANALYZING, weight=0.05)


def test_r12_a_finished_rollout_stays_finished_whatever_the_world_does() -> None:
    """No readiness, request or route brings it back."""
    story = Story().ready(5).at(20).ask(21, "abort").expect(Phase.ROLLED_BACK)
    story.ready(30, canary=False).ask(31, "promote").expect(Phase.ROLLED_BACK, weight=0)
    assert story.rollout.result == "aborted"


def test_r12_the_same_inputs_give_the_same_decision() -> None:
    """Replay and simulation rest on it."""
    story = Story().ready(5).at(20)
    decisions = [advance(story.config, story.rollout, story.seen, 33.0) for _ in range(2)]
    assert decisions[0] == decisions[1]


def test_r12_a_change_that_the_table_does_not_have_is_refused_and_changes_nothing() -> None:
    """The table is the law: a bug cannot move a finished rollout."""
    story = Story().ready(5).at(20).ask(21, "abort")
    look = PassContext(story.spec, story.rollout, story.seen, 30.0)
    with pytest.raises(BugError, match="RolledBack may not become Shifting"):
        _apply(story.config, look, Transition(Phase.SHIFTING, Reason.RESUMED, "no"))


def test_both_variants_are_kept_running_while_traffic_may_reach_them() -> None:
    """Every pass says so again, so a lost command is made good by the next."""
    story = Story().ready(5).at(20)
    assert {Run("stable"), Run("canary")} <= set(story.actions)


def test_nobody_can_approve_traffic_for_a_canary_that_cannot_serve() -> None:
    """Nor while the way back does not exist; the answer says which."""
    spec = plan(Stage(traffic=0.05, hold=10, approve="ml-leads"), Stage(traffic=1.0))
    story = Story(spec).ready(5).at(60).ready(61, stable=False, canary=False).ask(62, "approve")
    story.expect(Phase.AWAITING_APPROVAL, weight=0.05)
    assert "while stable cannot serve" in story.rollout.history[-1].message


def test_an_evaluation_that_passed_waits_for_a_canary_that_can_serve() -> None:
    """It may have died meanwhile."""
    criterion = Criterion(text="accuracy >= 70%", metric="accuracy", comparison="min", limit=0.7)
    spec = plan(evaluation=Evaluation(dataset="d.jsonl", metrics=(criterion,)))
    story = Story(spec).ready(5).ready(20, canary=False).evaluated(50, accuracy=0.8)
    story.expect(Phase.EVALUATING, weight=0)
    story.ready(60).expect(Phase.ANALYZING, weight=0.05)
