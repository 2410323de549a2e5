"""The recorded world as another plan meets it: thinned, never multiplied, and silent where nothing is known."""

import math

import pytest

from canary.action import SetWeights
from canary.counterfactual import Counterfactual, thinning
from canary.snapshot import Counters, MetricsStatus, PodCounters, RouteStatus, Snapshot, VariantStatus
from canary.weights import ALL_STABLE, Arm, Weights

QUARTER, FIVE = Weights.of_share(0.25), Weights.of_share(0.05)


def seen(at: float, route: Weights, stable: float, canary: float) -> Snapshot:
    totals: dict[Arm, float] = {"stable": stable, "canary": canary}
    arms = {
        arm: {"pod": PodCounters(n, n / 10, {"latency": {0.1: n / 2, math.inf: n}}, kpis={"csat": (n / 4, n)})}
        for arm, n in totals.items()
    }
    ready = VariantStatus(at, 1, 1)
    return Snapshot(ready, ready, RouteStatus(at, route), MetricsStatus(at, Counters(at, arms)))


def requests(counters: Counters | None) -> tuple[float | None, float | None]:
    assert counters is not None
    return counters.arms["stable"]["pod"].requests, counters.arms["canary"]["pod"].requests


def test_the_arm_that_was_given_too_much_is_thinned() -> None:
    """Recorded at 25 %, asked 5 %: of the canary's 250 requests only so many count as make 5 % of the whole."""
    world = Counterfactual()
    world.see(0.0, seen(0.0, QUARTER, 0, 0))
    world.carry_out([SetWeights(FIVE)])
    world.see(1.0, seen(1.0, QUARTER, 750, 250))
    now = world.seen(1.0)
    stable, canary = requests(now.evidence.counters)
    assert stable == 750
    assert canary is not None
    assert canary / (canary + 750) == pytest.approx(0.05)
    assert now.evidence.counters is not None
    pod = now.evidence.counters.arms["canary"]["pod"]
    assert pod.errors == pytest.approx(canary / 10)
    assert pod.kpis["csat"] == pytest.approx((canary / 4, canary))
    assert pod.histograms["latency"] == pytest.approx({0.1: canary / 2, math.inf: canary})
    assert now.route.weights == FIVE


def test_nothing_is_multiplied() -> None:
    for recorded in (1, 50_000, 400_000, 999_999):
        for asked in (0, 1, 250_000, 999_999):
            shares = thinning(Weights(recorded), Weights(asked))
            assert shares is not None
            assert all(0 <= share <= 1 + 1e-9 for share in shares.values())
            assert shares["stable"] == pytest.approx(1) or shares["canary"] == pytest.approx(1)


def test_while_an_arm_had_no_traffic_the_totals_stand_still() -> None:
    """What the canary would have done with 5 % is not on record."""
    world = Counterfactual()
    world.see(0.0, seen(0.0, ALL_STABLE, 100, 0))
    world.carry_out([SetWeights(FIVE)])
    world.see(1.0, seen(1.0, ALL_STABLE, 1100, 0))
    now = world.seen(1.0).evidence.counters
    assert now is not None
    assert (now.at, *requests(now)) == (0.0, 100, 0)


def test_equal_weights_leave_the_record_as_it_is_also_over_a_restart() -> None:
    """A counter that began again is seen to have begun again."""
    world = Counterfactual()
    for at, stable in ((0.0, 500.0), (1.0, 900.0), (2.0, 30.0)):
        world.see(at, seen(at, ALL_STABLE, stable, 0))
        assert requests(world.seen(at).evidence.counters) == (stable, 0)


def test_facts_are_as_young_as_they_were() -> None:
    world = Counterfactual()
    world.see(10.0, seen(9.5, ALL_STABLE, 1, 0))
    later = world.seen(70.0)
    assert (later.stable.at, later.route.at, later.evidence.at) == (69.5, 69.5, 69.5)
    assert later.evidence.counters is not None
    assert later.evidence.counters.at == 9.5, "totals do not become younger"
