"""Keeps one rollout moving in real time: watchers make the facts fresh, and every fresh fact wakes the loop.

Called by `controlplane.program`. Each kind of fact has its own watcher, so a source that hangs delays none of the
others. The scheduler of one rollout in one process: simulations step theirs in virtual time, and the operator has
`controlplane.operator.scheduler` for many.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from controlplane.reconcile.managed_rollout import FactReader, ManagedRollout


@dataclass(frozen=True, slots=True)
class Periods:
    """Seconds between two looks at each kind of fact."""

    variants: float = 0.25
    route: float = 1.0
    evidence: float = 1.0
    fingerprint: float = 1.0
    requests: float = 0.25
    """Short, because a person who aborts is waiting."""
    look_timeout: float = 5.0
    """Seconds after which one look is given up; its facts stay as they were."""


async def run_until_done(
    managed: ManagedRollout, periods: Periods, after_pass: Callable[[], None], give_up: asyncio.Event
) -> None:
    """Run passes until the rollout is done, or until `give_up` is set (the state then waits in the store)."""
    poke = asyncio.Event()
    board = managed.board
    watched = (
        (board.look_at_variants, periods.variants),
        (board.look_at_route, periods.route),
        (board.look_at_evidence, periods.evidence),
        (board.look_at_requests, periods.requests),
        (board.look_at_rehearsal, periods.requests),
        (board.look_at_fingerprint, periods.fingerprint),
    )
    async with asyncio.TaskGroup() as tasks:
        watchers = [
            tasks.create_task(_keep_looking(managed, look, period, periods.look_timeout, poke))
            for look, period in watched
        ]
        watchers.append(tasks.create_task(_poke_on(give_up, poke)))
        while not managed.done and not give_up.is_set():
            poke.clear()
            due = await managed.decide()
            after_pass()
            await _wait(poke, due)
        for watcher in watchers:
            watcher.cancel()


async def _keep_looking(
    managed: ManagedRollout, look: FactReader, period: float, patience: float, poke: asyncio.Event
) -> None:
    """Look on a fixed grid, so that slow looks do not add up."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        if await managed.read(look, patience):
            poke.set()
        due = max(due + period, loop.time())
        await asyncio.sleep(due - loop.time())


async def _poke_on(event: asyncio.Event, poke: asyncio.Event) -> None:
    await event.wait()
    poke.set()


async def _wait(poke: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(min(max(seconds, 0.0), 60.0)):
            await poke.wait()
    except TimeoutError:
        return
