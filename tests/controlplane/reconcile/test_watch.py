"""In real time: a source that hangs delays nothing else."""

import asyncio

from canary.rollout import Phase
from canary.snapshot import Counters, OperatorRequest
from canary.weights import ALL_STABLE
from controlplane.reconcile.watch import Periods, run_until_done
from tests.controlplane.reconcile.desk import Desk

FAST = Periods(variants=0.01, route=0.01, evidence=0.01, requests=0.01, look_timeout=0.2)


async def never() -> Counters:
    """A metric source that hangs."""
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


async def test_an_abort_is_carried_out_while_the_metric_source_hangs() -> None:
    """Each kind of fact has its own watcher."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.metrics.read = never  # type: ignore[method-assign]  # the one trouble that the twin does not have
    await desk.store.ask("desk", OperatorRequest("a1", "abort", "ada", desk.clock.now()))
    async with asyncio.timeout(5):
        await run_until_done(desk.managed(), FAST, lambda: None, asyncio.Event())
    assert desk.rollout.phase is Phase.ROLLED_BACK
    assert desk.router.history[-1][1] == ALL_STABLE


async def broken() -> Counters:
    """An adapter with a bug."""
    raise ZeroDivisionError("division by zero")


async def test_a_bug_in_an_adapter_is_said_and_leaves_nobody_unwatched() -> None:
    """The other facts go on arriving, and a person can still abort."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    desk.metrics.read = broken  # type: ignore[method-assign]  # the one trouble that the twin does not have
    await desk.store.ask("desk", OperatorRequest("a1", "abort", "ada", desk.clock.now()))
    async with asyncio.timeout(5):
        await run_until_done(desk.managed(), FAST, lambda: None, asyncio.Event())
    assert desk.rollout.phase is Phase.ROLLED_BACK
    assert len([sentence for sentence in desk.said if "division by zero" in sentence]) == 1


async def test_giving_up_leaves_the_rollout_where_it_is() -> None:
    """The state waits in the store for the next run."""
    desk = Desk()
    await desk.until(Phase.ANALYZING)
    give_up = asyncio.Event()
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(run_until_done(desk.managed(), FAST, lambda: None, give_up))
        await asyncio.sleep(0.05)
        give_up.set()
    stored = await desk.store.load("desk")
    assert stored is not None
    assert stored.rollout.phase is Phase.ANALYZING
