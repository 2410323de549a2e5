"""What a verdict shows and says: the convicting window, edges of histograms, no time without traffic, steady passes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary import judge
from canary.alert_facts import shown
from canary.judge import Increments, ReplicaIncrements, bounds
from canary.judge.config import JudgeConfig
from canary.judge.state import JudgeState
from canary.spec.models import Gate
from canary.verdict import GateAnswer, GateVerdict
from canary.weights import ARMS
from tests.canary.judge.worlds import ERRORS_AT_MOST, FAST, plan, remembered

EDGES = (0.3, 0.5, 1.0)


def court(*gates: Gate) -> tuple[JudgeConfig, JudgeState]:
    config = judge.compile_gates(plan(*gates, refusals=False))
    return config, judge.begin(config)


def pods(n: float, errors: float, latency: tuple[float, ...] | None = None) -> ReplicaIncrements:
    """One replica's increments; `latency`: cumulative counts up to each of `EDGES`."""
    histograms = {} if latency is None else {"latency": dict(zip((*EDGES, float("inf")), (*latency, n), strict=True))}
    return ReplicaIncrements(n, errors, histograms)


def after(
    config: JudgeConfig, state: JudgeState, times: range, canary: ReplicaIncrements, stable: ReplicaIncrements
) -> JudgeState:
    for t in times:
        block = Increments(float(t), 0, 0.25, {"canary": {"canary-0": canary}, "stable": {"stable-0": stable}})
        state = judge.update(config, state, block)
    return state


def verdict(config: JudgeConfig, state: JudgeState, now: float) -> GateVerdict:
    return judge.read(config, state, stage=0, now=now).gates[0]


def test_a_conviction_shows_the_time_of_the_harm_and_not_the_average_of_the_stage() -> None:
    """After an hour without an error the average says 2 %, which is within the limit of 5 %."""
    config, state = court(ERRORS_AT_MOST)
    state = after(config, state, range(300), pods(20, 0), pods(60, 0))
    t = 300
    while verdict(config, state, t).verdict is not GateAnswer.FAIL:
        state = after(config, state, range(t, t + 1), pods(20, 6), pods(60, 0))
        t += 1
        assert t < 400
    found = verdict(config, state, t)
    assert found.why.startswith("error rate: 30 % of the canary's requests failed in the last ")
    assert "; limit 5 %; evidence " in found.why
    assert found.canary == pytest.approx(0.3)
    assert found.stable == 0
    assert found.samples["canary"] <= 20 * (t - 299)
    assert shown(found.plain())["canary"] == f"30 % ({found.samples['canary']:,.0f} samples)"


def test_a_quantile_that_was_over_the_limit_only_while_the_harm_lasted_is_said_to_be_over_it() -> None:
    slow = Gate(
        text="latency p95 <= 500ms", metric="latency", statistic="p95", comparison="max", limit=0.5, better="lower"
    )
    config, state = court(slow)
    state = after(config, state, range(300), pods(20, 0, (20, 20, 20)), pods(60, 0, (60, 60, 60)))
    t = 300
    while verdict(config, state, t).verdict is not GateAnswer.FAIL:
        state = after(config, state, range(t, t + 1), pods(20, 0, (10, 10, 20)), pods(60, 0, (60, 60, 60)))
        t += 1
        assert t < 400
    found = verdict(config, state, t)
    assert found.why.startswith("latency p95: 50 % of the canary's requests took longer than 500 ms in the last ")
    assert (found.canary, dict(found.edges)) == (0.5, {"canary": "over", "stable": "under"})
    assert shown(found.plain())["canary"].startswith("over 500 ms (")
    assert shown(found.plain())["stable"].startswith("under 300 ms (")


def test_a_value_within_the_first_bucket_is_said_to_be_under_its_bound_and_never_guessed() -> None:
    """The time in vLLM's queue is 0.02 ms, and its first bucket ends at 300 ms: nobody knows more than that."""
    config, state = court(FAST)
    state = after(config, state, range(60), pods(20, 0, (20, 20, 20)), pods(60, 0, (60, 60, 60)))
    found = verdict(config, state, 60.0)
    assert (found.canary, found.stable) == (0.3, 0.3)
    assert "under 300 ms on the canary (1,200 requests), under 300 ms on stable (3,600)" in found.why
    assert found.why.endswith("at most 250 ms cannot be shown, since the first bucket ends at 300 ms.")


