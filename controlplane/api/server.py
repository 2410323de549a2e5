"""Listens on one address and serves the API and the page until it is told to stop.

Opened by `serinus dashboard` and by tests. Streams never end by themselves, so they are ended first when it stops.
"""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn

from canary.errors import BadInput
from controlplane.api.app import build
from controlplane.api.guard import Rules
from controlplane.api.places import Home, Sources
from controlplane.api.stream import Hub


class Server(uvicorn.Server):
    """Uvicorn, which otherwise waits for open streams for ever."""

    def __init__(self, config: uvicorn.Config, hub: Hub) -> None:
        super().__init__(config)
        self._hub = hub

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._hub.close()
        await super().shutdown(sockets)


def listen(address: str) -> socket.socket:
    """A bound socket for `host:port`; port 0 is any free one. Raises `BadInput` when it cannot be had."""
    host, _, port = address.rpartition(":")
    try:
        return _bound(host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"The dashboard cannot listen on {address}: {why}. Expected host:port such as 127.0.0.1:0 (any free port); "
            f"nothing was started."
        ) from error


def _bound(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65535:  # the system would quietly take the remainder
        raise ValueError("a port is between 0 and 65535")
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(128)  # who is quicker than the server's start waits instead of being refused
    except OSError:
        found.close()
        raise
    return found


@asynccontextmanager
async def opened(home_folder: Path, rules: Rules, *, now: Callable[[], float]) -> AsyncIterator[Server]:
    """A server of a state directory, to be run with `serve(sockets=[…])`; its stores are closed at the end."""
    home = Home(home_folder)
    try:
        yield server_of(home, rules, now=now)
    finally:
        await home.close()


def server_of(sources: Sources, rules: Rules, *, now: Callable[[], float]) -> Server:
    """A server of these rollouts, to be run with `serve(sockets=[…])`."""
    hub = Hub(now)
    config = uvicorn.Config(
        build(sources, rules, hub, now=now),
        access_log=False,
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
        ws="none",
    )
    return Server(config, hub)
