"""The watchers of production, stepped by nobody, in virtual time: each fact is looked at on its own clock."""

import asyncio

import pytest

from canary.spec.parse import revision
from controlplane.reconcile.managed_rollout import ManagedRollout
from controlplane.reconcile.watch import Periods, run_until_done
from controlplane.simulation.clock import play
from controlplane.simulation.pace import SimulationPace
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.world import Setting, World
from tests.simulation.plans import TINY_PLAN


async def carried(scenario: str) -> tuple[str | None, float]:
    """The result, and how long the canary still had traffic after the decision."""
    world = World(Setting(TINY_PLAN, SCENARIOS[scenario], seed=3), SimulationPace(TINY_PLAN.spec))

    async def scrape() -> None:
        while True:
            world.metrics.scrape()
            await world.clock.sleep(1.0)

    managed = ManagedRollout(TINY_PLAN, text="", revision=revision(TINY_PLAN), ports=world.ports, interval=1.0)
    async with asyncio.TaskGroup() as tasks:
        prometheus = tasks.create_task(scrape())
        await run_until_done(managed, Periods(), lambda: None, asyncio.Event())
        prometheus.cancel()
    rollout = managed.rollout
    assert rollout is not None
    late = world.router.shifts[-1].t - (rollout.decided - rollout.began) if rollout.decided else 0.0
    return rollout.result, late


@pytest.mark.parametrize("scenario", ["healthy", "errors-x20"])
def test_the_watchers_bring_a_rollout_to_the_same_end(scenario: str) -> None:
    """As the stepped loop does."""
    assert play(carried(scenario))[0] == SCENARIOS[scenario].result


def test_r6_a_rollback_does_not_wait_for_any_watcher() -> None:
    """From the verdict to no traffic: only the router's own delay."""
    assert play(carried("errors-x20"))[1] < 0.1
