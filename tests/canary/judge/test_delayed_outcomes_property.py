"""Gates on counters of their owner: differenced series by series, weighed in slots, with their share of false alarm."""

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from canary import judge
from canary.judge import Increments, JudgeState, ReplicaIncrements, feed
from canary.judge.delayed_outcomes import SLOT_S
from canary.judge.stage_totals import ArmTotals
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from canary.weights import ARMS, Arm, Weights
from tests.canary.judge.worlds import plan

GATE = Gate(
    text="conversion drop <= 2%",
    metric="kpi/conversion",
    comparison="drift",
    limit=0.02,
    better="higher",
    events="orders_total",
    of="sessions_total",
)
REVENUE = GATE.model_copy(update={"text": "kpi/revenue drop <= 2%", "metric": "kpi/revenue"})


def served(share: float) -> dict[Arm, dict[str, ReplicaIncrements]]:
    """A block's requests, split as they were asked to be."""
    parts: dict[Arm, float] = {"stable": 1 - share, "canary": share}
    return {arm: {f"{arm}-0": ReplicaIncrements(100.0 * part, 0.0)} for arm, part in parts.items()}


@dataclass
class Shop:
    """Sessions and their orders, counted by a job of its own, at so many sessions a second."""

    gate: Gate = GATE
    canary: float = 0.2
    """The canary's share of sessions with an order; stable's is 0.2."""
    rate: float = 5.0
    seed: int = 0
    t: float = 0.0
    rng: np.random.Generator = field(init=False)
    state: JudgeState = field(init=False)
    orders: dict[Arm, float] = field(default_factory=dict)
    """All that there were."""

    def __post_init__(self) -> None:
        self.config = judge.compile_gates(plan(self.gate, shares=(0.25, 0.75, 1.0), false_rollback=0.01))
        self.state, self.rng = judge.begin(self.config), np.random.default_rng(self.seed)

    def serve(self, blocks: int, length: float, *, share: float = 0.25, stage: int = 0, late: bool = False) -> None:
        """So many blocks. `late`: orders are scraped a whole block after their sessions."""
        waiting: dict[Arm, float] = {}
        for _ in range(blocks):
            self.t += length
            counted: dict[Arm, tuple[float, float]] = {}
            parts: list[tuple[Arm, float, float]] = [("stable", 1 - share, 0.2), ("canary", share, self.canary)]
            for arm, part, worth in parts:
                sessions = int(self.rng.poisson(self.rate * length * part))
                orders = float(self.rng.binomial(sessions, worth))
                if self.gate is REVENUE:
                    orders = float(self.rng.lognormal(3.0, 0.8, int(orders)).sum())
                counted[arm] = (waiting.get(arm, 0.0) if late else orders), float(sessions)
                waiting[arm] = orders
                self.orders[arm] = self.orders.get(arm, 0.0) + orders
            block = Increments(self.t, stage, share, served(share), counted={self.gate.text: counted})
            self.state = judge.update(self.config, self.state, block)
            if self.answer(stage) is GateAnswer.FAIL:
                return

    def answer(self, stage: int = 0) -> GateAnswer:
        """The judge's answer now."""
        return judge.read(self.config, self.state, stage=stage, now=self.t).answer


def test_of_200_healthy_canaries_no_more_are_rolled_back_than_was_asked_for() -> None:
    """Five sessions a second, two days at a quarter of the traffic; at most 1 % was asked for."""
    failed = 0
    for seed in range(200):
        shop = Shop(seed=seed)
        shop.serve(288, 600.0)
        failed += shop.answer() is GateAnswer.FAIL
    assert failed <= 2


def test_a_drop_of_five_per_cent_is_found() -> None:
    for seed in range(5):
        shop = Shop(canary=0.19, seed=seed)
        shop.serve(5 * 144, 600.0)
        assert shop.answer() is GateAnswer.FAIL


def test_a_healthy_canary_passes() -> None:
    shop = Shop(rate=50.0)
    shop.serve(1500, 60.0)
    assert shop.answer() is GateAnswer.PASS


def test_sums_are_tested_as_well() -> None:
    """Revenue for each session, with a tail."""
    worse, same = Shop(REVENUE, canary=0.17, rate=50.0), Shop(REVENUE, rate=50.0, seed=3)
    for shop in (worse, same):
        shop.serve(3000, 60.0)
    assert worse.answer() is GateAnswer.FAIL
    assert same.answer() is GateAnswer.PASS


@pytest.mark.parametrize("late", [False, True])
def test_counters_that_are_scraped_after_one_another_are_no_harm(*, late: bool) -> None:
    """Each block has the sessions of now and the orders of the block before; few of either, so that many have none."""
    shop = Shop(rate=0.05)
    shop.serve(6000, 50.0, share=0.05, late=late)
    assert shop.answer() is not GateAnswer.FAIL
    memory = shop.state.memory
    assert memory is not None
    found = memory.delayed[GATE.text].totals.arms
    every: list[tuple[Arm, ArmTotals]] = [("canary", found.canary), ("stable", found.stable)]
    for arm, sums in every:
        orders, _ = sums.kpis[GATE.text]
        assert orders == pytest.approx(shop.orders[arm], rel=0.04), "nothing is lost between two slots"


