"""Work that nobody waits for: what is wrong with it is said and ends nothing else."""

import asyncio

from canary.errors import Unavailable
from controlplane.operator.background import Background


async def test_a_world_that_refuses_and_a_bug_are_said_and_other_work_goes_on() -> None:
    said: list[str] = []
    bugs: list[int] = []
    done = asyncio.Event()
    background = Background(said.append, lambda: bugs.append(1))

    async def refused() -> None:
        raise Unavailable("Nobody is there.")

    async def wrong() -> None:
        raise KeyError("x")

    async def well() -> None:
        done.set()

    async with asyncio.TaskGroup() as tasks:
        background.open(tasks)
        for work in (refused(), wrong(), well()):
            background.spawn(work)
    assert done.is_set()
    assert said == ["Nobody is there.", "A bug of ours, please report it: KeyError('x')."]
    assert bugs == [1]


async def test_before_it_is_open_and_after_it_is_closed_nothing_begins() -> None:
    began: list[str] = []
    background = Background(began.append)

    async def work() -> None:
        began.append("work")

    background.spawn(work())
    async with asyncio.TaskGroup() as tasks:
        background.open(tasks)
        background.close()
        background.spawn(work())
    assert not background.is_open
    assert began == []
