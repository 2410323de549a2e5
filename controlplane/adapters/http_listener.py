"""A socket on an address, and a web application that answers on it: the one way in which this product serves HTTP.

Used by the dashboard, the operator's metrics and the listener for webhooks. Whoever connects is bounded here, before
and around the application: connections (`connection_limiter.py`), the size of a head and of a body, and the time that a
body and an answer may take. Knows nothing of what is answered.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from canary.errors import BadInput
from controlplane.adapters.connection_limiter import ConnectionLimiter, LimitedConnection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_HEAD = 32 * 1024
MOST_HEADERS = 100
MOST_TARGET = 8 * 1024
"""Bytes of a head, its headers, and bytes of the address that is asked for."""
MOST_INCOMPLETE = 16 * 1024
"""Bytes of a head that is not complete; also what h11 keeps of one."""
TEXT = b"text/plain; charset=utf-8"
STREAM = b"text/event-stream"
_CONNECTION = "serinus.connection"
"""Where the state that uvicorn gives each request names its connection."""


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """What one request may cost."""

    body: int = 64 * 1024
    """Bytes, counted as they come."""
    body_seconds: float = 10.0
    """From the moment when the application wants the body until it has all of it."""
    answer_seconds: float = 60.0
    """From the head until the answer is complete; streams of events have no end, and are bounded by who reads them."""


REQUEST = RequestLimits()


class QuietServer(uvicorn.Server):
    """Uvicorn, which otherwise takes the process's signals for itself."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them to the command."""
        yield


def configured(app: App, limiter: ConnectionLimiter, limits: RequestLimits, **more: Any) -> uvicorn.Config:
    """What every server of ours has in common. `more`: further settings of uvicorn."""

    def protocol(**given: Any) -> LimitedConnection:
        def make(connection: LimitedConnection) -> asyncio.Protocol:
            return H11Protocol(**{**given, "app_state": {**given["app_state"], _CONNECTION: connection}})

        return limiter.protocol(make)

    return uvicorn.Config(
        BoundedApp(app, limits),
        access_log=False,
        log_level="error",  # one line for each bad request would let anybody fill the log
        lifespan="off",
        server_header=False,
        ws="none",
        interface="asgi3",
        http=protocol,  # type: ignore[arg-type]  # it is only ever called
        h11_max_incomplete_event_size=MOST_INCOMPLETE,
        proxy_headers=bool(limiter.proxies),
        forwarded_allow_ips=[str(each) for each in limiter.proxies],
        **more,
    )


async def serve(
    app: App, listening: socket.socket, *, limiter: ConnectionLimiter | None = None, limits: RequestLimits = REQUEST
) -> None:
    """Answer until cancelled."""
    limiter = limiter or ConnectionLimiter()
    server = QuietServer(configured(app, limiter, limits))
    try:
        await server.serve(sockets=[listening])
    finally:
        for each in getattr(server, "servers", ()):  # or the loop goes on watching a number that the next socket gets
            each.close()
        limiter.close()
        listening.close()


class BoundedApp:
    """An application whose requests are bounded. Answers by itself where a bound is passed."""

    def __init__(self, app: App, limits: RequestLimits) -> None:
        self._app, self._limits = app, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        connection = scope.get("state", {}).pop(_CONNECTION, None)
        if connection is not None:
            connection.began()
        try:
            if (status := _objection(scope)) is not None:
                await say(send, status)
            else:
                await _Request(self._limits, receive, send).answer(self._app, scope)
        finally:
            if connection is not None:
                connection.ended()


