"""Replicas added up to arms, and nonsense left out."""

import math

from canary.judge import Increments, ReplicaIncrements, arm_totals


def _block(**stable: ReplicaIncrements) -> Increments:
    return Increments(5.0, 0, 0.1, {"canary": {"c": ReplicaIncrements(10.0, 1.0)}, "stable": stable})


def test_stable_is_added_up_and_kept_in_two_halves() -> None:
    pods = {
        f"s-{i}": ReplicaIncrements(float(i), 0.0, totals={"tokens": 2.0}, gauges={"cache": i / 10})
        for i in range(1, 6)
    }
    sides = arm_totals.collect(_block(**pods), {}, ())[0]
    assert sides.stable.requests == 15.0
    assert sides.stable.totals == {"tokens": 10.0}
    assert sorted(sides.stable.gauges["cache"]) == [0.1, 0.2, 0.3, 0.4, 0.5]
    assert {half.pods for half in sides.halves} == {2, 3}
    assert sides.canary.errors == 1.0


def test_the_halves_depend_on_names_alone() -> None:
    pods = {f"s-{i}": ReplicaIncrements(float(2**i), 0.0) for i in range(6)}
    one = arm_totals.collect(_block(**pods), {}, ())[0].halves[0].requests
    other = arm_totals.collect(_block(**dict(reversed(pods.items()))), {}, ())[0].halves[0].requests
    assert one == other


def test_a_replica_that_does_not_tell_its_errors_does_not_dilute_them() -> None:
    sides = arm_totals.collect(_block(a=ReplicaIncrements(100.0, 5.0), b=ReplicaIncrements(900.0, None)), {}, ())[0]
    assert (sides.stable.errors, sides.stable.errors_of, sides.stable.requests) == (5.0, 100.0, 1000.0)


def test_no_data_is_none_and_not_zero() -> None:
    sides = arm_totals.collect(Increments(5.0, 0, 0.1, {}), {}, ("latency",))[0]
    assert (sides.canary.requests, sides.stable.errors, sides.canary.histograms) == (None, None, {})


def test_histograms_with_other_bounds_or_falling_counts_are_left_out_and_said() -> None:
    good = ReplicaIncrements(10.0, 0.0, {"latency": {0.1: 4.0, math.inf: 10.0}})
    other = ReplicaIncrements(10.0, 0.0, {"latency": {0.2: 4.0, math.inf: 10.0}})
    falling = ReplicaIncrements(10.0, 0.0, {"latency": {0.1: 11.0, math.inf: 10.0}})
    endless = ReplicaIncrements(10.0, 0.0, {"ttft": {0.1: 11.0}})
    well, bounds = arm_totals.collect(_block(a=good), {}, ("latency",))
    assert well.problems == []
    sides, _ = arm_totals.collect(_block(a=good, b=other, c=falling, d=endless), bounds, ("latency", "ttft"))
    assert sides.stable.histograms == {"latency": (4.0, 10.0)}
    assert sorted(sides.problems) == [
        "some replicas count latency in other buckets than the rest, or than before",
        "the buckets of latency are not cumulative",
        "the buckets of ttft have no total (+Inf)",
    ]


def test_a_fleet_with_classic_and_native_buckets_is_counted_at_the_bounds_that_all_replicas_have() -> None:
    """Counts at a common bound are exact on both, so coarseness costs power and nothing else."""
    classic = ReplicaIncrements(10.0, 0.0, {"latency": {0.1: 2.0, 0.25: 5.0, 0.5: 9.0, math.inf: 10.0}})
    native = ReplicaIncrements(10.0, 0.0, {"latency": {0.21: 3.0, 0.25: 4.0, 0.3: 5.0, 0.5: 8.0, math.inf: 10.0}})
    sides, bounds = arm_totals.collect(_block(a=classic, b=native), {}, ("latency",))
    assert (sides.problems, bounds["latency"]) == ([], (0.25, 0.5, math.inf))
    assert sides.stable.histograms == {"latency": (9.0, 17.0, 20.0)}


def test_a_fleet_without_a_common_bound_has_no_data_and_says_why() -> None:
    classic = ReplicaIncrements(10.0, 0.0, {"latency": {0.1: 2.0, math.inf: 10.0}})
    native = ReplicaIncrements(10.0, 0.0, {"latency": {0.21: 3.0, math.inf: 10.0}})
    sides, bounds = arm_totals.collect(_block(a=classic, b=native), {}, ("latency",))
    assert sides.stable.histograms == {} == bounds
    assert sides.problems == ["the buckets of latency have no bound in common but the total"]


def test_bounds_in_any_order_are_the_same_bounds() -> None:
    bounds = {"latency": (0.1, 0.2, math.inf)}
    mixed = ReplicaIncrements(9.0, 0.0, {"latency": {math.inf: 9.0, 0.2: 8.0, 0.1: 3.0}})
    assert arm_totals.collect(_block(a=mixed), bounds, ("latency",))[0].stable.histograms == {
        "latency": (3.0, 8.0, 9.0)
    }
