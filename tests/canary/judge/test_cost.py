"""Gates on cost compare arms at the same utilisation, so that a twin of stable passes at any share."""

import pytest

from canary import judge
from canary.judge import Increments, JudgeState, ReplicaIncrements
from canary.judge.cost import DOLLARS, UPTIME, WORK
from canary.spec.models import Gate
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import Arm
from tests.canary.judge.worlds import plan

LIMIT = Gate(
    text="cost_per_1k_requests <= $0.02", metric="cost_per_1k_requests", comparison="max", limit=0.02, better="lower"
)
RELATIVE = Gate(
    text="cost_per_1m_tokens not worse than stable by 10%",
    metric="cost_per_1m_tokens",
    comparison="notWorseThan",
    limit=0.1,
    better="lower",
)
PRICE = 1.2 / 3600
"""Dollars a second: 100 requests a second on four replicas cost $0.0133 a thousand."""


def judged(
    gate: Gate, share: float, *, price: float = PRICE, slowness: float = 1.0, tokens: bool = True, blocks: int = 240
) -> GateVerdict:
    """The gate's verdict after blocks of five seconds with one replica of the canary and four of stable."""
    config = judge.compile_gates(plan(gate, shares=(share, 1.0) if share < 1 else (0.5, 1.0)))
    state: JudgeState = judge.begin(config)
    for number in range(blocks):
        arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
        parts: list[tuple[Arm, int, float, float, float]] = [
            ("stable", 4, 1 - share, PRICE, 1.0),
            ("canary", 1, share, price, slowness),
        ]
        for arm, replicas, part, rate, slow in parts:
            arms[arm] = {}
            for replica in range(replicas):
                # Some more, some less: a deterministic stand-in for chance.
                requests = 500.0 * part / replicas * (1 + 0.1 * ((7 * number + 3 * replica + len(arm)) % 5 - 2))
                totals = {DOLLARS: 5 * rate, UPTIME: 5.0, "generation_tokens": 100 * requests}
                if tokens:
                    totals[WORK] = requests * 2.0 * slow
                arms[arm][f"{arm}-{replica}"] = ReplicaIncrements(requests, 0.0, totals=totals)
        state = judge.update(config, state, Increments(5.0 * (number + 1), 0, share, arms))
    return next(each for each in judge.read(config, state, stage=0, now=5.0 * blocks).gates if each.gate == gate.text)


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.25, 0.75])
@pytest.mark.parametrize("gate", [LIMIT, RELATIVE])
def test_a_twin_of_stable_passes_at_any_share(gate: Gate, share: float, *, tokens: bool) -> None:
    """By its own bill it would cost up to 25 times as much at 1 %."""
    verdict = judged(gate, share, tokens=tokens)
    assert verdict.verdict is GateAnswer.PASS
    assert verdict.canary == pytest.approx(verdict.stable, rel=0.02)


def test_idle_gpus_are_reported_apart() -> None:
    verdict = judged(LIMIT, 0.05)
    assert verdict.canary == pytest.approx(0.01333, rel=0.01)
    assert "both at the same utilisation; with the idle time of their GPUs $0.0667 and $0.014" in verdict.why


@pytest.mark.parametrize("share", [0.05, 0.75])
def test_a_dearer_or_slower_canary_fails(share: float) -> None:
    assert judged(RELATIVE, share, price=1.3 * PRICE).verdict is GateAnswer.FAIL
    assert judged(RELATIVE, share, slowness=1.3).verdict is GateAnswer.FAIL
    assert judged(LIMIT, share, price=2 * PRICE).verdict is GateAnswer.FAIL


def test_dollars_without_uptime_are_taken_as_they_are() -> None:
    """As `serinus judge` gets them."""
    config = judge.compile_gates(plan(LIMIT))
    pods = {"canary-0": ReplicaIncrements(100.0, 0.0, totals={DOLLARS: 1.0})}
    block = Increments(
        5.0, 0, 0.05, {"canary": pods, "stable": {"stable-0": ReplicaIncrements(900.0, 0.0, totals={DOLLARS: 1.0})}}
    )
    state = judge.update(config, judge.begin(config), block)
    [verdict] = judge.read(config, state, stage=0, now=5.0).gates
    assert verdict.canary == 10.0
    assert verdict.stable == pytest.approx(1 / 0.9)
