"""The order of the loop: what falls is routed first, what rises is saved first, and everything else comes after."""

import asyncio
import dataclasses

import pytest
from pydantic import TypeAdapter

from canary.errors import ExternalError, Unavailable
from canary.judge.state import JudgeState
from canary.rollout import Phase, Reason
from canary.snapshot import Counters, OperatorRequest, PodCounters
from canary.spec.models import ModelCanary, Stage, Variant
from canary.spec.stored import to_text
from canary.weights import ALL_CANARY, ALL_STABLE, Weights
from testing.memory_metrics import MemoryMetrics
from tests.canary.judge.worlds import remembered
from tests.canary.story import ERRORS, plan
from tests.controlplane.reconcile.desk import QUICK, Desk
from tests.virtual import in_virtual_time

FIVE = Weights.of_share(0.05)
LONG = plan(Stage(traffic=0.05, hold=1000), Stage(traffic=1.0))
FULL = ExternalError("the disk is full.")


async def abort(desk: Desk) -> None:
    """A person wants out."""
    await desk.store.ask("desk", OperatorRequest("a1", "abort", "ada", desk.clock.now()))


async def test_r1_a_rise_is_saved_before_it_is_routed() -> None:
    """A crash between the two leaves less traffic on the canary than was allowed, never more."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    assert desk.order.index("save 5 %") < desk.order.index("route 5 %")


async def test_r1_a_fall_is_routed_before_it_is_saved() -> None:
    """The users come first."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.order.clear()
    await abort(desk)
    await desk.passes(1)
    assert desk.order[0] == "route 0 %"
    assert "save 0 %" in desk.order


async def test_r6_a_store_that_is_down_never_delays_a_rollback() -> None:
    """The canary loses its traffic at once; the state follows when the store is back."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.platform.lose("canary", "exit status 1")
    desk.store.failure = FULL
    await desk.passes(1)
    assert desk.router.history[-1][1] == ALL_STABLE
    desk.store.failure = None
    await desk.passes(3)
    stored = await desk.store.load("desk")
    assert stored is not None
    assert stored.rollout.phase is Phase.ROLLED_BACK


async def test_a_store_that_is_down_lets_no_traffic_rise() -> None:
    """The rise is decided again once it can be saved, and said in one sentence."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.store.failure = FULL
    await desk.passes(30)
    assert desk.router.history[-1][1] == FIVE
    assert len([sentence for sentence in desk.said if "does not rise" in sentence]) == 1
    desk.store.failure = None
    await desk.until(Phase.ANALYZING, stage=1)


async def test_r1_a_controller_killed_after_the_rollback_was_routed_finishes_it() -> None:
    """The route is lower than the record: that traffic is not given back."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.platform.lose("canary", "exit status 1")
    desk.store.failure = FULL
    await desk.passes(1)
    desk.store.failure = None
    desk.platform.recover("canary")
    desk.restart()
    await desk.passes(4)
    assert desk.rollout.phase is Phase.ROLLED_BACK
    assert any(event.reason is Reason.ROUTE_LOWERED for event in desk.rollout.history)
    assert desk.router.history[-1][1] == ALL_STABLE


async def test_r1_a_controller_killed_between_save_and_route_goes_on() -> None:
    """The saved weight is set by the next start, and no stage is repeated."""
    desk = Desk()
    await desk.until(Phase.PREPARING)
    desk.router.refuse("not now")
    await desk.passes(3)
    assert desk.rollout.phase is Phase.SHIFTING
    desk.router.refuse("")
    desk.restart()
    await desk.until(Phase.SUCCEEDED)
    stages = [event.stage for event in await desk.store.history("desk") if event.phase is Phase.SHIFTING]
    assert sorted(set(stages)) == [0, 1]
    assert desk.router.history[-1][1] == ALL_CANARY


async def test_r2_a_second_writer_makes_the_loop_read_again() -> None:
    """What somebody else saved stands; nothing of it is overwritten."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    stored = await desk.store.load("desk")
    assert stored is not None
    other = dataclasses.replace(stored.rollout, message="written by somebody else")
    await desk.store.save(other, "-", stored.version)
    await abort(desk)
    await desk.passes(1)
    assert any("Somebody else" in sentence for sentence in desk.said)
    await desk.passes(4)
    assert desk.rollout.phase is Phase.ROLLED_BACK


