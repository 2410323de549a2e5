"""The demo turns knobs of a real sample server, and says so when it cannot."""

import asyncio
import random

import pytest

from canary.errors import ExternalError
from controlplane.demo import knobs
from controlplane.sample.knobs import Knobs
from controlplane.sample.server import ModelServer


async def test_knobs_are_turned_once_the_server_serves() -> None:
    """And a server that is gone, or that refuses, is an error with its address."""
    server = ModelServer(name="v3", model="m", knobs=Knobs(), drain_quiet=0.0, chance=random.Random(0))
    listening: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(server.serve("127.0.0.1", 0, stop, listening.set_result))
        address = f"127.0.0.1:{await listening}"
        await knobs.until_served(address)
        await knobs.turn(address, {"error_rate": 0.3})
        assert server.engine.knobs.error_rate == 0.3
        with pytest.raises(ExternalError, match=f"{address} refused to misbehave: status 400"):
            await knobs.turn(address, {"speed": 1})
        stop.set()
    with pytest.raises(ExternalError, match=f"{address} could not be told to misbehave"):
        await knobs.turn(address, {"error_rate": 0.3})
