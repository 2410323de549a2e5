"""Ctrl-C and TERM reach the command that asked for them, in its own loop."""

import asyncio
import os
import signal

from controlplane.cli.signals import on_any_signal, on_signals


async def test_each_signal_calls_its_own_and_the_process_lives_on() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()
    on_signals(interrupt=lambda: heard.put_nowait("interrupt"), terminate=lambda: heard.put_nowait("terminate"))
    async with asyncio.timeout(10):
        for number, word in ((signal.SIGINT, "interrupt"), (signal.SIGTERM, "terminate")):
            os.kill(os.getpid(), number)
            assert await heard.get() == word


async def test_one_answer_for_both_takes_the_place_of_what_was_set_before() -> None:
    stop = asyncio.Event()
    on_signals(interrupt=lambda: None, terminate=lambda: None)
    on_any_signal(stop.set)
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        await stop.wait()