async def test_a_router_that_refuses_is_said_once_and_asked_again() -> None:
    """Until the weights are in force no stage begins."""
    desk = Desk()
    await desk.until(Phase.PREPARING)
    desk.router.refuse("the gateway is away")
    await desk.passes(10)
    assert desk.rollout.phase is Phase.SHIFTING
    assert len([sentence for sentence in desk.said if "the gateway is away" in sentence]) == 1
    desk.router.refuse("")
    await desk.until(Phase.ANALYZING)


async def test_a_silent_source_makes_the_rollout_blind_and_its_return_ends_that() -> None:
    """Weights stay as they are meanwhile."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.metrics.failure = Unavailable("connection refused")
    await desk.until(Phase.BLIND)
    await desk.passes(20)
    assert desk.router.history[-1][1] == FIVE
    desk.metrics.failure = None
    await desk.until(Phase.ANALYZING)


async def test_everything_is_announced_at_least_once_and_in_order() -> None:
    """A notifier that fails is told again; the ids make a repetition recognisable."""
    desk = Desk()
    desk.heard.failure = ExternalError("the channel is down")
    await desk.until(Phase.ANALYZING)
    assert desk.heard.events == []
    desk.heard.failure = None
    await desk.until(Phase.SUCCEEDED)
    await desk.passes(2)
    ids = [event.id for event in desk.heard.events]
    assert ids == [event.id for event in await desk.store.history("desk")]
    assert desk.reconciler.done


async def test_r6_a_notifier_that_fails_delays_no_rollback() -> None:
    """Route, then state, then the rest."""
    desk = Desk()
    desk.heard.failure = ExternalError("the channel is down")
    await desk.until(Phase.ANALYZING)
    await abort(desk)
    await desk.passes(1)
    assert desk.router.history[-1][1] == ALL_STABLE


async def test_a_rollout_does_not_begin_before_its_state_can_be_read() -> None:
    """An unreadable store could hide a rollout that is under way."""
    desk = Desk()
    desk.store.failure = FULL
    await desk.passes(3)
    assert desk.reconciler.rollout is None
    desk.store.failure = None
    await desk.until(Phase.SUCCEEDED)


async def test_the_same_plan_again_is_a_new_attempt() -> None:
    """A finished rollout stays as it is in the history."""
    desk = Desk()
    await desk.until(Phase.SUCCEEDED)
    await desk.passes(1)
    desk.restart()
    await desk.passes(1)
    assert desk.rollout.attempt == 2
    assert desk.rollout.phase is not Phase.SUCCEEDED


async def test_a_controller_killed_between_the_end_and_its_announcement_only_tells_it() -> None:
    """The next start tells the end, and begins no new attempt."""
    desk = Desk()
    desk.heard.failure = ExternalError("the channel is down")
    await desk.until(Phase.SUCCEEDED)
    desk.heard.failure = None
    desk.restart()
    await desk.passes(2)
    assert desk.rollout.attempt == 1
    assert desk.reconciler.done
    assert desk.heard.events[-1].event == "end"


async def test_the_winner_of_the_last_rollout_serves_on_until_the_next_stable_can() -> None:
    """A new plan with another stable variant must not begin with an outage."""
    desk = Desk()
    await desk.until(Phase.SUCCEEDED)
    await desk.passes(1)
    desk.spec = plan(*QUICK.stages, stable=Variant(name="v3"), canary=Variant(name="v4"))
    desk.platform.ready_after("stable", 5)
    desk.restart("r2")
    await desk.passes(4)
    assert (await desk.router.seen()).weights == ALL_CANARY
    assert desk.platform.endpoints()["canary"]
    await desk.until(Phase.SUCCEEDED)
    first_back = next(at for at, weights in desk.router.history if at > 1020 and weights == ALL_STABLE)
    assert first_back >= desk.rollout.began + 5


@pytest.mark.parametrize("killed_at", range(1, 22))
async def test_r1_a_controller_killed_at_any_pass_comes_to_the_same_end(killed_at: int) -> None:
    """No stage is repeated or skipped, and events are numbered without gaps."""
    desk = Desk()
    await desk.passes(killed_at)
    desk.restart()
    await desk.until(Phase.SUCCEEDED)
    history = await desk.store.history("desk")
    analyzed = [event.stage for event in history if event.phase is Phase.ANALYZING and event.event == "phase"]
    assert analyzed == [0, 1]
    assert [event.id for event in history] == [f"desk/1/{number + 1}" for number in range(len(history))]


class Remembering(MemoryMetrics):
    """A metric source that remembers what it said, and was asked all the while by somebody else."""

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk.clock.now)
        self.said: list[Counters] = []
        self.asked: list[tuple[float, float, int]] = []
        self.past_failure: ExternalError | None = None

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """What was said in that time."""
        self.asked.append((start, end, most))
        if self.past_failure:
            raise self.past_failure
        return [counters for counters in self.said if start < counters.at <= end]


async def _away(desk: Desk, seconds: int) -> Remembering:
    """A rollout under way whose controller is killed, while a source that remembers goes on scraping."""
    source = desk.metrics = Remembering(desk)
    desk.restart()
    await desk.until(Phase.ANALYZING)
    for _ in range(seconds):
        desk.clock.time += 1
        desk._count()
        source.said.append(await source.read())
    desk.restart()
    return source


async def test_a_controller_that_was_away_shows_the_judge_what_it_missed() -> None:
    """One block a scrape in place of a long one, before the first pass decides anything."""
    desk = Desk(LONG)
    source = await _away(desk, 30)
    stored = await desk.store.load("desk")
    assert stored is not None
    known = stored.rollout.judge.previous
    rollout = await desk.opened()
    assert known is not None
    assert [asked[:2] for asked in source.asked] == [(known.at, desk.clock.time)]
    assert rollout.judge.previous == source.said[-1]
    assert remembered(rollout.judge).everything.totals.blocks >= 29
    assert rollout.phase is Phase.ANALYZING
    await desk.passes(2)


async def test_a_past_that_cannot_be_read_is_said_and_costs_nothing_else() -> None:
    desk = Desk(LONG)
    source = await _away(desk, 30)
    source.past_failure = Unavailable("Prometheus does not answer.")
    await desk.passes(2)
    assert any("counts as one long interval" in sentence for sentence in desk.said)
    assert desk.rollout.phase is Phase.ANALYZING


async def test_a_short_absence_and_a_decided_rollback_do_not_wait_for_the_past() -> None:
    desk = Desk(LONG)
    source = await _away(desk, 1)
    await desk.passes(1)
    desk.platform.lose("canary", "exit status 1")
    desk.router.refuse("not now")
    await desk.passes(1)
    assert desk.rollout.phase is Phase.ROLLING_BACK
    desk.clock.time += 60
    desk.restart()
    await desk.passes(1)
    assert source.asked == []


async def _another_release_wrote(desk: Desk) -> None:
    """The stored state, as a build leaves it that keeps the judge's memory otherwise."""
    stored = await desk.store.load("desk")
    assert stored is not None
    plain = TypeAdapter(JudgeState).dump_python(stored.rollout.judge)
    del plain["memory"]["gates"]
    judge = TypeAdapter(JudgeState).validate_python(plain)
    await desk.store.save(dataclasses.replace(stored.rollout, judge=judge), stored.spec_text, stored.version)