def test_a_change_of_weights_is_no_harm() -> None:
    """The slot in which the share changes says nothing: its orders are of sessions at other weights."""
    shop = Shop(rate=50.0)
    shop.serve(60, 15.0)
    shop.serve(1, 15.0, share=0.75, stage=1)
    shop.serve(int(SLOT_S / 15.0), 15.0, share=0.75, stage=1)
    assert _samples(shop) == 0.0, "not yet"
    shop.serve(3 * int(SLOT_S / 15.0), 15.0, share=0.75, stage=1)
    assert _samples(shop) > 0


def _samples(shop: Shop) -> float:
    memory = shop.state.memory
    assert memory is not None
    return memory.delayed[GATE.text].totals.arms.canary.kpis.get(GATE.text, (0.0, 0.0))[1]


def _counters(at: float, **series: float) -> Counters:
    return Counters(at, {}, counted={GATE.text: {"canary": {name.replace("_", " "): n for name, n in series.items()}}})


@pytest.mark.parametrize(
    ("before", "now", "grown"),
    [
        ({"events_a": 5, "of_a": 50}, {"events_a": 8, "of_a": 70}, (3, 20)),
        ({"events_a": 5, "of_a": 50}, {"events_a": 1, "of_a": 70}, (1, 20)),  # only one of them began again
        ({"events_a": 5, "events_b": 500, "of_a": 50}, {"events_a": 6, "events_b": 2, "of_a": 60}, (3, 10)),
        ({"events_a": 5, "of_a": 50}, {"of_a": 60}, (0, 10)),  # one was not scraped: its events come later
        ({"of_a": 50}, {"events_a": 1, "of_a": 60}, (1, 10)),  # made at its first event
        ({"of_a": 50}, {"events_a": 900, "of_a": 60}, (0, 10)),  # found only now
    ],
)
def test_each_series_is_differenced_by_itself(
    before: dict[str, float], now: dict[str, float], grown: tuple[float, float]
) -> None:
    """A sum over series would take the restart of one for lost events of all."""
    block = feed.difference(_counters(0, **before), _counters(15, **now), stage=0, weight=0.25, warmup=0)
    assert block.counted == {GATE.text: {"canary": grown}}


def test_a_gate_whose_question_had_no_answer_waits_for_the_next_one() -> None:
    """Nothing is lost: what grew meanwhile comes with the next answer."""
    config = judge.compile_gates(plan(GATE))
    first, silent, last = _counters(0, of_a=50), Counters(15, {}), _counters(30, of_a=90)
    kept = feed.remember(feed.remember(first, silent, config), last, config)
    block = feed.difference(feed.remember(first, silent, config), last, stage=0, weight=0.25, warmup=0)
    assert block.counted == {GATE.text: {"canary": (0, 40)}}
    assert kept.counted[GATE.text]["canary"] == {"of a": 90}


def test_nothing_is_lost_while_replicas_are_waited_for() -> None:
    """The arms are scraped in turn, so every other reading makes no block; the counters come with all of them."""
    config = judge.compile_gates(plan(GATE, shares=(0.5, 1.0)))
    state = judge.begin(config)
    for number in range(400):
        at = 5.0 * number
        scraped: dict[Arm, float] = {"stable": at - at % 10, "canary": at - (at + 5) % 10}
        arms = {arm: {f"{arm}-0": PodCounters(10 * then, 0.0, at=then)} for arm, then in scraped.items()}
        series: dict[Arm, dict[str, float]] = {arm: {"events a": 20.0 * number, "of a": 100.0 * number} for arm in ARMS}
        seen = MetricsStatus(at, Counters(at, arms, counted={GATE.text: series}))
        state = judge.watch(
            config, state, stage=0, weights=Weights.of_share(0.5), evidence=seen, now=at, stage_since=0.0
        ).state
    assert state.memory is not None
    delayed = state.memory.delayed[GATE.text]
    assert delayed.requests[0] == pytest.approx(100 * 400, rel=0.02)


def test_a_first_pool_that_is_small_by_chance_does_not_decide_what_is_usual() -> None:
    """One that lies next to nothing, and all that follow would be hundreds of its standard deviations."""
    shop = Shop(rate=50.0)
    counted: dict[Arm, tuple[float, float]] = {"stable": (450.0, 2250.0), "canary": (147.02, 750.0)}
    for _ in range(3):
        shop.t += SLOT_S
        block = Increments(shop.t, 0, 0.25, served(0.25), counted={GATE.text: counted})
        shop.state = judge.update(shop.config, shop.state, block)
    shop.serve(1500, 60.0)
    assert shop.answer() is GateAnswer.PASS
    memory = shop.state.memory
    assert memory is not None
    assert math.sqrt(memory.everything.gates[GATE.text].passing.sums[1]) < 50
