"""HTTP/1.1 for the sample server: reads requests from a stream, writes answers and event streams.

Called by `controlplane.sample.server`, once per connection. It knows nothing of models, and it is no general web
server: no TLS, no compression, no uploads beyond `MAX_BODY_BYTES`. Standard library only.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 32 * 1024
MAX_BODY_BYTES = 1024 * 1024
IDLE_SECONDS = 120.0
"""Until a request has come whole, body included; longer than Envoy keeps an idle upstream connection under load."""

_PHRASES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class HttpError(Exception):
    """A request that is answered with this status and not carried out."""

    def __init__(self, status: int, message: str, *, kind: str = "", param: str | None = None) -> None:
        self.status = status
        self.message = message
        self.kind = kind or HTTPStatus(status).phrase
        self.param = param
        super().__init__(message)

    def body(self) -> dict[str, object]:
        """The error as OpenAI-compatible servers word it."""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.status}}


class UnreadableError(HttpError):
    """A request whose end cannot be found: it is answered, and the connection is closed."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, read to its end."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    keep_alive: bool


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of the connection; None when the client has no more. Raises `UnreadableError`."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        method, target, version, headers = _parse_head(head)
        if headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, headers)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    except asyncio.LimitOverrunError:
        raise UnreadableError(431, f"The request's head is longer than {MAX_HEAD_BYTES} bytes.") from None
    wants_close = headers.get("connection", "keep-alive" if version == "HTTP/1.1" else "close").lower() == "close"
    return Request(method, target.partition("?")[0], headers, body, keep_alive=not wants_close)


def _parse_head(head: bytes) -> tuple[str, str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    parts = first.split(" ")
    if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
        raise UnreadableError(400, "The first line is not that of an HTTP/1.1 request.")
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if colon:
            headers[name.lower()] = value.strip()
        elif line:
            raise UnreadableError(400, "A header line has no colon.")
    return parts[0], parts[1], parts[2], headers


async def _read_body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise UnreadableError(400, "Content-Length is not a number.")
    _check_size(int(length))
    return await reader.readexactly(int(length)) if length != "0" else b""


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            size = int(line.split(b";")[0], 16)
        except ValueError:
            raise UnreadableError(400, "A chunk has no size.") from None
        _check_size(len(body) + size)
        chunk = await reader.readexactly(size + 2)
        body += chunk[:-2]
        if size == 0:
            return bytes(body)


def _check_size(size: int) -> None:
    if not 0 <= size <= MAX_BODY_BYTES:
        raise UnreadableError(413, f"The request's body has {size} bytes, at most {MAX_BODY_BYTES} are read.")


class SampleResponse:
    """The answer to one request: either `reply` once, or `start_stream`, `send`…, `end_stream`.

    What is ready together leaves together: a write is the dearest thing here, and at many streams it is what makes the
    others late.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, served_by: str, keep_alive: bool
    ) -> None:
        self._reader = reader
        self._writer = writer
        connection = "" if keep_alive else "connection: close\r\n"
        self._common = f"x-served-by: {served_by}\r\n{connection}\r\n"
        self._held = b""
        """Part of the stream that leaves with the next event."""
        self.status = 0
        """The status sent; 0 until then."""

    @property
    def client_gone(self) -> bool:
        """Whether the client has closed its side: nobody will read the answer."""
        return self._reader.at_eof() or self._writer.is_closing()

    def reply(self, status: int, body: bytes, content_type: str = "application/json") -> None:
        """Send a whole answer."""
        self.status = status
        head = f"HTTP/1.1 {_PHRASES[status]}\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n"
        self._writer.write((head + self._common).encode("latin-1") + body)

    def start_stream(self) -> None:
        """Begin an event stream (200), with the first event."""
        self.status = 200
        head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n"
        self._held = (head + self._common).encode("latin-1")

    def hold(self, event: bytes) -> None:
        """Send one event of the stream together with the next, or with its end."""
        data = b"data: " + event + b"\n\n"
        self._held += b"%x\r\n%s\r\n" % (len(data), data)

    async def send(self, event: bytes) -> None:
        """Send one event of the stream now; raises `ConnectionError` once the client has gone."""
        self.hold(event)
        await self._release()

    async def end_stream(self) -> None:
        """End the stream; the connection can take the next request. Raises as `send` does."""
        self._held += b"0\r\n\r\n"
        await self._release()

    async def _release(self) -> None:
        if self.client_gone:
            raise ConnectionResetError("the client closed the stream")
        held, self._held = self._held, b""
        self._writer.write(held)
        await self._writer.drain()