async def test_r10_a_judgement_of_another_release_is_begun_anew_from_the_past_and_said() -> None:
    desk = Desk(LONG)
    source = await _away(desk, 30)
    await _another_release_wrote(desk)
    await desk.passes(1)
    assert desk.rollout.phase is Phase.ANALYZING
    assert source.asked[0][:2] == (desk.rollout.stage_since, desk.clock.time - 1)
    assert remembered(desk.rollout.judge).everything.totals.blocks >= 29
    (event,) = [event for event in desk.rollout.history if event.reason is Reason.JUDGED_ANEW]
    assert "written by another release" in event.message
    assert event in desk.heard.events
    await desk.passes(3)
    assert len([each for each in desk.rollout.history if each.reason is Reason.JUDGED_ANEW]) == 1


async def test_r10_a_judgement_of_another_release_stops_no_rollback() -> None:
    desk = Desk(LONG)
    await _away(desk, 1)
    await desk.passes(1)
    desk.platform.lose("canary", "exit status 1")
    desk.router.refuse("not now")
    await desk.passes(1)
    assert desk.rollout.phase is Phase.ROLLING_BACK
    await _another_release_wrote(desk)
    desk.router.refuse("")
    desk.restart()
    await desk.until(Phase.ROLLED_BACK)


async def test_r10_another_release_that_writes_meanwhile_leaves_a_judge_that_begins_anew() -> None:
    desk = Desk(LONG)
    await desk.until(Phase.ANALYZING)
    await _another_release_wrote(desk)
    await desk.passes(8)
    assert desk.rollout.phase is Phase.ANALYZING
    assert [event.reason for event in desk.rollout.history].count(Reason.JUDGED_ANEW) == 1


