"""Listens on one address and serves the API and the page until it is told to stop.

Opened by `serinus dashboard` and by tests. Streams never end by themselves, so they are ended first when it stops.
"""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import uvicorn

from controlplane.adapters.connection_limiter import LIMITS, ConnectionLimiter, ConnectionLimits
from controlplane.adapters.http_listener import configured, whole
from controlplane.api.app import build
from controlplane.api.guard import REQUEST, Rules
from controlplane.api.places import Home, Sources
from controlplane.api.problem import LEAST_WAIT
from controlplane.api.stream import StreamHub


class Server(uvicorn.Server):
    """Uvicorn, which otherwise waits for open streams for ever."""

    def __init__(self, config: uvicorn.Config, hub: StreamHub, limiter: ConnectionLimiter) -> None:
        super().__init__(config)
        self._hub, self._limiter = hub, limiter

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End the streams, then everything else."""
        self._hub.close()
        await super().shutdown(sockets)
        self._limiter.close()


@asynccontextmanager
async def opened(home_folder: Path, rules: Rules, *, now: Callable[[], float]) -> AsyncIterator[Server]:
    """A server of a state directory, to be run with `serve(sockets=[…])`; its stores are closed at the end."""
    home = Home(home_folder)
    try:
        yield server_of(home, rules, now=now)
    finally:
        await home.close()


def server_of(sources: Sources, rules: Rules, *, now: Callable[[], float], limits: ConnectionLimits = LIMITS) -> Server:
    """A server of these rollouts, to be run with `serve(sockets=[…])`."""
    hub = StreamHub(now)
    limiter = ConnectionLimiter(
        limits,
        is_spent=rules.is_spent,
        spent_answer=whole(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests from this address.", wait=LEAST_WAIT),
        full_answer=whole(HTTPStatus.SERVICE_UNAVAILABLE, "Too many connections.", wait=LEAST_WAIT),
        proxies=rules.proxies,
    )
    config = configured(build(sources, rules, hub, now=now), limiter, REQUEST, timeout_graceful_shutdown=2)
    return Server(config, hub, limiter)
