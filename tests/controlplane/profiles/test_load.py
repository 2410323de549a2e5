"""Loads: every prompt is new, closed loops keep their callers busy, open loops keep their schedule."""

import asyncio
import json
import random

from controlplane.profiles.load import Prompts, Run, Shape, Window
from profiles.samples import Sample

SHAPE = Shape("served", 100, 8, ignore_eos=True)


class Server:
    """Answers after a fixed time on the loop's clock; notes how many requests it has at once."""

    def __init__(self, seconds: float, slots: int = 1000) -> None:
        self.seconds = seconds
        self.busy = 0
        self.most = 0
        self._slots = asyncio.Semaphore(slots)

    async def ask(self, _body: bytes, due: float) -> Sample:
        clock = asyncio.get_running_loop().time
        self.busy += 1
        self.most = max(self.most, self.busy)
        async with self._slots:
            await asyncio.sleep(self.seconds)
        self.busy -= 1
        return Sample(due, due, clock(), clock(), 8, 100)


def run(server: Server, warmup: float, seconds: float) -> Run:
    clock = asyncio.get_running_loop().time
    return Run(server, SHAPE, Window(warmup, seconds), clock, random.Random(1))  # type: ignore[arg-type]


def test_no_two_prompts_are_alike_and_a_seed_repeats_them() -> None:
    prompts = Prompts(SHAPE, random.Random(7))
    bodies = [prompts.next() for _ in range(50)]
    assert len(set(bodies)) == 50
    assert Prompts(SHAPE, random.Random(7)).next() == bodies[0]
    request = json.loads(bodies[0])
    assert request["stream_options"] == {"include_usage": True}
    assert request["ignore_eos"] is True


async def test_a_closed_loop_never_has_more_requests_than_callers() -> None:
    server = Server(0.01)
    work = run(server, 0.05, 0.1)
    await work.closed(4)
    assert server.most <= 4
    assert all(sample.due == sample.sent for sample in work.warmed_up)


async def test_warm_up_is_not_counted() -> None:
    work = run(Server(0.01), 0.1, 0.1)
    await work.closed(2)
    inside, _ = work.counted()
    assert 0 < len(inside) < len(work.warmed_up)


async def test_an_open_loop_charges_requests_from_their_schedule_while_the_server_is_stuck() -> None:
    """One slot and 20 ms an answer at 200 arrivals a second: the queue grows, and the samples show it."""
    work = run(Server(0.02, slots=1), 0.0, 0.3)
    await work.open(200.0)
    waits = [sample.ttft or 0.0 for sample in sorted(work.warmed_up, key=lambda sample: sample.due)]
    assert len(waits) > 20
    assert waits[-1] > 10 * waits[0]


async def test_an_interrupted_level_keeps_what_it_has() -> None:
    enough = asyncio.Event()
    clock = asyncio.get_running_loop().time

    def told(_sample: Sample) -> None:
        if len(work.warmed_up) == 4:
            enough.set()

    work = Run(Server(0.01), SHAPE, Window(0.0, 60.0), clock, random.Random(1), told)  # type: ignore[arg-type]
    task = asyncio.ensure_future(work.closed(2))
    await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    inside, seconds = work.counted()
    assert len(inside) >= 4
    assert seconds < 60
