"""A controller that was away, and one that was not, know the same afterwards."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from canary.catch_up import can_resume, catch_up, judged_from, restart_judge
from canary.judge import compile_gates
from canary.judge.judge import begin
from canary.machine import advance
from canary.rollout import Phase, Reason, Rollout
from canary.serial import rollout_from_text, rollout_to_text
from canary.snapshot import Counters, MetricsStatus, RouteStatus, Snapshot, VariantStatus
from canary.spec.gates import Gate
from canary.spec.models import CanarySpec
from canary.verdict import GateAnswer
from canary.weights import Weights
from tests.canary.judge.worlds import Health, World, plainly, plan, remembered

GATES = (
    Gate(text="error_rate <= 1%", metric="error_rate", comparison="max", limit=0.01, better="lower"),
    Gate(
        text="latency p95 not worse than stable by 10%",
        metric="latency",
        statistic="p95",
        comparison="notWorseThan",
        limit=0.1,
        better="lower",
    ),
    Gate(
        text="kpi/conversion drop <= 3%",
        metric="kpi/conversion",
        comparison="notWorseThan",
        limit=0.03,
        better="higher",
    ),
)
SPEC = plan(*GATES, hold=10_000.0)
CONFIG = compile_gates(SPEC)
SHARE = SPEC.stages[0].traffic
FIVE = Weights.of_share(SHARE)


def _scrapes(count: int, health: Health) -> list[Counters]:
    """One a second; the canary is restarted on the way, and its totals begin anew."""
    world = World(seed=7)
    world.health["canary"] = health
    found = []
    for second in range(count):
        world.serve(300, SHARE)
        if second == 60:
            world.totals["canary"]["canary-0"][:] = 0
        found.append(world.counters(1000.0 + second))
    return found


def analyzing() -> Rollout:
    return Rollout(
        "r", "1", 1, 900.0, Phase.ANALYZING, since=950.0, stage_since=950.0, weights=FIVE, peak=FIVE,
        judge=begin(CONFIG),
    )  # fmt: skip


def _seen(counters: Counters) -> Snapshot:
    ready = VariantStatus(counters.at, 1, 1)
    route = RouteStatus(counters.at, FIVE)
    return Snapshot(stable=ready, canary=ready, route=route, evidence=MetricsStatus(counters.at, counters))


def watched(spec: CanarySpec, rollout: Rollout, scrapes: list[Counters]) -> Rollout:
    config = compile_gates(spec)
    for counters in scrapes:
        rollout = advance(config, rollout, _seen(counters), counters.at).rollout
    return rollout


def same(one: Any, other: Any, path: str = "") -> None:
    """Numbers within 1e-9 of each other, everything else equal."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key, value in one.items():
            same(value, other[key], f"{path}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, value in enumerate(one):
            same(value, other[index], f"{path}[{index}]")
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-9, abs=1e-9, nan_ok=True), path
    else:
        assert one == other, path


@pytest.mark.parametrize("health", [Health(), Health(errors=0.012), Health(latency=0.055)], ids=["well", "ill", "slow"])
def test_after_a_kill_the_judge_and_its_verdicts_are_those_of_an_uninterrupted_run(health: Health) -> None:
    """Saved after 40 scrapes, killed, started again after 120, and shown what it missed."""
    scrapes = _scrapes(121, health)
    uninterrupted = watched(SPEC, analyzing(), scrapes[:120])
    saved = rollout_from_text(rollout_to_text(watched(SPEC, analyzing(), scrapes[:40])))
    back = catch_up(CONFIG, saved, scrapes[:120])
    assert uninterrupted.phase is Phase.ANALYZING
    same(plainly(uninterrupted.judge), plainly(back.judge))
    assert back.judge.previous == uninterrupted.judge.previous
    assert (back.served, back.unrouted) == (uninterrupted.served, uninterrupted.unrouted)
    one, other = (watched(SPEC, rollout, scrapes[120:]) for rollout in (uninterrupted, back))
    assert [(each.verdict, each.why) for each in other.verdicts] == [(each.verdict, each.why) for each in one.verdicts]


def test_harm_that_began_while_nobody_looked_is_known_at_the_first_pass() -> None:
    scrapes = _scrapes(121, Health(errors=0.2))
    saved = watched(SPEC, analyzing(), scrapes[:2])
    back = advance(CONFIG, catch_up(CONFIG, saved, scrapes[:120]), _seen(scrapes[120]), 1120.0).rollout
    assert back.phase is Phase.ROLLING_BACK
    assert any(each.verdict is GateAnswer.FAIL for each in back.verdicts)
    assert back.harm_began is not None
    assert back.harm_began < 1010.0


def test_only_the_judge_moves() -> None:
    """What to do about it is for the next pass to decide, and to announce."""
    scrapes = _scrapes(60, Health(errors=0.2))
    saved = watched(SPEC, analyzing(), scrapes[:2])
    back = catch_up(CONFIG, saved, scrapes)
    assert replace(back, judge=saved.judge, served=saved.served) == saved
    assert back.judge != saved.judge


def test_what_is_known_already_changes_nothing() -> None:
    scrapes = _scrapes(60, Health())
    saved = watched(SPEC, analyzing(), scrapes)
    assert catch_up(CONFIG, saved, scrapes) is saved
    assert catch_up(CONFIG, saved, []) is saved


