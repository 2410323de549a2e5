"""Gates with `by`: each value of a label is judged, the worst decides, and their number is paid for."""

import math

import numpy as np
import pytest
from pydantic import TypeAdapter

from canary import judge
from canary.judge import (
    Increments,
    JudgeConfig,
    JudgeState,
    ReplicaIncrements,
    compile_gates,
    label_cardinality,
    segments,
)
from canary.judge.feed import difference, remember
from canary.snapshot import Counters, PodCounters
from canary.spec.models import Gate
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ARMS, Arm
from tests.canary.judge.worlds import plan, remembered

BY_TENANT = Gate(
    text="error_rate not worse than stable by 50% per tenant",
    metric="error_rate",
    comparison="notWorseThan",
    limit=0.5,
    better="lower",
    by="tenant",
)
SHARE = 0.25
Rates = dict[str, tuple[float, float, float]]
"""By tenant: requests in a block, error rate on stable, error rate on the canary."""
EVEN: Rates = dict.fromkeys(("acme", "bolt", "crux"), (400.0, 0.02, 0.02))
ONE_HURT: Rates = EVEN | {"bolt": (400.0, 0.02, 0.10)}


def _block(rng: np.random.Generator, t: float, rates: Rates, *, label: str = "tenant") -> Increments:
    """A block of one canary and two stable replicas, in all and by tenant. Before 0 the canary has nothing."""
    share = SHARE if t >= 0 else 0.0
    by_value: dict[str, dict[Arm, dict[str, ReplicaIncrements]]] = {}
    for name, (requests, stable, canary) in rates.items():
        arms: dict[Arm, dict[str, ReplicaIncrements]] = {"stable": {}, "canary": {}}
        for pod in ("s-0", "s-1"):
            n = rng.poisson(requests * (1 - share) / 2)
            arms["stable"][pod] = ReplicaIncrements(float(n), float(rng.binomial(n, stable)))
        if share:
            n = rng.poisson(requests * share)
            arms["canary"]["c-0"] = ReplicaIncrements(float(n), float(rng.binomial(n, canary)))
        by_value[name] = arms
    together: dict[Arm, dict[str, ReplicaIncrements]] = {arm: {} for arm in ARMS}
    for arms in by_value.values():
        for arm, pods in arms.items():
            for pod, block in pods.items():
                mine = together[arm].get(pod)
                together[arm][pod] = block if mine is None else mine.plus(block)
    return Increments(t, 0, share, together, {}, {label: by_value} if label else {})


def _run(config: JudgeConfig, seed: int, rates: Rates, *, until: float = 1000.0, label: str = "tenant") -> JudgeState:
    """A history of 300 seconds, then the canary, in steps of five seconds."""
    rng, state = np.random.default_rng(seed), judge.begin(config)
    for t in np.arange(-300.0, until, 5.0).tolist():
        state = judge.update(config, state, _block(rng, t, rates, label=label))
    return state


def _gate(config: JudgeConfig, state: JudgeState) -> GateVerdict:
    [gate] = judge.read(config, state, stage=0, now=remembered(state).clock.last).gates
    return gate


def test_harm_to_one_tenant_is_found_and_the_tenant_named() -> None:
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    verdict = _gate(config, _run(config, 1, ONE_HURT, until=300.0))
    assert verdict.verdict is GateAnswer.FAIL
    assert "error rate of tenant bolt" in verdict.why
    assert "wait too" not in verdict.why
    assert verdict.canary == pytest.approx(0.10, abs=0.03)


def test_harm_to_a_small_tenant_is_found_sooner_than_in_all_traffic_together() -> None:
    """A tenant of a twentieth of the traffic fails four times as often, which hardly moves the whole."""
    big: Rates = {f"t{i}": (300.0, 0.02, 0.02) for i in range(8)}
    rates = big | {"small": (130.0, 0.05, 0.25)}
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    verdict = _gate(config, _run(config, 2, rates, until=400.0))
    assert verdict.verdict is GateAnswer.FAIL
    assert "tenant small" in verdict.why
    unlabelled = _gate(config, _run(config, 2, rates, until=400.0, label=""))
    assert unlabelled.verdict is not GateAnswer.FAIL
    assert "of all together, not by tenant" in unlabelled.why


def test_a_gate_passes_only_when_every_segment_passes() -> None:
    """All together passes long before each tenant does."""
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    early, late = _gate(config, _run(config, 3, EVEN, until=450.0)), _gate(config, _run(config, 3, EVEN, until=4000.0))
    assert early.verdict is GateAnswer.WAIT
    assert "of tenant" in early.why
    assert early.samples["canary"] < 450 / 5 * 400 * SHARE * 1.2, "the samples are those of the segment it waits for"
    assert late.verdict is GateAnswer.PASS
    assert "each of 3 values of tenant pass" in late.why


