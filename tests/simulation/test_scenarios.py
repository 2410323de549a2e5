"""Every scenario keeps the promise of its sentence, and troubles around a bad canary do not keep it in service."""

import os
from dataclasses import replace

import pytest

from canary.rollout import Phase
from controlplane.simulation.clock import EPOCH
from controlplane.simulation.scenarios import SCENARIOS, TABLE
from controlplane.simulation.story import Story, simulate
from tests.simulation.plans import SAMPLE_PLAN, SHORT_PLAN
from tests.simulation.tales import both, exposure_without_record, rollback_seconds, stages_entered

NIGHTLY = os.environ.get("SERINUS_PROFILE") == "nightly"
SEEDS = range(20 if NIGHTLY else 2)
SUBTLE = ("errors-x2", "latency-20", "tail-25", "leak", "under-load", "intermittent", "kpi-5")
PLAIN = tuple(scenario.name for scenario in TABLE if scenario.name not in SUBTLE)


def played(name: str, seed: int) -> Story:
    """The scenario in the short plan, where that can show it."""
    return simulate(SAMPLE_PLAN if name in SUBTLE else SHORT_PLAN, SCENARIOS[name], seed=seed)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_keeps_its_promise(name: str, seed: int) -> None:
    """The result of the table, stages in order without repetition, and nobody exposed without a record."""
    story = played(name, seed)
    assert story.result == SCENARIOS[name].result, story.rollout and story.rollout.message
    assert stages_entered(story) == sorted(set(stages_entered(story)))
    assert exposure_without_record(story) == []
    assert story.misrouted == 0


@pytest.mark.parametrize("name", SUBTLE)
def test_subtle_harm_is_found_before_everybody_has_it(name: str) -> None:
    """It costs the canary its traffic before the last stage, for the reason of a failed gate."""
    story = played(name, 5)
    assert story.rollout is not None
    assert (story.rollout.result, story.rollout.reason.value) == ("rolled_back", "TrafficBack")
    assert max(stages_entered(story)) < len(SAMPLE_PLAN.spec.stages) - 1
    assert any(event.reason == "GateFailed" for event in story.events)


def test_a_leak_passes_the_first_stage_and_is_found_later() -> None:
    """It begins healthy."""
    assert max(stages_entered(played("leak", 0))) >= 1


def test_kpi_harm_is_found_by_the_kpi_gate() -> None:
    """Errors and latency have nothing to say about it."""
    failed = [e for e in played("kpi-5", 0).events if e.event == "verdict" and e.evidence["verdict"] == "fail"]
    assert [event.evidence["gate"] for event in failed] == ["conversion drop <= 3%"]


def test_r4_a_shared_outage_is_waited_out() -> None:
    """Both variants fail while it lasts; the story is the healthy one, perhaps later."""
    story = played("shared-outage", 3)
    assert story.seconds >= simulate(SHORT_PLAN, SCENARIOS["healthy"], seed=3).seconds
    assert not any(event.phase is Phase.ROLLING_BACK for event in story.events)


def test_r4_nothing_is_decided_without_traffic() -> None:
    """It waits at the first stage with the whole patience of the simulation, and says so."""
    story = played("no-traffic", 0)
    assert story.seconds >= story.horizon
    assert stages_entered(story) == [0]
    assert sum(story.requests.values()) == 0


def test_r4_a_silent_prometheus_blinds_and_freezes() -> None:
    """No weight moves between the moment of blindness and its end."""
    story = played("prometheus-down", 1)
    blind = next(event for event in story.events if event.phase is Phase.BLIND)
    back = next(event for event in story.events if event.reason == "MetricsBack")
    assert not [shift for shift in story.shifts if blind.t < shift.t < back.t]


def test_a_canary_that_is_never_ready_never_gets_a_request() -> None:
    """The rollout fails at its deadline."""
    story = played("never-ready", 0)
    assert story.requests["canary"] == 0
    assert story.shifts == []
    assert story.seconds == pytest.approx(SHORT_PLAN.spec.progress_deadline, abs=5)


def test_a_slow_start_gets_no_traffic_before_it_is_ready() -> None:
    """Eighty percent of the deadline go by first."""
    story = played("slow-start", 0)
    assert story.shifts[0].t >= 0.8 * SHORT_PLAN.spec.progress_deadline


@pytest.mark.parametrize(("name", "said"), [("hang", "a hang."), ("empty", "failed in the last")])
def test_a_canary_that_gives_no_answer_under_a_good_status_is_rolled_back(name: str, said: str) -> None:
    (decided,) = [event for event in played(name, 0).events if event.reason == "GateFailed" and event.event == "phase"]
    assert said in decided.message


def test_r5_a_crashing_canary_loses_its_traffic_at_once() -> None:
    """The world says that the replicas are gone, and half a second later nobody is sent there."""
    story = played("crash-loop", 0)
    assert rollback_seconds(story) < 0.5
    lost = next(event for event in story.events if event.reason == "CanaryLost")
    assert story.shifts[-1].t - (lost.at - EPOCH) < 0.5


def test_a_killed_controller_is_really_killed() -> None:
    """Otherwise its scenario would prove nothing."""
    assert played("controller-killed", 0).deaths + played("controller-killed", 1).deaths > 0


@pytest.mark.parametrize("trouble", ["store-down", "writes-rejected", "controller-killed", "clock-jump"])
@pytest.mark.parametrize("seed", SEEDS)
def test_r6_no_trouble_around_it_keeps_a_bad_canary_in_service(trouble: str, seed: int) -> None:
    """It is rolled back all the same."""
    story = simulate(SHORT_PLAN, both("errors-x20", trouble), seed=seed)
    assert story.result == "rolled_back"
    assert story.shifts[-1].weights.canary == 0
    assert exposure_without_record(story) == []


def test_r6_a_store_that_is_down_does_not_delay_a_rollback() -> None:
    """The canary crashes while nothing can be saved: the route goes first, the record follows when it can."""
    down = both("healthy", "store-down")
    crash = SCENARIOS["crash-loop"].faults.crashes
    scenario = replace(down, faults=replace(down.faults, crashes=crash))
    story = simulate(SHORT_PLAN, scenario, seed=0)
    assert story.result == "rolled_back"
    assert story.rollout is not None
    assert rollback_seconds(story) < 0.5
    assert story.shifts[-1].saved.canary > 0, "the record was written first, so the store was not down"