@pytest.mark.parametrize("phase", [Phase.PENDING, Phase.SUCCEEDED, Phase.ROLLED_BACK])
def test_a_rollout_that_is_not_judged_is_given_back(phase: Phase) -> None:
    scrapes = _scrapes(10, Health())
    saved = replace(watched(SPEC, analyzing(), scrapes[:5]), phase=phase)
    assert catch_up(CONFIG, saved, scrapes) is saved


def test_a_rollout_whose_judge_has_seen_nothing_is_given_back() -> None:
    """What stable did before it was complete is nobody's canary."""
    fresh = analyzing()
    assert catch_up(CONFIG, fresh, _scrapes(10, Health())) is fresh
    assert math.isclose(fresh.since, 950.0)


def _of_another_release(rollout: Rollout, spoilt: str) -> Rollout:
    """The same state as a build would have written that keeps its memory otherwise."""
    plain = json.loads(rollout_to_text(rollout))
    state, memory = plain["judge"], plain["judge"]["memory"]
    match spoilt:
        case "version":
            state["version"] = 99
        case "a version before the last":
            state["version"] = 1
        case "a name that is missing":
            del memory["gates"]
        case "a gate that is missing":
            memory["everything"]["gates"].pop(GATES[0].text)
        case "numbers of another kind":
            memory["everything"]["totals"]["arms"] = {"canary": None, "stable": None}
        case _:
            memory["gates"] = ["error_rate <= 1 %"]
    return rollout_from_text(json.dumps(plain))


SPOILT = [
    "version",
    "a version before the last",
    "a name that is missing",
    "a gate that is missing",
    "numbers of another kind",
    "gates",
]


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_memory_of_another_release_is_known_for_one(spoilt: str) -> None:
    saved = watched(SPEC, analyzing(), _scrapes(10, Health()))
    assert can_resume(CONFIG, saved)
    assert can_resume(CONFIG, rollout_from_text(rollout_to_text(saved)))
    assert not can_resume(CONFIG, _of_another_release(saved, spoilt))


@pytest.mark.parametrize("spoilt", SPOILT)
def test_a_judge_that_begins_anew_knows_what_happened_since_its_stage_began_and_says_so(spoilt: str) -> None:
    """Served requests are counted once, and what a later look finds is what others would have found."""
    scrapes = _scrapes(121, Health())
    uninterrupted = watched(SPEC, analyzing(), scrapes[:120])
    saved = _of_another_release(watched(SPEC, analyzing(), scrapes[:40]), spoilt)
    back = restart_judge(CONFIG, saved, (), scrapes[:120], 1119.0)
    assert can_resume(CONFIG, back)
    same(plainly(uninterrupted.judge), plainly(back.judge))
    assert back.served == uninterrupted.served
    event = back.history[-1]
    assert (event.event, event.reason, event.at) == ("alert", Reason.JUDGED_ANEW, 1119.0)
    assert event.message.startswith("What the judge remembered was written by another release and cannot be read")
    assert "with 120 readings of the last " in event.message
    assert replace(back, judge=saved.judge, served=saved.served, history=(), events=0) == replace(
        saved, history=(), events=0
    )


def test_harm_is_found_again_by_a_judge_that_begins_anew() -> None:
    scrapes = _scrapes(121, Health(errors=0.2))
    saved = _of_another_release(watched(SPEC, analyzing(), scrapes[:2]), "version")
    back = restart_judge(CONFIG, saved, (), scrapes[:120], 1119.0)
    assert advance(CONFIG, back, _seen(scrapes[120]), 1120.0).rollout.phase is Phase.ROLLING_BACK


def test_without_a_history_the_next_look_is_a_short_one() -> None:
    saved = _of_another_release(watched(SPEC, analyzing(), _scrapes(40, Health())), "version")
    back = restart_judge(CONFIG, saved, (), [], 1039.0)
    assert back.judge.previous == saved.judge.previous
    assert can_resume(CONFIG, back)
    assert "with the traffic from now on" in back.history[-1].message


def test_stables_past_teaches_a_judge_that_begins_anew_its_noise() -> None:
    scrapes = _scrapes(121, Health())
    saved = _of_another_release(watched(SPEC, analyzing(), scrapes[:80]), "version")
    plain, taught = (restart_judge(CONFIG, saved, lesson, scrapes[60:80], 1079.0) for lesson in ([], scrapes[:60]))
    text = GATES[0].text
    known, knows_more = (remembered(each.judge).everything for each in (plain, taught))
    assert known.gates[text].baseline.usual[2] + 50 < knows_more.gates[text].baseline.usual[2]
    assert known.totals == knows_more.totals


def test_a_judge_that_has_seen_nothing_is_shown_the_stage_without_a_word() -> None:
    scrapes = _scrapes(60, Health())
    back = restart_judge(CONFIG, replace(analyzing(), steady_since=940.0), (), scrapes, 1060.0)
    same(plainly(watched(SPEC, analyzing(), scrapes).judge), plainly(back.judge))
    assert back.history == ()


def test_a_judge_that_begins_anew_looks_at_nothing_from_before_stable_was_complete_or_the_weights_were_in_force() -> (
    None
):
    assert judged_from(analyzing()) == 950.0
    assert judged_from(replace(analyzing(), steady_since=960.0)) == 960.0
    assert judged_from(replace(analyzing(), phase=Phase.SHIFTING, since=970.0)) == 970.0