def test_healthy_segments_are_seldom_convicted_however_many_there_are() -> None:
    """Forty rollouts of twelve tenants whose errors are rare; at 5 % at most two are expected to be rolled back."""
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0), falseRollback=0.05))
    rates: Rates = {f"t{i}": (120.0, 0.02, 0.02) for i in range(12)}
    convicted = sum(
        _gate(config, _run(config, 100 + k, rates, until=300.0)).verdict is GateAnswer.FAIL for k in range(40)
    )
    assert convicted <= 4


def test_the_combined_evidence_is_the_mean_of_the_whole_and_the_mean_of_its_parts() -> None:
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    memory = remembered(_run(config, 5, EVEN, until=200.0))
    parts = [math.exp(part.gates[BY_TENANT.text].log_e) for part in memory.labels["tenant"].parts.values()]
    whole = math.exp(memory.everything.gates[BY_TENANT.text].log_e)
    assert len(parts) == 4, "three tenants and the others"
    assert memory.log_e(BY_TENANT.text, "tenant") == pytest.approx(math.log(whole / 2 + sum(parts) / len(parts) / 2))


def test_evidence_from_before_the_segments_were_known_is_not_spent_twice() -> None:
    """Labels that appear in the middle of a rollout split the fortune that there is."""
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    rng, state = np.random.default_rng(6), judge.begin(config)
    for t in np.arange(-300.0, 100.0, 5.0).tolist():
        state = judge.update(config, state, _block(rng, t, EVEN, label=""))
    before = judge.weight_of_evidence(config, state)
    state = judge.update(config, state, _block(rng, 100.0, EVEN))
    assert judge.weight_of_evidence(config, state) == pytest.approx(before, abs=0.3)


def test_rare_tenants_and_latecomers_are_judged_together_as_the_others() -> None:
    rare: Rates = EVEN | {f"rare-{i}": (5.0, 0.02, 0.02) for i in range(4)}
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    rng, state = np.random.default_rng(7), judge.begin(config)
    for t in np.arange(-300.0, 200.0, 5.0).tolist():
        late: Rates = {"latecomer": (100.0, 0.02, 0.02)} if t > 50 else {}
        state = judge.update(config, state, _block(rng, t, rare | late))
    parts = remembered(state).labels["tenant"].parts
    assert sorted(parts) == ["acme", "bolt", "crux", label_cardinality.OTHER]
    assert parts[label_cardinality.OTHER].totals.arms.canary.requests > 100 * SHARE * 20


def test_at_most_sixteen_are_judged_by_themselves_so_that_memory_stays_small() -> None:
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))
    state = _run(config, 8, {f"t{i}": (50.0 + i, 0.02, 0.02) for i in range(30)}, until=60.0)
    assert len(remembered(state).labels["tenant"].parts) == segments.MOST + 1
    assert len(TypeAdapter(JudgeState).dump_json(state)) < 64_000


def test_a_stage_begins_anew_for_segments_that_are_silent_at_its_first_block() -> None:
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 0.5, 1.0)))
    state, rng = _run(config, 9, EVEN, until=2000.0), np.random.default_rng(10)
    only_acme = {"acme": EVEN["acme"]}
    block = _block(rng, 2000.0, only_acme)
    state = judge.update(config, state, Increments(block.t, 1, 0.5, block.arms, {}, block.segments))
    bolt = remembered(state).labels["tenant"].parts["bolt"]
    assert bolt.totals.arms.canary.requests == 0
    assert bolt.gates[BY_TENANT.text].passing.log_e == 0


def test_totals_by_segment_are_differenced_series_by_series() -> None:
    """A restart within one segment counts exactly, a segment that is new has nothing yet, one that is gone is kept."""
    config = compile_gates(plan(BY_TENANT, shares=(SHARE, 1.0)))

    def reading(at: float, **requests: float) -> Counters:
        by_value: dict[str, dict[Arm, dict[str, PodCounters]]] = {
            name: {"stable": {"s-0": PodCounters(n, 0.0)}} for name, n in requests.items()
        }
        return Counters(
            at, {"stable": {"s-0": PodCounters(sum(requests.values()), 0.0)}}, segments={"tenant": by_value}
        )

    first = remember(None, reading(0.0, acme=100.0, bolt=50.0), config)
    second = reading(5.0, acme=130.0, crux=7.0)
    block = difference(first, second, stage=0, weight=0.1, warmup=0.0)
    assert block.segments["tenant"]["acme"]["stable"]["s-0"].requests == 30.0
    assert block.segments["tenant"]["crux"] == {}
    third = difference(
        remember(first, second, config), reading(10.0, acme=4.0, bolt=60.0), stage=0, weight=0.1, warmup=0.0
    )
    assert third.segments["tenant"]["acme"]["stable"]["s-0"].requests == 4.0
    assert third.segments["tenant"]["bolt"]["stable"]["s-0"].requests == 10.0