@given(
    st.lists(st.integers(0, 50), min_size=2, max_size=8),
    st.floats(0.01, 0.99),
)
def test_an_edge_is_where_the_quantile_has_no_bound_on_one_side(counts: list[int], q: float) -> None:
    cumulative = [float(sum(counts[: i + 1])) for i in range(len(counts))]
    edges = [*(float(i + 1) for i in range(len(counts) - 1)), float("inf")]
    found, value = bounds.edge(q, cumulative, edges), bounds.quantile(q, cumulative, edges)
    if found is None:
        assert value is None or 1 <= value <= edges[-2]
    elif found[0] == "under":
        assert found[1] == 1
        assert value is not None
        assert value <= 1
    else:
        assert value == found[1] == edges[-2]


def test_no_time_is_foretold_while_the_canary_gets_no_requests() -> None:
    """Traffic that stopped an hour ago was to be decided in 24,819,996 days."""
    config, state = court(ERRORS_AT_MOST)
    state = after(config, state, range(10), pods(1, 0), pods(60, 0))
    assert verdict(config, state, 10.0).eta is not None
    state = after(config, state, range(10, 70), pods(0, 0), pods(60, 0))
    memory = remembered(state)
    assert memory.everything.totals.rate > 0
    found = verdict(config, state, 12.0)
    assert found.eta is None
    assert "more canary requests, and it gets none now, to show" in found.why


def test_a_pass_stays_until_nothing_is_left_of_the_case_for_it() -> None:
    config, state = court(ERRORS_AT_MOST)
    t = 0
    while verdict(config, state, t).verdict is not GateAnswer.PASS:
        state = after(config, state, range(t, t + 1), pods(10, 0), pods(30, 0))
        t += 1
        assert t < 200
    passed = remembered(state).everything.gates[ERRORS_AT_MOST.text].passing.log_e
    # One error takes some of the case away again, as it did every few seconds.
    state = after(config, state, range(t, t + 1), pods(10, 1), pods(30, 0))
    assert 0 < remembered(state).everything.gates[ERRORS_AT_MOST.text].passing.log_e < min(passed, config.passes_at)
    assert verdict(config, state, t).verdict is GateAnswer.PASS
    bad = 0
    while verdict(config, state, t).verdict is GateAnswer.PASS:
        state = after(config, state, range(t + 1, t + 2), pods(10, 1), pods(30, 0))
        t, bad = t + 1, bad + 1
        assert bad < 100
    assert verdict(config, state, t).verdict in {GateAnswer.WAIT, GateAnswer.FAIL}
    assert ERRORS_AT_MOST.text not in remembered(state).stage.shown


def test_a_pass_of_one_stage_is_none_in_the_next() -> None:
    config, state = court(ERRORS_AT_MOST)
    state = after(config, state, range(60), pods(10, 0), pods(30, 0))
    assert remembered(state).stage.shown == (ERRORS_AT_MOST.text,)
    arms = {arm: {f"{arm}-0": pods(10, 0)} for arm in ARMS}
    state = judge.update(config, state, Increments(60.0, 1, 0.5, arms))
    assert remembered(state).stage.shown == ()


def test_data_is_stale_by_the_interval_of_its_own_source() -> None:
    """Pods that are scraped twice a minute, beside a gateway that is scraped each second."""
    config, state = court(FAST, ERRORS_AT_MOST)
    for t in range(121):
        told = (20.0, 20.0, 20.0) if t % 30 == 0 else None
        theirs = (60.0, 60.0, 60.0) if told else None
        state = after(config, state, range(t, t + 1), pods(20, 0, told), pods(60, 0, theirs))
    for age in (1, 29, 80):
        latency, errors = judge.read(config, state, stage=0, now=120.0 + age).gates
        assert "nothing new" not in latency.why
    assert "nothing new for 80 s" in errors.why
    assert "nothing new" in judge.read(config, state, stage=0, now=120.0 + 91).gates[0].why
