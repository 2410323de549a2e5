"""Whether every replica gets its part of its arm's traffic: found when one does not, silent about how balancers are."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from canary import judge
from canary.judge import compile_gates, replica_balance
from canary.judge.increments import ReplicaIncrements
from canary.judge.replica_balance import ReplicaBalance
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Arm, Weights
from tests.canary.judge.worlds import ERRORS_AT_MOST, plan

ALPHA = 0.01
Spread = Callable[[np.random.Generator, int], Sequence[float]]


def _even(rng: np.random.Generator, total: int) -> Sequence[float]:
    return [float(each) for each in rng.multinomial(total, [0.25] * 4)]


def _in_turn(rng: np.random.Generator, total: int) -> Sequence[float]:
    return [float(total // 4 + (number < total % 4)) for number in range(4)]


def _by_speed(rng: np.random.Generator, total: int) -> Sequence[float]:
    """The fewest open requests: a replica half as fast gets half as many."""
    return [float(each) for each in rng.multinomial(total, [0.32, 0.28, 0.24, 0.16])]


def _without_the_last(rng: np.random.Generator, total: int) -> Sequence[float]:
    return [*map(float, rng.multinomial(total, [1 / 3] * 3)), 0.0]


def _a_tenth_for_the_last(rng: np.random.Generator, total: int) -> Sequence[float]:
    return [float(each) for each in rng.multinomial(total, [0.325, 0.325, 0.325, 0.025])]


def _nearly_all_for_the_first(rng: np.random.Generator, total: int) -> Sequence[float]:
    return [float(each) for each in rng.multinomial(total, [0.91, 0.03, 0.03, 0.03])]


def _look(found: ReplicaBalance, spread: Spread, minutes: float, *, seed: int = 1) -> ReplicaBalance:
    """Blocks of five seconds, with about sixty requests each."""
    rng, begin = np.random.default_rng(seed), found.since
    for number in range(round(minutes * 12)):
        served = spread(rng, int(rng.poisson(60)))
        pods = {f"stable-{i}": ReplicaIncrements(requests) for i, requests in enumerate(served)}
        t = begin + 5.0 * (number + 1)
        found = replica_balance.look(found, {"stable": pods}, ALPHA, t=t, length=5.0)
    return found


@pytest.mark.parametrize("spread", [_even, _in_turn, _by_speed])
def test_replicas_that_share_the_traffic_as_balancers_do_are_nobodys_business(spread: Spread) -> None:
    assert not any(replica_balance.fails(_look(ReplicaBalance(), spread, 120, seed=seed), ALPHA) for seed in range(10))


@pytest.mark.parametrize(
    ("spread", "replica"),
    [(_without_the_last, "stable-3"), (_a_tenth_for_the_last, "stable-3")],
    ids=["nothing-at-all", "a-tenth"],
)
def test_a_replica_that_gets_far_too_little_is_named(spread: Spread, replica: str) -> None:
    found = _look(ReplicaBalance(), spread, 30)
    assert replica_balance.fails(found, ALPHA)
    assert found.suspect == ("stable", replica)


def test_a_replica_that_gets_far_too_much_is_found() -> None:
    found = _look(ReplicaBalance(), _nearly_all_for_the_first, 30)
    assert replica_balance.fails(found, ALPHA)


def test_a_few_minutes_without_traffic_are_no_fault() -> None:
    """As long as most restarts take."""
    found = _look(_look(ReplicaBalance(), _even, 20), _without_the_last, 6)
    assert not replica_balance.fails(found, ALPHA)


def test_a_fault_that_is_over_is_forgotten_after_a_while() -> None:
    broken = _look(ReplicaBalance(), _without_the_last, 30)
    assert not replica_balance.fails(_look(broken, _even, 5), ALPHA)


def test_an_arm_of_one_is_never_doubted() -> None:
    found = ReplicaBalance()
    for number in range(500):
        one: dict[Arm, dict[str, ReplicaIncrements]] = {"canary": {"canary-0": ReplicaIncrements(60.0)}}
        found = replica_balance.look(found, one, ALPHA, t=5.0 * (number + 1), length=5.0)
    assert (found.parts, replica_balance.fails(found, ALPHA)) == ({}, False)


def test_a_replica_that_does_not_count_requests_leaves_its_arm_out() -> None:
    pods = {"canary-0": ReplicaIncrements(60.0), "canary-1": ReplicaIncrements(None)}
    assert replica_balance.look(ReplicaBalance(), {"canary": pods}, ALPHA, t=60.0, length=60.0).parts == {}


class Arms:
    """Running totals of three stable replicas and a canary, of which one stable replica gets nothing."""

    def __init__(self) -> None:
        self.totals = {"stable-0": 0.0, "stable-1": 0.0, "stable-2": 0.0, "canary-0": 0.0}
        self.started = dict.fromkeys(self.totals, -1000.0)

    def counters(self, at: float) -> Counters:
        """After five more seconds."""
        self.totals["stable-0"] += 90
        self.totals["stable-1"] += 90
        self.totals["canary-0"] += 60
        pods = {name: PodCounters(total, 0.0, started_at=self.started[name]) for name, total in self.totals.items()}
        canary = {"canary-0": pods.pop("canary-0")}
        return Counters(at, {"stable": pods, "canary": canary})


def _watched(arms: Arms, minutes: float, change: Callable[[Arms, int, Counters], Counters]) -> list[GateVerdict]:
    """What the judge says of the spread at the end; `change` may meddle with every reading."""
    config = compile_gates(plan(ERRORS_AT_MOST, shares=(0.25, 1.0), hold=7200.0))
    state = judge.begin(config)
    for number in range(round(minutes * 12)):
        at = 5.0 * (number + 1)
        counters = change(arms, number, arms.counters(at))
        analysis = judge.watch(
            config,
            state,
            stage=0,
            weights=Weights.of_share(0.25),
            evidence=MetricsStatus(at, counters),
            now=at,
            stage_since=0.0,
        )
        state, judgement = analysis.state, analysis.judgement
    return [verdict for verdict in judgement.gates if verdict.gate == replica_balance.GATE]


def test_the_judge_pauses_for_a_replica_without_traffic_and_names_it() -> None:
    (verdict,) = _watched(Arms(), 30, lambda _, __, counters: counters)
    assert (verdict.verdict, verdict.on_breach) == (GateAnswer.FAIL, "pause")
    assert verdict.why.startswith("traffic: replica stable-2 served 0 % of the ")
    assert "where 33.3 % would be an even part" in verdict.why


def test_proxies_may_share_the_traffic_as_they_like() -> None:
    assert _watched(Arms(), 30, lambda _, __, counters: replace(counters, proxied=True)) == []


def test_a_replica_that_starts_again_and_again_is_somebody_elses_trouble() -> None:
    def restarted(arms: Arms, number: int, counters: Counters) -> Counters:
        if number % 60 == 0:
            arms.started["stable-2"] = 5.0 * number
        return counters

    assert _watched(Arms(), 30, restarted) == []


def test_replicas_that_come_and_go_begin_it_anew() -> None:
    def scaled(_: Arms, number: int, counters: Counters) -> Counters:
        extra = {f"stable-{3 + number // 60}": PodCounters(5.0 * number, 0.0)}
        return replace(counters, arms={**counters.arms, "stable": {**counters.arms["stable"], **extra}})

    assert _watched(Arms(), 30, scaled) == []
