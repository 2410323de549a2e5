"""A listener answers until it is cancelled, and the next one on the same number answers as well."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

from controlplane.adapters.listening import Receive, Scope, Send, listen, serve


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The same answer to everybody."""
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": 204, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def test_a_listener_that_takes_the_number_of_a_cancelled_one_hears_who_connects() -> None:
    """The system gives the lowest free number to a new socket, and the loop must not take it for the old one's."""
    numbers = set()
    for _ in range(3):
        listening = listen("127.0.0.1:0")
        numbers.add(listening.fileno())
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            serving = tasks.create_task(serve(hello, listening))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()
            await writer.wait_closed()
            serving.cancel()
    assert len(numbers) < 3
