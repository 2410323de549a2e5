"""Gates that count readings beyond a limit, as other tools do."""

import math

import pytest

from canary import judge
from canary.judge import Increments, ReplicaIncrements, compile_gates
from canary.spec.models import Gate
from canary.verdict import GateAnswer, GateVerdict
from tests.canary.judge.worlds import ERRORS_AT_MOST, FAST, plan

COUNTED = ERRORS_AT_MOST.model_copy(update={"test": "threshold", "failures": 2})
CACHE = Gate(text="kv_cache_usage <= 90%", metric="kv_cache_usage", comparison="max", limit=0.9, better="lower")
QUERY = Gate(
    text="kpi/conversion drift <= 5%",
    metric="kpi/conversion",
    comparison="drift",
    limit=0.05,
    better="higher",
    query="sum by (variant) (increase(checkout[$window]))",
    window=20.0,
)


def _play(gate: Gate, *blocks: Increments) -> list[GateVerdict]:
    """The gate's verdict after each block."""
    config = compile_gates(plan(gate, hardStop={"enabled": False}))
    state, said = judge.begin(config), []
    for block in blocks:
        state = judge.update(config, state, block)
        said.append(judge.read(config, state, stage=0, now=block.t).gates[0])
    return said


def _errors(t: float, errors: float) -> Increments:
    arms = {"canary": {"c": ReplicaIncrements(100.0, errors)}, "stable": {"s": ReplicaIncrements(900.0, 0.0)}}
    return Increments(t, 0, 0.1, arms)  # type: ignore[arg-type]  # literal arm names


def _gauge(t: float, *values: float) -> Increments:
    pods = {f"c-{i}": ReplicaIncrements(50.0, 0.0, gauges={"kv_cache_usage": value}) for i, value in enumerate(values)}
    return Increments(t, 0, 0.1, {"canary": pods})


def _reading(t: float, canary: float | None, stable: float | None) -> Increments:
    both = {"canary": canary, "stable": stable}
    answers = {arm: value for arm, value in both.items() if value is not None}
    return Increments(t, 0, 0.1, {"canary": {"c": ReplicaIncrements(50.0, 0.0)}}, {QUERY.text: answers})  # type: ignore[dict-item]  # literal arm names


def test_one_reading_more_than_is_forgiven_decides() -> None:
    """Two failures are forgiven, wherever they lie; the third decides and is dated by the first."""
    said = _play(COUNTED, *[_errors(t, bad) for t, bad in enumerate((0, 9, 0, 9, 0, 9, 0), start=1)])
    assert [verdict.verdict for verdict in said] == [
        GateAnswer.PASS,
        GateAnswer.WAIT,
        GateAnswer.PASS,
        GateAnswer.WAIT,
        GateAnswer.PASS,
        GateAnswer.FAIL,
        GateAnswer.FAIL,
    ]
    assert said[-1].spoke == "threshold"
    assert said[-1].harm_began == 2
    assert "3 of 6 readings were beyond it and 2 are forgiven" in said[-1].why


def test_a_window_is_read_once_it_is_full() -> None:
    """With a window of 10 s and blocks of 5 s, every second block after the first is a reading."""
    gate = COUNTED.model_copy(update={"window": 10.0, "failures": 0})
    said = _play(gate, *[_errors(t, bad) for t, bad in ((5, 2), (10, 1), (15, 3), (20, 8), (25, 9))])
    assert [verdict.verdict for verdict in said] == [
        GateAnswer.WAIT,
        GateAnswer.WAIT,
        GateAnswer.PASS,
        GateAnswer.PASS,
        GateAnswer.FAIL,
    ]
    assert said[2].canary == pytest.approx(0.02)
    assert said[4].canary == pytest.approx(0.085)
    assert "first window of 10 s is full in 5 s" in said[1].why


def test_latency_is_read_as_a_quantile() -> None:
    gate = FAST.model_copy(update={"test": "threshold"})

    def block(t: float, slow: float) -> Increments:
        histogram = {0.1: 80 - slow, 0.25: 100 - slow, 1.0: 100.0, math.inf: 100.0}
        return Increments(t, 0, 0.1, {"canary": {"c": ReplicaIncrements(100.0, 0.0, {"latency": histogram})}})

    said = _play(gate, block(1, 0), block(2, 20))
    assert [verdict.verdict for verdict in said] == [GateAnswer.PASS, GateAnswer.FAIL]
    assert said[1].canary is not None
    assert said[1].canary > 0.25


def test_of_momentary_values_the_worst_replica_counts() -> None:
    said = _play(CACHE, _gauge(1, 0.5, 0.6), _gauge(2, 0.5, 0.95))
    assert [verdict.verdict for verdict in said] == [GateAnswer.PASS, GateAnswer.FAIL]
    assert said[1].canary == 0.95
    assert "95 % on the canary, limit 90 %" in said[1].why


def test_a_query_waits_for_a_whole_window_and_for_both_arms() -> None:
    said = _play(
        QUERY,
        _reading(5, 0.01, 0.2),
        _reading(10, None, 0.2),
        _reading(30, 0.2, 0.2),
        _reading(55, 0.1, 0.2),
    )
    assert [verdict.verdict for verdict in said] == [GateAnswer.WAIT, GateAnswer.WAIT, GateAnswer.PASS, GateAnswer.FAIL]
    assert said[-1].limit == pytest.approx(0.19)


def test_samples_asked_for_come_before_any_reading_counts() -> None:
    gate = COUNTED.model_copy(update={"failures": 0, "min_samples": 250})
    said = _play(gate, *[_errors(t, 9) for t in (1, 2, 3)])
    assert [verdict.verdict for verdict in said] == [GateAnswer.WAIT, GateAnswer.WAIT, GateAnswer.FAIL]


def test_throughput_is_requests_a_second() -> None:
    gate = Gate(text="throughput >= 15", metric="throughput", comparison="min", limit=15.0, better="higher")
    said = _play(gate, _errors(1, 0), _errors(6, 0), _errors(16, 0))
    assert said[1].canary == 20.0
    assert [verdict.verdict for verdict in said[1:]] == [GateAnswer.PASS, GateAnswer.FAIL]
