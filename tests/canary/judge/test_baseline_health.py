"""Whose trouble is it?"""

import math

import numpy as np
import pytest

from canary.judge import baseline_health
from canary.judge.noise import NoiseModel
from canary.snapshot import Counters, PodCounters
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from canary.weights import ARMS, Arm
from tests.canary.judge.test_judge import Court
from tests.canary.judge.worlds import ERRORS_AT_MOST, FAST_LIKE_STABLE, Health, World, plan

CONVERSION_AT_LEAST = Gate(
    text="kpi/conversion >= 0.15", metric="kpi/conversion", comparison="min", limit=0.15, better="higher"
)
"""A number: its sums are tested, not its counts."""
QUIET = NoiseModel(1.0, 0.0, 1.0)
CLUMPY = NoiseModel(10.0, 0.0, 1.0)
USUAL = [100.0, 10_000.0, 50.0]
"""One per cent, known from fifty blocks."""
LATELY = [0.0, 0.0, 330.0, 33_000.0]
"""The same over some minutes."""


def test_stable_is_degraded_when_it_stands_clearly_above_its_history() -> None:
    fast = [0.0, 0.0, 10.0, 1000.0]
    assert not baseline_health.stable_degraded(fast, LATELY, USUAL, 10.0, 1000.0, QUIET)
    assert baseline_health.stable_degraded(fast, LATELY, USUAL, 60.0, 1000.0, QUIET)
    assert not baseline_health.stable_degraded(fast, LATELY, USUAL, 50.0, 1000.0, CLUMPY), (
        "five clumps of ten are no trend"
    )


def test_r8_stable_is_degraded_where_only_minutes_show_it() -> None:
    """Twice as bad as usual, of which three blocks would hold two events."""
    fast = [0.0, 0.0, 2.0, 100.0]
    assert baseline_health.stable_degraded(fast, [0.0, 0.0, 66.0, 3300.0], USUAL, 1.0, 50.0, QUIET)
    assert not baseline_health.stable_degraded(fast, [0.0, 0.0, 40.0, 3300.0], USUAL, 1.0, 50.0, QUIET)
    assert not baseline_health.stable_degraded(fast, [0.0, 0.0, 66.0, 3300.0], USUAL, 1.0, 50.0, CLUMPY)


def test_a_history_of_a_few_blocks_is_none() -> None:
    assert not baseline_health.stable_degraded([0.0] * 4, [0.0] * 4, [1.0, 100.0, 3.0], 90.0, 100.0, QUIET)


def test_stable_is_beyond_a_limit_only_with_something_to_spare() -> None:
    assert not baseline_health.stable_beyond([0.0, 0.0, 52.0, 1000.0], 0.05, QUIET)
    assert baseline_health.stable_beyond([0.0, 0.0, 70.0, 1000.0], 0.05, QUIET)
    assert not baseline_health.stable_beyond([0.0, 0.0, 0.0, 0.0], 0.05, QUIET), "without traffic there is no telling"


def test_recent_counts_fade() -> None:
    fast: baseline_health.Recent = (0.0,) * 4
    for _ in range(50):
        fast = baseline_health.recent(fast, 1.0, 100.0, 2.0, 10.0)
    x = 1 / (1 - baseline_health.FAST)
    assert fast == pytest.approx([2.0 * x, 10.0 * x, x, 100.0 * x])


def test_r8_a_canary_within_a_margin_that_no_bucket_shows_is_neither_rolled_back_nor_passed() -> None:
    """Nearly all of stable's answers take 14 to 30 ms, which is one bucket: 5 % more puts five times as many beyond."""
    gate = FAST_LIKE_STABLE.model_copy(update={"limit": 0.1, "text": "latency p95 not worse than stable by 10%"})
    court, edges = Court(plan(gate)), (0.01, 0.03, 0.1, math.inf)
    rng, totals = np.random.default_rng(3), {arm: np.zeros(4) for arm in ARMS}
    spread, court.stage = 0.06, 1
    for k in range(300):
        pods: dict[Arm, dict[str, PodCounters]] = {}
        arms: list[tuple[Arm, int, float]] = [("stable", 750, 0.027), ("canary", 250, 0.02835 if k > 100 else 0.027)]
        for arm, n, middle in arms:
            z = (np.log(np.array(edges)) - math.log(middle)) / spread
            below = np.array([0.5 * (1 + math.erf(each / math.sqrt(2))) for each in z])
            totals[arm] += np.cumsum(rng.multinomial(n, np.diff(below, prepend=0.0)))
            requests = float(totals[arm][-1])
            latency = dict(zip(edges, totals[arm].tolist(), strict=True))
            pods[arm] = {arm: PodCounters(requests, 0.0, {"latency": latency}, started_at=-1000.0)}
        court.now += 1.0
        court.look(Counters(court.now, pods))
    verdict = court.gate(gate.text)
    assert verdict.verdict is GateAnswer.WAIT
    assert "its buckets around 30 ms are too coarse for this margin: it fails only beyond 100 ms" in verdict.why


@pytest.mark.parametrize("gate", [ERRORS_AT_MOST, CONVERSION_AT_LEAST])
def test_r8_a_limit_that_the_whole_service_breaks_is_neither_passed_nor_held_against_the_canary(gate: Gate) -> None:
    """A third beyond it on both arms for a quarter of an hour; the canary alone is found at once."""
    court = Court(plan(gate), World())
    court.enter(1)
    for arm in ARMS:
        court.world.health[arm].errors, court.world.health[arm].conversion = 0.07, 0.13
    court.scrapes(180)
    verdict = court.gate(gate.text)
    assert verdict.verdict is GateAnswer.WAIT
    assert "stable itself is beyond the limit" in verdict.why
    court.world.health["canary"].errors, court.world.health["canary"].conversion = 0.3, 0.05
    assert court.scrapes(60, until=GateAnswer.FAIL) <= 60
    insists = plan(gate.model_copy(update={"regardless_of_stable": True}))
    court = Court(insists, World(health={arm: Health(errors=0.07, conversion=0.13) for arm in ARMS}))
    court.enter(1)
    court.scrapes(180, until=GateAnswer.FAIL)
    assert court.says() is GateAnswer.FAIL, "unless the plan insists"


def test_r8_trouble_of_both_arms_that_is_rare_passes_nothing() -> None:
    """Three times the errors from the second stage on, still under a hundredth: no three scrapes would show it."""
    gate = Gate(
        text="error_rate not worse than stable by 100%",
        metric="error_rate",
        comparison="notWorseThan",
        limit=1.0,
        better="lower",
    )
    court = Court(plan(gate), World())
    for arm in ARMS:
        court.world.health[arm].errors = 0.003
    court.scrapes(200)
    for arm in ARMS:
        court.world.health[arm].errors = 0.009
    court.enter(1)
    court.scrapes(240)
    assert court.says() is GateAnswer.WAIT
    assert "stable's own history" in court.judgement.problem
