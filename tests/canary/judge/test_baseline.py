"""What stable showed of itself before a rollout makes the judge wiser, and convicts or acquits nobody."""

from dataclasses import replace

import pytest

from canary import judge
from canary.judge import compile_gates
from canary.judge.baseline import learnt, taught
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.weights import ALL_STABLE
from tests.canary.judge.worlds import ERRORS_LIKE_STABLE, FAST_LIKE_STABLE, Health, World, plan, remembered

CONFIG = compile_gates(plan(ERRORS_LIKE_STABLE, FAST_LIKE_STABLE, hold=600.0))


def past(count: int = 120, *, errors: float = 0.02, clumps: int = 1) -> list[Counters]:
    """Stable alone, a scrape every five seconds; `clumps` makes errors come so many at a time."""
    world = World(seed=3, health={"stable": Health(errors=errors), "canary": Health()})
    found = []
    for step in range(count):
        world.serve(1000, 0.0)
        counters = world.counters(10_000.0 + 5 * step)
        pods = {
            name: PodCounters(pod.requests, clumps * (pod.errors or 0.0), pod.histograms, kpis=pod.kpis)
            for name, pod in counters.arms["stable"].items()
        }
        found.append(Counters(counters.at, {"stable": pods, "canary": counters.arms["canary"]}))
    return found


def test_history_teaches_noise_and_bounds_and_nothing_else() -> None:
    before = judge.begin(CONFIG)
    after = taught(CONFIG, before, past())
    knows, knew = remembered(after).everything, remembered(before).everything
    assert replace(remembered(after), everything=knew) == remembered(before)
    untaught = replace(knows, gates=knew.gates, finite={}, history={}, picks={})
    assert (untaught, bool(knows.finite), bool(knows.history), bool(knows.picks)) == (knew, True, True, True)
    assert knows.gates[ERRORS_LIKE_STABLE.text].baseline.aa_test.blocks == 119
    assert judge.weight_of_evidence(CONFIG, after) == pytest.approx(judge.weight_of_evidence(CONFIG, before))


def test_clumped_errors_of_the_past_raise_the_noise_floor() -> None:
    """As many errors in all, nine at a time: three times the standard deviation."""
    calm, clumped = learnt(CONFIG, past()), learnt(CONFIG, past(errors=0.02 / 9, clumps=9))
    floors = [judge.noise_floor(CONFIG, state, ERRORS_LIKE_STABLE.text, over=600.0) for state in (calm, clumped)]
    assert floors[0] is not None
    assert floors[1] is not None
    assert floors[1] > 2 * floors[0]


def test_totals_that_go_on_after_the_lesson_are_differenced_as_if_there_had_been_none() -> None:
    """The lesson is no reading: requests of the past are nobody's requests of this rollout."""
    history = past()
    state = taught(CONFIG, judge.begin(CONFIG), history)
    assert state.previous is None
    for counters in history[-2:]:
        state = judge.watch(
            CONFIG,
            state,
            stage=0,
            weights=ALL_STABLE,
            evidence=MetricsStatus(at=counters.at, counters=counters),
            now=counters.at,
            stage_since=None,
        ).state
    assert remembered(state).clock.length == 0.0, "one block has no block before it"
    assert remembered(state).everything.gates[ERRORS_LIKE_STABLE.text].baseline.aa_test.blocks == 120


def test_a_replica_that_was_restarted_and_one_that_went_away_teach_no_nonsense() -> None:
    history = past(60)
    history[30:] = [
        Counters(each.at, {"stable": {"stable-1": _restarted(each.arms["stable"]["stable-1"], history[29])}})
        for each in history[30:]
    ]
    state = taught(CONFIG, judge.begin(CONFIG), history)
    x, n, _ = remembered(state).everything.gates[ERRORS_LIKE_STABLE.text].baseline.usual
    assert x / n == pytest.approx(0.02, rel=0.2)


def _restarted(pod: PodCounters, at: Counters) -> PodCounters:
    """The same replica's totals, begun anew at that reading."""
    then = at.arms["stable"]["stable-1"]
    return PodCounters((pod.requests or 0.0) - (then.requests or 0.0), (pod.errors or 0.0) - (then.errors or 0.0))
