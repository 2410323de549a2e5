"""What every server of ours promises about connections that cost and say nothing, asked of each on a real socket.

All limits are short here, and what is waited for is that they bite, for as long as it takes.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path

import pytest

from controlplane.adapters.connection_limiter import ConnectionLimiter, ConnectionLimits
from controlplane.adapters.http_listener import listen, serve
from controlplane.api import keys
from controlplane.api.door import KeyDoor
from controlplane.api.guard import Rules
from controlplane.api.places import Home
from controlplane.api.server import server_of
from controlplane.gitops.listener import WebhookListener
from controlplane.operator.health import Health
from controlplane.sample.knobs import Knobs
from controlplane.sample.server import ModelServer

Opened = Callable[[ConnectionLimits], AbstractAsyncContextManager[int]]
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
PATIENCE_S = 60


@asynccontextmanager
async def dashboard(limits: ConnectionLimits, folder: Path) -> AsyncIterator[int]:
    """Of one machine; the one of a cluster is the same server."""
    home = Home(folder)
    rules = Rules(KeyDoor(keys.load_or_create(folder), "ada"))
    server = server_of(home, rules, now=time.time, limits=limits)
    with listen("127.0.0.1:0") as bound:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[bound]))
            while not server.started:  # noqa: ASYNC110 - the server tells its start by a flag alone
                await asyncio.sleep(0.01)
            yield bound.getsockname()[1]
            server.should_exit = True
    await home.close()


@asynccontextmanager
async def served(app: Health | WebhookListener, limits: ConnectionLimits) -> AsyncIterator[int]:
    """What is opened beside other work."""
    bound = listen("127.0.0.1:0")
    async with asyncio.TaskGroup() as tasks:
        serving = app.serve(bound, limits=limits) if isinstance(app, WebhookListener) else None
        task = tasks.create_task(serving or serve(app, bound, limiter=ConnectionLimiter(limits)))
        yield bound.getsockname()[1]
        task.cancel()


@asynccontextmanager
async def sample(limits: ConnectionLimits) -> AsyncIterator[int]:
    """The sample model server."""
    server = ModelServer(name="v1", model="m", knobs=Knobs(), drain_quiet=0.0, chance=random.Random(7))
    port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.serve("127.0.0.1", 0, stop, port.set_result, limits))
        yield await port
        stop.set()


@pytest.fixture(params=["dashboard", "operator", "webhooks", "sample"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opened:
    async def nowhere(_path: str) -> None:
        return None

    kinds: dict[str, Opened] = {
        "dashboard": lambda limits: dashboard(limits, tmp_path),
        "operator": lambda limits: served(Health(lambda: b"", lambda: ""), limits),
        "webhooks": lambda limits: served(WebhookListener(nowhere), limits),
        "sample": sample,
    }
    return kinds[request.param]


async def ended(reader: asyncio.StreamReader) -> None:
    """Return once the server has ended the connection."""
    async with asyncio.timeout(PATIENCE_S):
        with suppress(ConnectionResetError):
            await reader.read()


async def answered(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection that was kept after its first answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEALTH + b"\r\n")
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
    await reader.readexactly(int(length.partition(b":")[2]))
    return reader, writer


@pytest.mark.parametrize("said", [b"", b"G", HEALTH])
async def test_s9_a_connection_without_a_whole_request_is_ended(opened: Opened, said: bytes) -> None:
    async with opened(ConnectionLimits(idle_seconds=0.2)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        await ended(reader)
        writer.close()


@pytest.mark.parametrize("said", [b"", b"G", HEALTH])
async def test_s9_a_connection_that_was_kept_is_ended_likewise(opened: Opened, said: bytes) -> None:
    async with opened(ConnectionLimits(idle_seconds=0.2)) as port:
        reader, writer = await answered(port)
        writer.write(said)
        await ended(reader)
        writer.close()


async def test_s9_silent_connections_make_room_for_who_speaks(opened: Opened) -> None:
    async with opened(ConnectionLimits(total=4)) as port:
        silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(8)]
        for reader, _ in silent[:4]:
            await ended(reader)
        _, writer = await answered(port)
        for _, each in [*silent, (None, writer)]:
            each.close()
