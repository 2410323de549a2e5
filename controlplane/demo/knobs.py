"""Asks the sample server things over loopback: whether it serves, and to turn its knobs. Used by `play.py` only."""

import asyncio
import json
from collections.abc import Mapping

from canary.errors import ExternalError
from controlplane.sample.connection import Reply, SampleConnection

PATIENCE = 5.0
LOOK_EVERY = 0.05


async def turn(address: str, knobs: Mapping[str, float]) -> None:
    """Turn the knobs of the server at `host:port`. Raises `ExternalError` when it does not take them."""
    body = json.dumps(knobs).encode()
    try:
        reply = await _ask(address, "POST", "/knobs", body)
    except (OSError, TimeoutError) as error:
        raise ExternalError(f"the sample server at {address} could not be told to misbehave: {error}") from error
    if reply.status != 200:
        raise ExternalError(f"the sample server at {address} refused to misbehave: status {reply.status}")


async def until_served(address: str) -> None:
    """Return once a model is served at `host:port`; waits for ever."""
    while True:
        try:
            if (await _ask(address, "GET", "/v1/models")).status == 200:
                return
        except (OSError, TimeoutError):
            pass
        await asyncio.sleep(LOOK_EVERY)


async def _ask(address: str, method: str, path: str, body: bytes = b"") -> Reply:
    host, _, port = address.rpartition(":")
    head = f"{method} {path} HTTP/1.1\r\nhost: {address}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    async with asyncio.timeout(PATIENCE):
        _, connection = await asyncio.get_running_loop().create_connection(SampleConnection, host, int(port))
        try:
            return await connection.ask(head + body)
        finally:
            connection.close()