async def test_a_takeover_before_the_first_reading_looks_back_to_when_the_weights_came_into_force() -> None:
    """Killed right after the traffic began to move; nobody had read a number yet."""
    desk = Desk(LONG)
    source = await _away(desk, 30)
    stored = await desk.store.load("desk")
    assert stored is not None
    unread = dataclasses.replace(stored.rollout, judge=JudgeState())
    await desk.store.save(unread, stored.spec_text, stored.version)
    rollout = await desk.opened()
    assert rollout.judge.previous == source.said[-1]
    assert remembered(rollout.judge).everything.totals.blocks >= 28
    assert all(event.reason is not Reason.JUDGED_ANEW for event in rollout.history)


async def _promoted(desk: Desk) -> Remembering:
    """A rollout that was promoted while a source remembered; what won is to be stable next."""
    source = desk.metrics = Remembering(desk)
    desk.restart()
    await desk.until(Phase.SUCCEEDED)
    await desk.passes(2)
    stored = await desk.store.load("desk")
    assert stored is not None
    before = ModelCanary.model_validate({"metadata": {"name": "desk"}, "spec": desk.spec})
    await desk.store.save(stored.rollout, to_text(before), stored.version)
    stable = {name: PodCounters(requests=0.0, errors=0.0) for name in ("stable-0", "stable-1")}
    for second in range(60):
        desk.clock.time += 1
        grown = {name: PodCounters(requests=100.0 * second, errors=1.0 * second) for name in stable}
        source.said.append(Counters(desk.clock.time, {"stable": grown}))
    return source


async def test_a_rollout_upon_an_earlier_winner_learns_from_its_past_before_any_traffic() -> None:
    """The noise is known when the canary's first request comes; nothing else is taken from that time."""
    gated = plan(Stage(traffic=0.05, hold=10, gates=(ERRORS,)), Stage(traffic=1.0))
    desk = Desk(gated)
    source = await _promoted(desk)
    began = desk.clock.time
    desk.spec = gated.model_copy(update={"stable": gated.canary, "canary": Variant(name="v3")})
    desk.restart("r2")
    await desk.passes(1)
    assert source.asked == [(began - 1800.0, began, 240)], "that was plenty"
    memory = remembered(desk.rollout.judge)
    assert memory.everything.gates[ERRORS.text].baseline.aa_test.blocks == 59
    assert memory.clock.last == 0.0
    assert desk.rollout.attempt == 2
    await desk.until(Phase.SUCCEEDED)
    assert len(source.asked) == 1


async def test_a_stable_variant_that_did_not_run_before_has_no_past_to_be_asked_for() -> None:
    gated = plan(Stage(traffic=0.05, hold=10, gates=(ERRORS,)), Stage(traffic=1.0))
    desk = Desk(gated)
    source = await _promoted(desk)
    desk.spec = gated.model_copy(update={"canary": Variant(name="v3")})
    desk.restart("r2")
    await desk.passes(1)
    assert source.asked == []


async def test_a_past_that_is_not_there_yet_is_asked_for_again_and_keeps_nobody_waiting() -> None:
    """A Prometheus that was just started refuses connections for a moment."""
    gated = plan(Stage(traffic=0.05, hold=10, gates=(ERRORS,)), Stage(traffic=1.0))
    desk = Desk(gated)
    source = await _promoted(desk)
    source.past_failure = Unavailable("Prometheus does not answer.")
    desk.spec = gated.model_copy(update={"stable": gated.canary, "canary": Variant(name="v3")})
    desk.restart("r2")
    await desk.until(Phase.SUCCEEDED)
    assert len(source.asked) == 10
    assert desk.said == []


@pytest.mark.parametrize("loop_too", [False, True], ids=["the machine slept", "the process stood still"])
def test_r14_time_in_which_nobody_looked_passes_no_stage(loop_too: bool) -> None:
    """Whether the event loop's clock stood still with the machine, or went on without its process."""

    @in_virtual_time
    async def night() -> None:
        desk = Desk(LONG)
        await desk.until(Phase.ANALYZING)
        since = desk.rollout.stage_since
        desk.clock.time += 8 * 3600.0
        if loop_too:
            await asyncio.sleep(8 * 3600.0)
        await desk.passes(3)
        assert (desk.rollout.phase, desk.rollout.stage) == (Phase.ANALYZING, 0)
        assert desk.clock.time - desk.rollout.stage_since < 200
        assert desk.rollout.stage_since > since + 7 * 3600.0
        assert [each.reason for each in desk.rollout.history].count(Reason.TIME_NOT_WATCHED) == 1

    night()
