"""Times of thousands of rollouts on one heap."""

import asyncio
import math

from controlplane.operator.delay_queue import DelayQueue
from controlplane.simulation.clock import play


def test_keys_are_called_in_their_order_and_only_by_their_last_wish() -> None:
    async def story() -> list[tuple[str, float]]:
        loop, called = asyncio.get_running_loop(), list[tuple[str, float]]()
        timers = DelayQueue[str](lambda key: called.append((key, loop.time())))
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(timers.run())
            timers.set("late", 9.0)
            timers.set("moved", 1.0)
            timers.set("moved", 5.0)
            timers.set("never", math.inf)
            timers.set("forgotten", 2.0)
            timers.forget("forgotten")
            await asyncio.sleep(3)
            timers.set("sooner", 0.5)
            await asyncio.sleep(20)
            running.cancel()
        assert len(timers) == 0
        return called

    assert play(story()) == [("sooner", 3.5), ("moved", 5.0), ("late", 9.0)]


def test_wishes_that_were_replaced_do_not_pile_up() -> None:
    """A rollout that asks for a look four times a second for a week must not cost memory."""

    async def story() -> int:
        timers = DelayQueue[str](lambda _key: None)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(timers.run())
            for _ in range(200):
                for _ in range(20):
                    timers.set("a", 100.0)
                    timers.set("b", 50.0)
                timers.set("c", 0.1)
                await asyncio.sleep(0.2)
            running.cancel()
        return len(timers._heap)

    assert play(story()) < 200