class _Request:
    """One request on its way through the application."""

    def __init__(self, limits: RequestLimits, receive: Receive, send: Send) -> None:
        self._limits, self._receive, self._send = limits, receive, send
        self._size = 0
        self._whole = self._started = False
        """Whether all of the body has come, and whether the answer has begun."""
        self._deadline: asyncio.Timeout
        self._body_until = self._answer_until = 0.0
        self._fault = HTTPStatus.SERVICE_UNAVAILABLE
        """What is said when the time is over."""

    async def answer(self, app: App, scope: Scope) -> None:
        """Let the application answer, within its limits."""
        self._answer_until = asyncio.get_running_loop().time() + self._limits.answer_seconds
        try:
            async with asyncio.timeout_at(self._answer_until) as self._deadline:
                await app(scope, self.receive, self.send)
        except TimeoutError:
            if not self._deadline.expired():
                raise
            if not self._started:  # else uvicorn ends the connection, since the answer broke off
                await say(self._send, self._fault)

    async def receive(self) -> Message:
        """The application wants more of the body, or waits until the client has gone."""
        if self._whole:
            return await self._receive()
        now = asyncio.get_running_loop().time()
        self._body_until = self._body_until or now + self._limits.body_seconds
        if not self._started and self._body_until < self._answer_until:
            self._end_at(self._body_until, HTTPStatus.REQUEST_TIMEOUT)
        message = await self._receive()
        self._size += len(message.get("body", b""))
        if self._size > self._limits.body:
            self._end_at(now, HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            await asyncio.Event().wait()
        if not message.get("more_body"):
            self._whole = True
            if not self._started:
                self._end_at(self._answer_until, HTTPStatus.SERVICE_UNAVAILABLE)
        return message

    async def send(self, message: Message) -> None:
        """The application answers."""
        if message["type"] == "http.response.start":
            self._started = True
            kinds = [value for name, value in message.get("headers", ()) if name.lower() == b"content-type"]
            is_stream = any(kind.startswith(STREAM) for kind in kinds)
            self._end_at(None if is_stream else self._answer_until)
        await self._send(message)

    def _end_at(self, when: float | None, fault: HTTPStatus = HTTPStatus.SERVICE_UNAVAILABLE) -> None:
        """Be over then, and say this; unless its time is over already."""
        if not self._deadline.expired():
            self._fault = fault
            self._deadline.reschedule(when)


_SENTENCES = {
    HTTPStatus.REQUEST_TIMEOUT: "The body did not come in time.",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The body is too large.",
    HTTPStatus.REQUEST_URI_TOO_LONG: "The address is too long.",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "The headers are too many or too large.",
    HTTPStatus.SERVICE_UNAVAILABLE: "The answer took too long.",
}


async def say(send: Send, status: HTTPStatus) -> None:
    """Answer with a status and its sentence, and end the connection: what is still on its way is not read."""
    body = f"{_SENTENCES[status]}\n".encode()
    headers = [(b"content-type", TEXT), (b"content-length", str(len(body)).encode()), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})


def whole(status: HTTPStatus, sentence: str, *, wait: int) -> bytes:
    """The same as bytes on the wire, for whoever is not read at all; `wait`: seconds to stay away."""
    body = f"{sentence}\n".encode()
    return (
        f"HTTP/1.1 {int(status)} {status.phrase}\r\ncontent-type: {TEXT.decode()}\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: {wait}\r\nconnection: close\r\n\r\n"
    ).encode() + body


def _objection(scope: Scope) -> HTTPStatus | None:
    """What is wrong with a head; a part of it came within h11's own limit, but the rest may have come at once."""
    if len(scope.get("raw_path", b"")) + len(scope.get("query_string", b"")) > MOST_TARGET:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    if len(headers) > MOST_HEADERS or sum(len(name) + len(value) for name, value in headers) > MOST_HEAD:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None


def listen(address: str, *, who: str = "The controller") -> socket.socket:
    """A bound socket for `host:port`; port 0 is any free one. Raises `BadInput` when it cannot be had.

    `who`: who cannot listen then.
    """
    host, _, port = address.rpartition(":")
    try:
        return _bound(host.strip("[]") or "0.0.0.0", int(port))  # noqa: S104 - `:8080` means every address, as elsewhere
    except (OSError, ValueError, OverflowError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{who} cannot listen on {address}: {why}. Expected host:port such as 127.0.0.1:0 (any free port); "
            f"nothing was started."
        ) from error


def shown(listening: socket.socket) -> str:
    """Where it listens, as it stands in a URL."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
