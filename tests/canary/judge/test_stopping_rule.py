"""When evidence is enough: all gates together, and blame for the one with the largest part."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import judge
from canary.judge import Increments, ReplicaIncrements, compile_gates, stopping_rule
from canary.judge.compat import can_go_on_with
from canary.judge.state import JudgeMemory
from canary.spec.models import CanarySpec, Gate
from canary.verdict import GateAnswer, Judgement
from canary.weights import ARMS, Arm
from tests.canary.judge.worlds import (
    CONVERSION,
    ERRORS_AT_MOST,
    ERRORS_LIKE_STABLE,
    FAST,
    block,
    plan,
    remembered,
)

SPEC = plan(ERRORS_LIKE_STABLE, FAST, CONVERSION, refusals=False)


def _memory(spec: CanarySpec, **log_e: float) -> JudgeMemory:
    """A memory in which gates have these logs of evidence, in the order of the plan."""
    memory = JudgeMemory.of(compile_gates(spec))
    known = dict(zip(memory.gates, log_e.values(), strict=False))
    gates = {text: replace(memory.everything.gates[text], log_e=value) for text, value in known.items()}
    return replace(memory, everything=replace(memory.everything, gates=gates, started=tuple(gates)))


def test_the_evidence_of_all_gates_adds_up_by_their_weights() -> None:
    config = compile_gates(SPEC)
    total = stopping_rule.total(config, _memory(SPEC, errors=math.log(100), latency=math.log(50), kpi=math.log(10)))
    assert total == pytest.approx(math.log(0.4 * 100 + 0.4 * 50 + 0.2 * 10))


def test_gates_that_are_not_enough_alone_may_be_together_and_the_heaviest_is_blamed() -> None:
    """Three gates of 130 to 1: none reaches 100 by its own weight, all together do."""
    config, memory = compile_gates(SPEC), _memory(SPEC, errors=math.log(130), latency=math.log(140), kpi=math.log(130))
    assert [verdict.gate for verdict in stopping_rule.just_failed(config, memory, 0, 100.0)] == [FAST.text]


def test_just_short_of_enough_nobody_fails() -> None:
    config, memory = compile_gates(SPEC), _memory(SPEC, errors=math.log(99), latency=math.log(99), kpi=math.log(99))
    assert stopping_rule.just_failed(config, memory, 0, 100.0) == []


@given(st.tuples(*[st.floats(-5, 8)] * 3))
def test_gates_fail_exactly_when_all_their_evidence_together_is_enough(logs: tuple[float, float, float]) -> None:
    """Most blocks are settled by a look at the largest part; no failure may be lost by that, and none made."""
    config, memory = compile_gates(SPEC), _memory(SPEC, **dict(zip(("errors", "latency", "kpi"), logs, strict=True)))
    failed = stopping_rule.just_failed(config, memory, 0, 100.0)
    assert bool(failed) == (stopping_rule.total(config, memory) >= config.fails_at)


def test_evidence_beyond_all_floats_is_still_only_evidence() -> None:
    assert stopping_rule.total(compile_gates(SPEC), _memory(SPEC, errors=570.0, latency=0.0, kpi=-600.0)) < 571


def test_r8_the_chance_of_a_false_rollback_is_the_users() -> None:
    """The same errors convict at 20 % and not yet at 0.01 %."""
    verdicts = {}
    for alpha in (0.2, 0.0001):
        config = compile_gates(plan(ERRORS_LIKE_STABLE, falseRollback=alpha))
        state = judge.begin(config)
        for t in range(1, 5):
            state = judge.update(config, state, block(float(t), (250, 6), (375, 1), (375, 1)))
        verdicts[alpha] = bool(remembered(state).failed)
    assert verdicts == {0.2: True, 0.0001: False}


def _refusing(share: float, stable: float, *, seconds: int, seed: int = 1, refusals: bool = True) -> Judgement:
    """What the judge says of a canary that refuses this share of 20 requests a second, beside stable's 60."""
    config, rng = judge.compile_gates(plan(ERRORS_AT_MOST, refusals=refusals)), np.random.default_rng(seed)
    state = judge.begin(config)
    for t in range(seconds):
        arms: dict[Arm, dict[str, ReplicaIncrements]] = {}
        for arm in ARMS:
            n = int(rng.poisson(20 if arm == "canary" else 60))
            refused = float(rng.binomial(n, share if arm == "canary" else stable))
            totals = {"client_errors": refused, "throttled": 0.0, "cancelled": 0.0}
            arms[arm] = {f"{arm}-0": ReplicaIncrements(float(n), 0.0, totals=totals)}
        state = judge.update(config, state, Increments(float(t), 0, 0.25, arms))
    return judge.read(config, state, stage=0, now=float(seconds))


def test_a_canary_that_refuses_clearly_more_than_stable_is_rolled_back_though_no_gate_asks_for_it() -> None:
    """Far too little for the hard stop."""
    (verdict,) = _refusing(0.08, 0.01, seconds=600).failed("rollback")
    assert (verdict.gate, verdict.spoke) == ("refused_rate not worse than stable by 2pp", "sequential")
    assert "were refused or cancelled in the last" in verdict.why
    assert not _refusing(0.08, 0.01, seconds=600, refusals=False).failed("rollback")


def test_a_canary_that_refuses_as_much_as_stable_is_not_and_nothing_waits_for_that_guardrail() -> None:
    for seed in range(10):
        found = _refusing(0.2, 0.2, seconds=300, seed=seed)
        assert found.answer is GateAnswer.PASS
        assert [each.gate for each in found.gates] == ["error_rate <= 5%"]


def test_the_guardrails_part_of_the_chance_to_be_wrong_is_taken_from_the_gates() -> None:
    config = judge.compile_gates(plan(ERRORS_AT_MOST, FAST))
    assert sum(gate.weight for gate in config.weighty) == pytest.approx(1)
    assert [gate.weight for gate in config.guardrails] == [0.05]
    own = Gate(text="client_error_rate <= 5%", metric="client_error_rate", comparison="max", limit=0.05, better="lower")
    assert judge.compile_gates(plan(own)).guardrails == ()


def test_a_state_without_the_guardrail_goes_on_with_it() -> None:
    """As the build before wrote it."""
    config, without = (judge.compile_gates(plan(ERRORS_AT_MOST, refusals=each)) for each in (True, False))
    state = judge.begin(without)
    assert can_go_on_with(config, state)
    updated = judge.update(config, state, block(1.0, (1, 20), (3, 60)))
    assert remembered(updated).everything.gates.keys() == {*config.texts, config.guardrails[0].text}
