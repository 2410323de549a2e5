"""KPIs whose events come late: judged on requests that are old enough, and on nothing near a change of weights."""

import numpy as np
import pytest

from canary import judge
from canary.judge import Increments, JudgeState, ReplicaIncrements
from canary.spec.models import Gate
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Arm
from tests.canary.judge.worlds import plan, remembered

DELAY = 320.0
LATE = Gate(
    text="kpi/conversion drop <= 5%",
    metric="kpi/conversion",
    comparison="drift",
    limit=0.05,
    better="higher",
    delay=DELAY,
)
PROMPT = LATE.model_copy(update={"delay": None})
REQUESTS = 2000.0
"""In five seconds, so that a rollout of an hour decides."""


class Shop:
    """Requests become orders at some time within the delay; half of them soon, half of them late."""

    def __init__(
        self, gate: Gate, *, canary: float, seed: int = 1, shares: tuple[float, ...] = (0.1, 0.5, 1.0)
    ) -> None:
        self.config = judge.compile_gates(plan(gate, shares=shares))
        self.state: JudgeState = judge.begin(self.config)
        self.rng, self.rates = np.random.default_rng(seed), {"canary": canary, "stable": 0.2}
        self.t, self.coming = -1200.0, dict[tuple[Arm, str, float], int]()

    def serve(self, until: float, *, stage: int, share: float, load: float = 1.0) -> None:
        """Blocks of five seconds of one canary and two stable replicas."""
        while self.t < until:
            self.t += 5.0
            arms: dict[Arm, dict[str, ReplicaIncrements]] = {"stable": {}, "canary": {}}
            parts: list[tuple[Arm, str, float]] = [
                ("stable", "s-0", (1 - share) / 2),
                ("stable", "s-1", (1 - share) / 2),
            ]
            if share:
                parts.append(("canary", "c-0", share))
            for arm, pod, part in parts:
                n = int(self.rng.poisson(REQUESTS * load * part))
                for delay, half in ((5.0, 0.5), (DELAY - 5.0, 0.5)):
                    orders = int(self.rng.binomial(n, self.rates[arm] * half))
                    due = (arm, pod, self.t + delay)
                    self.coming[due] = self.coming.get(due, 0) + orders
                orders_now = self.coming.pop((arm, pod, self.t), 0)
                arms[arm][pod] = ReplicaIncrements(float(n), 0.0, kpis={"conversion": (float(orders_now), float(n))})
            if not share:
                del arms["canary"]
            self.state = judge.update(self.config, self.state, Increments(self.t, stage, share, arms))

    def verdict(self, stage: int) -> GateVerdict:
        """The gate's answer now."""
        [verdict] = judge.read(self.config, self.state, stage=stage, now=self.t).gates
        return verdict


def test_requests_count_when_they_are_old_enough_and_not_before() -> None:
    shop = Shop(LATE, canary=0.2)
    shop.serve(0.0, stage=0, share=0.0)
    shop.serve(200.0, stage=0, share=0.1)
    young = shop.verdict(0)
    assert young.verdict is GateAnswer.WAIT
    assert "requests count when they are 5.3 min old" in young.why
    assert young.samples["canary"] == 0
    shop.serve(700.0, stage=0, share=0.1)
    old = shop.verdict(0)
    expected = REQUESTS / 5 * 0.1 * (700 - DELAY)
    assert old.samples["canary"] == pytest.approx(expected, rel=0.1), "only requests that are old enough"


def test_the_value_is_that_of_the_cohort_even_while_load_changes() -> None:
    """Twice the load halves what a naive ratio shows, since the orders are still to come."""
    late, prompt = Shop(LATE, canary=0.2), Shop(PROMPT, canary=0.2)
    for shop in (late, prompt):
        shop.serve(0.0, stage=0, share=0.0)
        shop.serve(600.0, stage=0, share=0.1)
    for load in (1.5, 2.0, 3.0, 4.0):
        for shop in (late, prompt):
            shop.serve(shop.t + 100.0, stage=0, share=0.1, load=load)
    seen, naive = late.verdict(0).canary, prompt.verdict(0).canary
    assert seen is not None
    assert naive is not None
    assert abs(seen - 0.2) < abs(naive - 0.2)


def test_a_change_of_weights_is_no_evidence() -> None:
    """Five times the share brings orders of young requests before old ones: the naive ratio would accuse the canary."""
    convicted = {}
    for gate in (LATE, PROMPT):
        shop = Shop(gate, canary=0.2, seed=2)
        shop.serve(0.0, stage=0, share=0.0)
        shop.serve(700.0, stage=0, share=0.1)
        shop.serve(2000.0, stage=1, share=0.5)
        convicted[gate.delay] = shop.verdict(1).verdict is GateAnswer.FAIL
    assert convicted == {DELAY: False, None: True}


def test_a_drop_is_found_and_a_canary_as_good_as_stable_passes() -> None:
    bad, good = Shop(LATE, canary=0.16, seed=3), Shop(LATE, canary=0.21, seed=4)
    for shop in (bad, good):
        shop.serve(0.0, stage=0, share=0.0)
        shop.serve(6000.0, stage=0, share=0.3)
    assert bad.verdict(0).verdict is GateAnswer.FAIL
    assert good.verdict(0).verdict is GateAnswer.PASS


def test_what_is_remembered_does_not_grow_with_time() -> None:
    shop = Shop(LATE, canary=0.2)
    shop.serve(0.0, stage=0, share=0.0)
    shop.serve(3000.0, stage=0, share=0.1)
    assert len(remembered(shop.state).delayed[LATE.text].ends) <= 34
