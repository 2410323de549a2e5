"""Histories are written a moment after something happened, each once, and a few at a time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from controlplane.kubernetes.api import Object
from controlplane.operator.event_log import EventLog
from controlplane.operator.event_log_writer import AFTER, AT_A_TIME, EventLogWriter
from controlplane.simulation.clock import VirtualClock, play
from tests.controlplane.operator.town import a_canary


class SlowBooks(EventLog):
    """Every rollout's history waits until it is written, which takes a second."""

    def __init__(self) -> None:
        self.written: list[tuple[float, str]] = []
        self.at_once = self.most = 0

    def waiting(self, name: str) -> int:
        """Something, until it is written."""
        return int(name not in [each for _, each in self.written])

    async def flush(self, name: str, owner: Object) -> None:
        """A second of work."""
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(1)
        self.at_once -= 1
        self.written.append((asyncio.get_running_loop().time(), name))


Write = Callable[[EventLogWriter, SlowBooks], None]


def _written(write: Write) -> SlowBooks:
    async def story() -> SlowBooks:
        books = SlowBooks()
        async with asyncio.TaskGroup() as tasks:

            def spawn(work: Coroutine[Any, Any, None]) -> object:
                return tasks.create_task(work)

            write(EventLogWriter(VirtualClock(), spawn), books)
        return books

    return play(story())


def test_what_is_asked_for_twice_is_written_once_after_a_moment() -> None:
    def write(scribe: EventLogWriter, books: SlowBooks) -> None:
        for _ in range(3):
            scribe.write(books, a_canary("a"))

    assert _written(write).written == [(AFTER + 1, "a")]


def test_the_end_of_a_rollout_is_written_at_once() -> None:
    assert _written(lambda scribe, books: scribe.write(books, a_canary("a"), at_once=True)).written == [(1, "a")]


def test_hundreds_that_are_taken_up_do_not_stand_before_everybody_else_in_the_api_server() -> None:
    def write(scribe: EventLogWriter, books: SlowBooks) -> None:
        for number in range(100):
            scribe.write(books, a_canary(f"chat-{number}"))

    books = _written(write)
    assert books.most == AT_A_TIME
    assert len(books.written) == 100
