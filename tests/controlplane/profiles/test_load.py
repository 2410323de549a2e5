"""Loads: every prompt is new, closed loops keep their callers busy, open loops keep their schedule; in virtual time."""

import asyncio
import json
import random

import pytest

from controlplane.profiles.load import LoadRun, LoadShape, Prompts, Window
from profiles.samples import LoadSample
from tests.virtual import in_virtual_time

SHAPE = LoadShape("served", 100, 8, ignore_eos=True)


class Server:
    """Answers after a fixed time on the loop's clock; notes how many requests it has at once."""

    def __init__(self, seconds: float, slots: int = 1000) -> None:
        self.seconds = seconds
        self.busy = 0
        self.most = 0
        self._slots = asyncio.Semaphore(slots)

    async def ask(self, _body: bytes, due: float) -> LoadSample:
        clock = asyncio.get_running_loop().time
        sent = clock()
        self.busy += 1
        self.most = max(self.most, self.busy)
        async with self._slots:
            await asyncio.sleep(self.seconds)
        self.busy -= 1
        return LoadSample(due, sent, clock(), clock(), 8, 100)


def run(server: Server, warmup: float, seconds: float) -> LoadRun:
    clock = asyncio.get_running_loop().time
    return LoadRun(server, SHAPE, Window(warmup, seconds), clock, random.Random(1))  # type: ignore[arg-type]


def test_no_two_prompts_are_alike_and_a_seed_repeats_them() -> None:
    prompts = Prompts(SHAPE, random.Random(7))
    bodies = [prompts.next() for _ in range(50)]
    assert len(set(bodies)) == 50
    assert Prompts(SHAPE, random.Random(7)).next() == bodies[0]
    request = json.loads(bodies[0])
    assert request["stream_options"] == {"include_usage": True}
    assert request["ignore_eos"] is True


@in_virtual_time
async def test_a_closed_loop_keeps_each_caller_at_one_request_until_its_window_closes() -> None:
    """They begin spread over the first half of the warm-up, and send their next when the last is answered."""
    server = Server(4)
    work = run(server, 8, 16)
    await work.closed(4)
    assert server.most == 4
    sent = [sample.sent for sample in work.warmed_up]
    assert sorted(sent) == list(range(24))
    assert [sample.due for sample in work.warmed_up] == sent


@in_virtual_time
async def test_warm_up_is_not_counted() -> None:
    """What is answered from the end of the warm-up on counts, whenever it was sent."""
    work = run(Server(2), 8, 8)
    await work.closed(2)
    inside, seconds = work.counted()
    assert seconds == 8
    assert [sample.sent for sample in inside] == [6, 6, 8, 8, 10, 10, 12, 12]
    assert [sample.last for sample in inside] == [8, 8, 10, 10, 12, 12, 14, 14]
    assert len(work.warmed_up) == 15


@in_virtual_time
async def test_an_open_loop_charges_requests_from_their_schedule_while_the_server_is_stuck() -> None:
    """One slot and 20 ms an answer at 200 arrivals a second: each waits for the whole queue before it."""
    work = run(Server(0.02, slots=1), 0.0, 0.3)
    await work.open(200.0)
    served = work.warmed_up
    assert len(served) > 40
    free, waits = 0.0, []
    for due in (sample.due for sample in served):
        free = max(free, due) + 0.02
        waits.append(free - due)
    assert [sample.sent for sample in served] == pytest.approx([sample.due for sample in served])
    assert [sample.ttft for sample in served] == pytest.approx(waits)
    assert waits[-1] > 10 * waits[0]


@in_virtual_time
async def test_an_interrupted_level_keeps_what_it_has() -> None:
    enough = asyncio.Event()
    clock = asyncio.get_running_loop().time

    def told(_sample: LoadSample) -> None:
        if len(work.warmed_up) == 4:
            enough.set()

    work = LoadRun(Server(1), SHAPE, Window(0, 60), clock, random.Random(1), told)  # type: ignore[arg-type]
    task = asyncio.ensure_future(work.closed(2))
    await enough.wait()
    task.cancel()
    await asyncio.wait([task])
    inside, seconds = work.counted()
    assert len(inside) == 4
    assert seconds == 2
