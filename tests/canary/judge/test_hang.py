"""Requests that are begun and never finished: found in seconds, and never where stable takes as long."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import TypeAdapter

from canary.judge import JudgeState, hang
from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.hang import Hang
from canary.snapshot import Counters, PodCounters
from canary.verdict import GateAnswer
from canary.weights import ARMS
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import ERRORS_AT_MOST, plan

Times = Callable[[Generator, int], NDArray[np.float64]]
"""Draws how long so many requests take."""
FOR_EVER = 1e9
LEVEL = 0.01


@dataclass
class Arm:
    """Requests that come at random, each of which takes some time."""

    rate: float
    """A second."""
    takes: Times
    cancelled: float = 0.0
    """Share of the requests whose clients leave within a second."""

    def begin(self, rng: Generator, seconds: float) -> None:
        """All requests of so many seconds, from which their counters follow."""
        begun = np.sort(rng.uniform(0, seconds, rng.poisson(self.rate * seconds)))
        given_up = rng.random(len(begun)) < self.cancelled
        lasts = np.where(given_up, rng.uniform(0, 1, len(begun)), self.takes(rng, len(begun)))
        self.events = begun, np.sort(begun + lasts), np.sort((begun + lasts)[given_up])

    def sums(self, before: float, t: float) -> ArmSums:
        """What a proxy has counted since the scrape before, and what is open now."""
        (begun, ended, cancelled), (was_begun, was_ended, was_cancelled) = (
            [float(np.searchsorted(each, at, side="right")) for each in self.events] for at in (t, before)
        )
        totals = {"begun": begun - was_begun, "ended": ended - was_ended, "cancelled": cancelled - was_cancelled}
        return ArmSums(1, totals=totals, gauges={"open": [begun - ended]})


def takes(seconds: float, *, spread: float = 0.0) -> Times:
    """Always so long; with a `spread` as long in the mean, by a log-normal distribution."""
    return lambda rng, n: seconds * np.exp(spread * rng.standard_normal(n) - spread * spread / 2)


def found_after(canary: Arm, stable: Arm, *, seed: int, seconds: float, scrape: float = 1.0) -> tuple[float, Hang]:
    """Seconds until the canary is stopped for it, and what is remembered then; infinite where it is not."""
    rng, found = np.random.default_rng(seed), Hang()
    canary.begin(rng, seconds)
    stable.begin(rng, seconds)
    for t in np.arange(scrape, seconds, scrape):
        theirs = stable.sums(t - scrape, t)
        sides = ArmPair(canary.sums(t - scrape, t), theirs, (theirs, ArmSums()), [])
        found = hang.look(found, sides, float(t), scrape, LEVEL)
        if hang.stops(found):
            return float(t), found
    return np.inf, found


def test_a_canary_that_answers_nothing_is_found_within_20_s_at_5_requests_a_second() -> None:
    """A quarter of them on the canary, which makes 25 requests in all that time."""
    times = []
    for seed in range(200):
        t, found = found_after(Arm(1.25, takes(FOR_EVER)), Arm(3.75, takes(0.3, spread=0.8)), seed=seed, seconds=60)
        times.append(t)
        assert found.plainest.finished == 0
    assert np.median(times) <= 15
    assert np.quantile(times, 0.95) <= 20


@pytest.mark.parametrize(("rate", "within"), [(5.0, 12.0), (0.5, 45.0), (0.1, 220.0)])
def test_with_other_traffic_it_takes_as_long_as_that_takes_to_come(rate: float, within: float) -> None:
    times = [
        found_after(Arm(rate, takes(FOR_EVER)), Arm(3 * rate, takes(0.3)), seed=seed, seconds=600)[0]
        for seed in range(20)
    ]
    assert np.median(times) <= within


def test_one_that_hangs_after_an_hour_is_found_nearly_as_soon() -> None:
    """What every look costs grows with the logarithm of their number: some eight requests more in an hour."""
    for seed in range(3):
        canary, stable = Arm(1.25, takes(0.3)), Arm(3.75, takes(0.3))
        _, hour = found_after(canary, stable, seed=seed, seconds=3600)
        assert not hang.stops(hour)
        canary.takes = takes(FOR_EVER)
        rng = np.random.default_rng(seed)
        canary.begin(rng, 60)
        stable.begin(rng, 60)
        for second in range(1, 31):
            theirs = stable.sums(second - 1, second)
            sides = ArmPair(canary.sums(second - 1, second), theirs, (theirs, ArmSums()), [])
            hour = hang.look(hour, sides, 3599.0 + second, 1.0, LEVEL)
        assert hang.stops(hour)
        assert hour.plainest.finished == 0


WORST_ALLOWED = {
    "fixed times": takes(2 * 3.0),
    "spread times": takes(2 * 3.0, spread=1.0),
    "a few for ever": lambda rng, n: np.where(rng.random(n) < 0.02, 150.0, 3.0),
}


@pytest.mark.parametrize("times", WORST_ALLOWED)
def test_a_canary_that_takes_twice_as_long_as_stable_is_stopped_in_fewer_rollouts_than_promised(times: str) -> None:
    """At the edge of what is allowed, looked at every second of five minutes; the promise is one in two hundred."""
    stopped = [
        found_after(Arm(8.0, WORST_ALLOWED[times]), Arm(8.0, takes(3.0, spread=0.5)), seed=seed, seconds=300)[0]
        for seed in range(40)
    ]
    assert stopped == [np.inf] * 40


def test_answers_that_stream_for_minutes_are_no_hang_where_stables_do_as_long() -> None:
    """From the first request on, and with few of them."""
    for seed, rate in enumerate((0.2, 1.0, 5.0, 20.0)):
        assert found_after(Arm(rate, takes(240)), Arm(rate, takes(240)), seed=seed, seconds=900)[0] == np.inf


def test_a_hang_of_both_arms_is_not_the_canarys() -> None:
    """Stable may hang some seconds later, too."""
    for seed in range(10):
        assert found_after(Arm(5, takes(FOR_EVER)), Arm(5, takes(FOR_EVER)), seed=seed, seconds=120)[0] == np.inf


def test_clients_who_leave_as_often_as_from_stable_are_no_hang_and_those_who_all_leave_are() -> None:
    """Nine in ten: as with a demo that streams until its visitors go."""
    patient = takes(0.3)
    assert found_after(Arm(5, patient, 0.45), Arm(5, patient, 0.45), seed=1, seconds=600)[0] == np.inf
    assert found_after(Arm(5, patient, 0.9), Arm(5, patient, 0.9), seed=1, seconds=600)[0] == np.inf
    assert found_after(Arm(5, patient, 1.0), Arm(5, patient, 0.0), seed=1, seconds=60)[0] < 20


def test_half_of_all_that_hangs_is_found_in_a_minute() -> None:
    """One of two replicas."""
    half: Times = lambda rng, n: np.where(rng.random(n) < 0.7, FOR_EVER, 0.3)  # noqa: E731 - a distribution
    times = [found_after(Arm(5, half), Arm(15, takes(0.3)), seed=seed, seconds=300)[0] for seed in range(10)]
    assert max(times) < 60


def test_at_all_of_the_traffic_it_is_held_against_what_was_usual_for_stable() -> None:
    rng, found, seconds = np.random.default_rng(3), Hang(), 60.0
    canary, stable = Arm(5, takes(0.3)), Arm(5, takes(0.3))
    canary.begin(rng, seconds)
    stable.begin(rng, seconds)
    for t in range(1, 60):
        theirs = stable.sums(t - 1, t)
        found = hang.look(found, ArmPair(canary.sums(t - 1, t), theirs, (theirs, ArmSums()), []), t, 1.0, LEVEL)
    nothing = ArmSums(1, totals={"begun": 0.0, "ended": 0.0, "cancelled": 0.0}, gauges={"open": [0.0]})
    canary.takes = takes(FOR_EVER)
    canary.begin(rng, seconds)
    stopped = []
    for t in range(1, 60):
        sides = ArmPair(canary.sums(t - 1, t), nothing, (nothing, ArmSums()), [])
        found = hang.look(found, sides, 59.0 + t, 1.0, LEVEL)
        stopped.append(hang.stops(found))
    assert 5 <= stopped.index(True) < 20


def test_what_is_remembered_stays_small_and_moves_with_the_clock() -> None:
    _, found = found_after(Arm(5, takes(0.3)), Arm(5, takes(0.3)), seed=1, seconds=2400)
    assert len(found.spans) < 60
    assert found.spans[-1].until - found.spans[0].since < hang.LONGEST_S + 300
    assert found.clock_moved(7.0).spans[0].since == found.spans[0].since + 7
    assert found.clock_moved(7.0).clock_moved(-7.0) == found


def test_where_nobody_counts_what_is_begun_nothing_is_said() -> None:
    silent = ArmSums(1, 50.0, 0.0, 50.0)
    assert hang.look(Hang(), ArmPair(silent, silent, (silent, ArmSums()), []), 1.0, 1.0, LEVEL) == Hang()


def _traffic(at: float, canary_finishes: bool, *, since: float, server: bool = False) -> Counters:
    """Five requests a second on the canary and fifteen on stable, answered within the second but for what hangs."""
    hangs = 0.0 if canary_finishes else 5 * (at - since)
    arms = {}
    for arm, rate, open_ in (("canary", 5.0, hangs), ("stable", 15.0, 0.0)):
        totals = {"begun": rate * at, "cancelled": 0.0}
        if server:
            totals = {"generation_tokens": 100.0 * (rate * at - open_)}
        arms[arm] = {f"{arm}-0": PodCounters(rate * at, 0.0, totals=totals, started_at=-1e3, open=open_ + 2)}
    return Counters(at, {arm: arms[arm] for arm in ARMS})


@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("unfinished", [True, False])
def test_a_canary_that_hangs_behind_headers_of_200_fails_within_20_s_unless_the_plan_says_otherwise(
    server: bool, unfinished: bool
) -> None:
    """No gate of the plan sees it: every answer is a 200. Found as proxies count it, and as vLLM does."""
    court = Court(plan(ERRORS_AT_MOST, hardStop={"unfinished": unfinished}), now=0.0, since=0.0)
    found = None
    for t in range(1, 61):
        court.now = float(t)
        court.look(_traffic(t, t <= 30, since=30.0, server=server))
        if found is None and court.says() is GateAnswer.FAIL:
            found = t
    if not unfinished:
        assert found is None
        return
    assert found is not None
    assert found <= 50
    (verdict,) = [each for each in court.judgement.gates if each.verdict is GateAnswer.FAIL]
    assert (verdict.gate, verdict.spoke) == ("hard stop", "hard stop")
    assert verdict.why.endswith("a hang.")
    assert verdict.harm_began is not None
    assert verdict.harm_began <= 31
    adapter = TypeAdapter(JudgeState)
    assert adapter.validate_json(adapter.dump_json(court.state)) == court.state


def test_nothing_passes_while_nothing_finishes() -> None:
    """A stage may be shorter than a hang takes to be called one."""
    court = Court(plan(ERRORS_AT_MOST), now=0.0, since=0.0)
    for t in range(1, 6):
        court.now = float(t)
        court.look(_traffic(t, False, since=0.0))
    assert court.judgement.problem.endswith("finished so far; nothing passes until more do.")
    assert court.says() is GateAnswer.WAIT
