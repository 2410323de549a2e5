"""The virtual ports say what their faults let them say."""

import math

import pytest
from numpy.random import default_rng

from canary.errors import ExternalError, Unavailable
from canary.snapshot import Counters
from canary.weights import Weights
from controlplane.simulation.clock import VirtualClock, play
from controlplane.simulation.faults import Faults
from controlplane.simulation.ports import VirtualMetrics, VirtualRouter
from tests.controlplane.simulation.services import service


def scraped(faults: Faults, silent: bool = False) -> Counters:
    """One scrape after ten seconds."""

    async def story() -> Counters:
        clock = VirtualClock()
        metrics = VirtualMetrics(service(faults), clock, default_rng(1), faults, lambda: silent)
        await clock.sleep(10)
        metrics.scrape()
        return await metrics.read()

    return play(story())


def test_a_scrape_has_the_totals_of_every_ready_replica() -> None:
    """The canary's are not there yet."""
    counters = scraped(Faults())
    assert set(counters.arms["stable"]) == {"s-0", "s-1", "s-2"}
    assert counters.arms["canary"] == {}
    assert counters.unrouted == 0


def test_faults_show_in_the_scrape_and_not_in_the_world() -> None:
    """A NaN, a gap, a restart, silence."""
    assert all(math.isnan(pod.requests or 0.0) for pod in scraped(Faults(nan=1.0)).arms["stable"].values())
    assert scraped(Faults(gaps=1.0)).arms["stable"] == {}
    with pytest.raises(Unavailable):
        scraped(Faults(), silent=True)


async def refused(seed: int) -> tuple[Weights | None, bool]:
    """The weights that are seen after a refused change, and whether they really came into force."""
    router = VirtualRouter(
        service(),
        VirtualClock(),
        default_rng(seed),
        refusals=1.0,
        line=lambda _name: None,
        saved=lambda: Weights(0),
    )
    with pytest.raises(ExternalError):
        await router.set_weights(Weights(50_000))
    return (await router.seen()).weights, bool(router.shifts)


def test_a_refused_change_may_have_been_made_all_the_same() -> None:
    """The error says nothing about the route; only looking does."""
    outcomes = [play(refused(seed)) for seed in range(8)]
    assert all((weights == Weights(50_000)) == shifted for weights, shifted in outcomes)
    assert {shifted for _, shifted in outcomes} == {True, False}
