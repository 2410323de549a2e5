"""Keeps one rollout moving in real time: watchers make the facts fresh, and every fresh fact wakes the loop.

Called by `controlplane.program`. Each kind of fact has its own watcher, so a source that hangs delays none of the
others. Simulations do not use it: there, time is virtual and the loop is stepped.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from controlplane.reconcile.loop import Reconciler


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


async def carry_through(
    reconciler: Reconciler, periods: Periods, after_pass: Callable[[], None], give_up: asyncio.Event
) -> None:
    """Run passes until the rollout is done, or until `give_up` is set (the state then waits in the store)."""
    poke = asyncio.Event()
    board, clock = reconciler.board, reconciler.ports.clock
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
            tasks.create_task(_keep_looking(look, period, periods.look_timeout, poke, reconciler.tell))
            for look, period in watched
        ]
        watchers.append(tasks.create_task(_poke_on(give_up, poke)))
        while not reconciler.done and not give_up.is_set():
            poke.clear()
            wake_at = await reconciler.once()
            after_pass()
            await _wait(poke, wake_at - clock.now())
        for watcher in watchers:
            watcher.cancel()


async def _keep_looking(
    look: Callable[[], Awaitable[None]],
    period: float,
    patience: float,
    poke: asyncio.Event,
    tell: Callable[[str, str], None],
) -> None:
    """Look on a fixed grid, so that slow looks do not add up."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        try:
            async with asyncio.timeout(patience):
                await look()
        except TimeoutError:
            pass  # the fact only grows old; its age is judged elsewhere
        except Exception as error:  # noqa: BLE001 - a bug in one adapter must not leave the canary unwatched
            name = getattr(look, "__name__", "a look")
            tell(name, f"A bug of ours in {name}: {error!r}. The rollout goes on without that fact; please report it.")
        else:
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
