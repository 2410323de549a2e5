"""Pods and running totals: what starts, crashes and restarts, and that no request is lost count of."""

import numpy as np
import pytest

from controlplane.simulation.faults import Faults, Spell
from controlplane.simulation.traffic import ERRORS, REQUESTS
from tests.controlplane.simulation.services import service


def test_stable_serves_alone_until_the_canary_is_sent_something() -> None:
    """The canary's pods are ready after a quarter of a minute, and get nothing before their share says so."""
    world = service()
    world.run("canary")
    world.flow(30.0)
    assert (world.ready("stable"), world.ready("canary")) == (3, 3)
    assert world.answered["canary"][REQUESTS] == 0
    world.send(0.5)
    world.flow(60.0)
    assert world.answered["canary"][REQUESTS] == pytest.approx(3000, rel=0.1)


def test_a_weight_counts_from_its_very_moment() -> None:
    """A block never spans a change: after the canary's share is zero, not one request more reaches it."""
    world = service()
    world.run("canary")
    world.flow(20.0)
    world.send(0.5)
    world.flow(33.3)
    world.send(0.0)
    before = world.answered["canary"][REQUESTS]
    world.flow(100.0)
    assert world.answered["canary"][REQUESTS] == before > 0


def test_the_totals_of_pods_add_up_to_those_of_their_arms() -> None:
    """As long as none restarts; restarts take from a pod's totals and not from what was answered."""
    world = service()
    world.flow(50.0)
    assert world.totals[:3, REQUESTS].sum() == world.answered["stable"][REQUESTS]
    world.forget(0)
    assert world.counters(0, 0.0).requests == 0
    world.flow(55.0)
    assert world.answered["stable"][REQUESTS] == pytest.approx(11000, rel=0.05)


def test_a_crash_loop_comes_and_goes() -> None:
    """Down for ten seconds, up for twenty, counters from zero each time."""
    world = service(Faults(crashes=Spell(at=0.1, seconds=100)))
    world.run("canary")
    world.flow(20.0)
    world.send(0.1)
    seen = []
    for t in range(20, 300):
        world.flow(float(t))
        seen.append(world.ready("canary"))
    assert set(seen) == {0, 3}
    assert max(pod.crashes for pod in world.pods) == 4
    assert seen[-1] == 3
    assert world.lost > 0
    assert world.misrouted == 0, "no change of weights sent them there"


def test_a_shift_to_a_canary_that_cannot_serve_is_blamed_on_the_shift() -> None:
    """It would be a failed request because of a change of weights, which must never happen."""
    world = service(Faults(start=1.0))
    world.run("canary")
    world.flow(20.0)
    world.send(0.5)
    world.flow(30.0)
    assert world.misrouted == world.lost > 0


def test_a_shared_outage_hits_both_arms_and_a_failing_stable_only_itself() -> None:
    """Error rates inside the spell."""
    rates = {}
    for name, faults in (("outage", Faults(outage=Spell(0.1, 500))), ("stable", Faults(stable_fails=Spell(0.1, 500)))):
        world = service(faults)
        world.run("canary")
        world.flow(20.0)
        world.send(0.5)
        world.flow(120.0)
        then = {arm: totals.copy() for arm, totals in world.answered.items()}
        world.flow(520.0)
        grown = {arm: world.answered[arm] - then[arm] for arm in then}
        rates[name] = [float(grown[arm][ERRORS] / grown[arm][REQUESTS]) for arm in ("stable", "canary")]
    assert rates["outage"] == pytest.approx([0.1, 0.1], rel=0.1)
    assert rates["stable"] == pytest.approx([0.1, 0.005], rel=0.15)


def test_a_cold_replica_is_slow_while_it_is_young() -> None:
    """Three times as slow for its first half minute."""
    world = service(Faults(cold=3.0), warmup=30.0)
    world.run("canary")
    world.flow(20.0)
    world.send(0.5)
    world.flow(40.0)
    young = world.counters(3, 0.0).histograms["latency"]
    world.flow(60.0)
    world.forget(3)
    world.flow(90.0)
    grown = world.counters(3, 0.0).histograms["latency"]
    assert young[0.15] / young[np.inf] < 0.6
    assert grown[0.15] / grown[np.inf] > 0.9
