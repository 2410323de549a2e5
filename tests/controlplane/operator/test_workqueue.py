"""The work queue: one pass a key at a time, the urgent first, and the reserved workers for them alone."""

import asyncio

from controlplane.operator.workqueue import WorkQueue
from controlplane.simulation.clock import play


def test_a_key_that_is_poked_while_it_waits_is_worked_on_once() -> None:
    async def story() -> list[str]:
        queue, done = WorkQueue[str](), list[str]()
        for key in ("a", "b", "a", "a"):
            queue.poke(key)
        await _run(queue, done)
        return done

    assert play(story()) == ["a", "b"]


def test_a_key_that_is_poked_while_it_is_worked_on_comes_again_and_never_twice_at_once() -> None:
    async def story() -> tuple[int, int]:
        queue, at_once, most, times = WorkQueue[str](), 0, 0, 0

        async def work(key: str) -> None:
            nonlocal at_once, most, times
            at_once, times = at_once + 1, times + 1
            most = max(most, at_once)
            if times < 3:
                queue.poke(key)
                queue.poke(key)
            await asyncio.sleep(1)
            at_once -= 1

        queue.poke("a")
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(queue.run(work, workers=4, reserved=1))
            await asyncio.sleep(10)
            running.cancel()
        return most, times

    assert play(story()) == (1, 3)


def test_urgent_keys_go_first_even_if_they_waited_as_others_before() -> None:
    async def story() -> list[str]:
        queue, done = WorkQueue[str](), list[str]()
        for key in ("a", "b", "c"):
            queue.poke(key)
        queue.poke("c", urgent=True)
        await _run(queue, done)
        return done

    assert play(story()) == ["c", "a", "b"]


def test_urgent_keys_do_not_wait_for_workers_that_are_stuck() -> None:
    """All ordinary workers hang; a rollback is worked on at once."""

    async def story() -> list[str]:
        queue, begun = WorkQueue[str](), list[str]()

        async def work(key: str) -> None:
            begun.append(key)
            await asyncio.sleep(1000)

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(queue.run(work, workers=2, reserved=1))
            for key in ("a", "b", "c"):
                queue.poke(key)
            await asyncio.sleep(1)
            queue.poke("rollback", urgent=True)
            await asyncio.sleep(1)
            running.cancel()
        return begun

    assert play(story()) == ["a", "b", "rollback"]


def test_a_closed_queue_hands_nothing_out_and_says_when_all_is_done() -> None:
    async def story() -> tuple[list[str], float]:
        queue, begun = WorkQueue[str](), list[str]()

        async def work(key: str) -> None:
            begun.append(key)
            await asyncio.sleep(3)

        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(queue.run(work, workers=1, reserved=0))
            queue.poke("a")
            await asyncio.sleep(1)
            queue.close()
            queue.poke("b")
            await queue.emptied()
            ended = asyncio.get_running_loop().time()
            await asyncio.sleep(5)
            running.cancel()
        return begun, ended

    assert play(story()) == (["a"], 3.0)


async def _run(queue: WorkQueue[str], done: list[str]) -> None:
    async def work(key: str) -> None:
        done.append(key)

    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(queue.run(work, workers=1, reserved=0))
        await asyncio.sleep(1)
        running.cancel()
