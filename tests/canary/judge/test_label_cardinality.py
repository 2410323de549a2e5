"""No label makes a rollout's state grow, and no value that changes its place looks like traffic."""

from collections.abc import Mapping

import pytest

from canary import judge
from canary.judge import compile_gates
from canary.judge.label_cardinality import MOST, OTHER, bounded
from canary.snapshot import Counters, MetricsStatus, PodCounters
from canary.spec.models import Gate
from canary.weights import ALL_STABLE, ARMS, Weights
from tests.canary.judge.worlds import plan, remembered

BY_TENANT = Gate(
    text="error_rate <= 5% per tenant", metric="error_rate", comparison="max", limit=0.05, better="lower", by="tenant"
)


def _counters(at: float, requests: Mapping[str, float]) -> Counters:
    """One replica an arm, whose requests are told apart by tenant."""
    arms = {arm: {f"{arm}-0": PodCounters(requests=sum(requests.values()), errors=0.0)} for arm in ARMS}
    by_value = {
        value: {arm: {f"{arm}-0": PodCounters(requests=count, errors=0.0)} for arm in ARMS}
        for value, count in requests.items()
    }
    return Counters(at, arms, segments={"tenant": by_value})


def _requests(counters: Counters | None, value: str) -> float | None:
    assert counters is not None
    return counters.segments["tenant"][value]["canary"]["canary-0"].requests


def test_few_values_stay_as_they_are() -> None:
    few = _counters(1.0, {"acme": 10, "bolt": 20})
    assert bounded(None, few, {}) == (None, few)


def test_the_largest_are_kept_and_the_others_are_counted_together() -> None:
    many = {f"t{number:03}": float(number) for number in range(100)}
    _, kept = bounded(None, _counters(1.0, many), {})
    assert len(kept.segments["tenant"]) == MOST + 1
    assert _requests(kept, "t099") == 99
    assert _requests(kept, OTHER) == sum(range(36))


def test_who_was_kept_stays_and_a_giant_that_comes_late_is_one_of_the_others() -> None:
    """Otherwise the one that made room would be counted as new requests of the others."""
    first = {f"t{number:03}": 10.0 for number in range(100)}
    _, before = bounded(None, _counters(1.0, first), {})
    previous, now = bounded(before, _counters(2.0, {**first, "a-giant": 1000.0}), {})
    assert previous == before
    assert now.segments["tenant"].keys() == before.segments["tenant"].keys()
    assert _requests(now, OTHER) == 36 * 10 + 1000


def test_once_segments_are_settled_both_readings_are_put_together_alike() -> None:
    before = _counters(1.0, {"acme": 10, "bolt": 20, "crux": 30})
    now = _counters(2.0, {"acme": 11, "bolt": 22, "crux": 33})
    previous, current = bounded(before, now, {"tenant": frozenset({"acme"})})
    assert (_requests(previous, OTHER), _requests(current, OTHER)) == (50, 55)
    assert sorted(current.segments["tenant"]) == ["acme", OTHER]


@pytest.mark.parametrize("tenants", [200, 1000])
def test_a_label_with_hundreds_of_values_leaves_a_small_state_with_exact_sums(tenants: int) -> None:
    """Looked at as a controller does, through the running totals."""
    config = compile_gates(plan(BY_TENANT, shares=(0.5, 1.0)))
    state = judge.begin(config)
    for step in range(12):
        counters = _counters(1000.0 + step, {f"t{number:04}": 5.0 * step for number in range(tenants)})
        weights = ALL_STABLE if step < 3 else Weights.of_share(0.5)
        analysis = judge.watch(
            config,
            state,
            stage=0,
            weights=weights,
            evidence=MetricsStatus(at=counters.at, counters=counters),
            now=counters.at,
            stage_since=1000.0,
        )
        state = analysis.state
    assert state.previous is not None
    assert len(state.previous.segments["tenant"]) <= MOST + 1
    memory = remembered(state)
    told = sum(part.totals.arms.canary.requests for part in memory.labels["tenant"].parts.values())
    assert told == pytest.approx(memory.everything.totals.arms.canary.requests)
