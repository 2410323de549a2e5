"""A socket on an address, and a web application that answers on it until cancelled.

Used by everything that listens beside its own work: the operator's metrics, the listener for webhooks. Knows nothing of
what is answered.
"""

import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import uvicorn

from canary.errors import BadInput

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class Server(uvicorn.Server):
    """Uvicorn, which otherwise takes the process's signals for itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the command."""
        yield


async def serve(app: App, listening: socket.socket, *, http: Any = "auto") -> None:
    """Answer until cancelled. `http`: what makes the protocol of a connection, if not uvicorn itself."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        lifespan="off",
        server_header=False,
        ws="none",
        interface="asgi3",
        http=http,
    )
    server = Server(config)
    try:
        await server.serve(sockets=[listening])
    finally:
        for each in getattr(server, "servers", ()):  # or the loop goes on watching a number that the next socket gets
            each.close()
        listening.close()


def listen(address: str) -> socket.socket:
    """A bound socket for `host:port`; port 0 is any free one. Raises `BadInput` when it cannot be had."""
    host, _, port = address.rpartition(":")
    try:
        return _bound(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - `:8080` means every address, as elsewhere
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"The controller cannot listen on {address}: {why}. Expected host:port such as 0.0.0.0:8080; nothing was "
            f"started."
        ) from error


def shown(listening: socket.socket) -> str:
    """Where it listens, as it stands in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _bound(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(place)
        found.listen(128)
    except OSError:
        found.close()
        raise
    return found
