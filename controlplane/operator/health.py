"""Answers /metrics, /healthz and /readyz on one address, and nothing else.

Opened by `operator.py`. Alive means that the event loop turns; ready means that the cluster was read, whether this
replica leads or stands by.
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
TEXT = b"text/plain; charset=utf-8"
EXPOSITION = b"text/plain; version=0.0.4; charset=utf-8"


class Health:
    """An ASGI application of three pages."""

    def __init__(self, metrics: Callable[[], bytes], unready: Callable[[], str]) -> None:
        """`unready`: why this replica is not ready, as a clause; empty when it is."""
        self._metrics, self._unready = metrics, unready

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        status, kind, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in {"GET", "HEAD"}:
            return 405, TEXT, b"only GET\n"
        match path:
            case "/healthz":
                return 200, TEXT, b"ok\n"
            case "/readyz":
                why = self._unready()
                return (503, TEXT, f"{why}\n".encode()) if why else (200, TEXT, b"ok\n")
            case "/metrics":
                return 200, EXPOSITION, self._metrics()
            case _:
                return 404, TEXT, b"/metrics, /healthz and /readyz are here\n"


class Server(uvicorn.Server):
    """Uvicorn, which otherwise takes the process's signals for itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the command."""
        yield


async def serve(app: Health, listening: socket.socket) -> None:
    """Answer until cancelled."""
    config = uvicorn.Config(
        app, access_log=False, log_level="warning", lifespan="off", server_header=False, ws="none", interface="asgi3"
    )
    server = Server(config)
    try:
        await server.serve(sockets=[listening])
    finally:
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
