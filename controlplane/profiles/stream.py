"""A lean streaming client: sends one chat request and notes when its tokens arrive.

Its own HTTP/1.1 on asyncio, because a general client costs milliseconds a request when many streams begin together,
and those would be measured as the server's. Timestamps are taken when bytes arrive, before anything is parsed. Used
by `controlplane.profiles.load` only.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from profiles.errors import Malformed
from profiles.samples import Sample

HEAD_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an OpenAI-compatible server listens."""

    host: str
    port: int
    path: str
    """Up to and with `/v1`."""
    secure: bool
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, headers: tuple[tuple[str, str], ...] = ()) -> "Endpoint":
        """Read `http://127.0.0.1:8000/v1`. Raises `Malformed`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as wrong:
            raise Malformed(f"--url: {url!r} is not a URL: {wrong}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Malformed(f"--url: {url!r} must look like http://127.0.0.1:8000/v1")
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        return cls(
            parts.hostname, port or (443 if parts.scheme == "https" else 80), path, parts.scheme == "https", headers
        )

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A whole request, ready to be written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"{method} {self.path}{path} HTTP/1.1",
            f"host: {host}:{self.port}",
            "accept: text/event-stream, application/json",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]).encode() + body


@dataclass(slots=True)
class Answer:
    """What has come of one answer so far."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    arrivals: list[float] = field(default_factory=list)
    """When events with text came."""
    events: int = 0
    usage: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    """The stream said that it was done."""
    error: str = ""
    text: bytearray = field(default_factory=bytearray)
    """The body of an answer that is no stream."""


class Connection(asyncio.Protocol):
    """One keep-alive connection, one answer at a time."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._transport: asyncio.Transport | None = None
        self._done: asyncio.Future[None] | None = None
        self._buffer = bytearray()
        self._events = bytearray()
        self._in_head = True
        self._remaining: int | None = 0
        """Bytes of the body (or of the present chunk) still to come; None reads until the connection closes."""
        self._chunked = False
        self.answer = Answer()
        self.touched = 0.0
        """When bytes last came."""
        self.open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        self.open = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the other side, or by us."""
        self.open = False
        if self._done and not self._done.done():
            if self._remaining is not None or self._in_head:
                self.answer.error = "cut" if self.answer.status else "closed without an answer"
            self._done.set_result(None)

    def close(self) -> None:
        """Give the connection up."""
        if self._transport:
            self._transport.abort()

    def send(self, request: bytes) -> asyncio.Future[None]:
        """Write a request; the future is done when its answer is complete or cannot be any more."""
        self.answer = Answer()
        self._buffer.clear()
        self._events.clear()
        self._in_head, self._remaining, self._chunked = True, 0, False
        self.touched = self._clock()
        self._done = asyncio.get_running_loop().create_future()
        if self._transport:
            self._transport.write(request)
        return self._done

    def data_received(self, data: bytes) -> None:
        """Bytes: note the time, then parse."""
        self.touched = self._clock()
        self._buffer += data
        try:
            self._parse()
        except (ValueError, IndexError) as wrong:
            self._finish(f"malformed answer: {wrong}")

    def _parse(self) -> None:
        if self._in_head and not self._read_head():
            return
        if self._chunked:
            self._read_chunks()
            return
        self._body(bytes(self._buffer))
        if self._remaining is not None:
            self._remaining -= len(self._buffer)
        self._buffer.clear()
        if self._remaining is not None and self._remaining <= 0:
            self._finish("")

    def _read_head(self) -> bool:
        """Status and headers; False while they are incomplete."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > HEAD_LIMIT:
                raise ValueError("its headers do not end")
            return False
        first, *lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        self.answer.status = int(first.split(" ", 2)[1])
        for line in lines:
            name, _, value = line.partition(":")
            self.answer.headers[name.strip().lower()] = value.strip()
        self._chunked = "chunked" in self.answer.headers.get("transfer-encoding", "").lower()
        length = self.answer.headers.get("content-length")
        self._remaining = 0 if self._chunked else int(length) if length is not None else None
        self._in_head = False
        return True

    def _read_chunks(self) -> None:
        """Chunks of transfer-encoding, as many as are complete."""
        while True:
            end = self._buffer.find(b"\r\n")
            if end < 0:
                return
            size = int(bytes(self._buffer[:end]).split(b";")[0], 16)
            if len(self._buffer) < end + 2 + size + 2:
                return
            if size == 0:
                self._finish("")
                return
            self._body(bytes(self._buffer[end + 2 : end + 2 + size]))
            del self._buffer[: end + 2 + size + 2]

    def _body(self, data: bytes) -> None:
        """Bytes of the body: events of a stream, or a plain text."""
        if "text/event-stream" not in self.answer.headers.get("content-type", ""):
            self.answer.text += data
            return
        self._events += data
        while (end := self._events.find(b"\n\n")) >= 0:
            self._event(bytes(self._events[:end]))
            del self._events[: end + 2]

    def _event(self, event: bytes) -> None:
        """One server-sent event."""
        line = b"".join(
            part[5:].strip() for part in event.replace(b"\r", b"").split(b"\n") if part.startswith(b"data:")
        )
        if not line:
            return
        if line == b"[DONE]":
            self.answer.finished = True
            return
        found = json.loads(line)
        if found.get("error"):
            self.answer.error = "error in the stream"
        self.answer.usage = found.get("usage") or self.answer.usage
        for choice in found.get("choices") or ():
            delta = choice.get("delta") or {}
            if delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning") or choice.get("text"):
                self.answer.arrivals.append(self.touched)
                self.answer.events += 1
            if choice.get("finish_reason"):
                self.answer.finished = True

    def _finish(self, error: str) -> None:
        """The answer is complete, or broken."""
        self.answer.error = self.answer.error or error
        if self.answer.error or self.answer.headers.get("connection", "").lower() == "close":
            self.close()
        self._buffer.clear()
        self._remaining = 0
        if self._done and not self._done.done():
            self._done.set_result(None)


class Client:
    """Keeps idle connections for reuse, and turns answers into samples."""

    def __init__(self, endpoint: Endpoint, clock: Callable[[], float], stall_seconds: float) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._stall = stall_seconds
        self._idle: list[Connection] = []
        self._context = ssl.create_default_context() if endpoint.secure else None

    async def connection(self) -> Connection:
        """An idle connection, or a new one. Raises `OSError`."""
        while self._idle:
            found = self._idle.pop()
            if found.open:
                return found
        loop = asyncio.get_running_loop()
        where = (self._endpoint.host, self._endpoint.port)
        _, made = await loop.create_connection(lambda: Connection(self._clock), *where, ssl=self._context)
        return made

    async def ask(self, body: bytes, due: float) -> Sample:
        """Send one chat request; failures are kinds of a sample, never exceptions."""
        try:
            async with asyncio.timeout(self._stall):
                connection = await self.connection()
        except TimeoutError:
            return Sample(due, due, None, None, 0, 0, "no connection in time")
        except OSError as wrong:
            return Sample(due, due, None, None, 0, 0, f"connection failed: {wrong.strerror or type(wrong).__name__}")
        sent = self._clock()
        done = connection.send(self._endpoint.request("POST", "/chat/completions", body))
        try:
            await self._until(done, connection)
        except asyncio.CancelledError:
            connection.close()
            raise
        answer = connection.answer
        if connection.open and not answer.error:
            self._idle.append(connection)
        return sample(answer, due, sent)

    async def get(self, path: str) -> Any:
        """The JSON of a GET; raises `OSError` or `ValueError` when there is none."""
        async with asyncio.timeout(self._stall):
            connection = await self.connection()
            await connection.send(self._endpoint.request("GET", path))
        answer = connection.answer
        connection.close()
        if answer.status != 200:
            raise ValueError(f"GET {path} answered {answer.status or answer.error}")
        return json.loads(bytes(answer.text))

    async def _until(self, done: "asyncio.Future[None]", connection: Connection) -> None:
        """Wait for the end of the answer, or for a silence that is too long."""
        while not done.done():
            left = connection.touched + self._stall - self._clock()
            if left <= 0:
                connection.answer.error = "stalled"
                connection.close()
                return
            await asyncio.wait([done], timeout=left)

    def close(self) -> None:
        """Drop the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def sample(answer: Answer, due: float, sent: float) -> Sample:
    """An answer as a sample, with its failure by kind."""
    usage = answer.usage
    tokens = int(usage.get("completion_tokens") or answer.events)
    details = usage.get("prompt_tokens_details") or {}
    return Sample(
        due=due,
        sent=sent,
        first=answer.arrivals[0] if answer.arrivals else None,
        last=answer.arrivals[-1] if answer.arrivals else None,
        tokens=tokens,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        failure=failure(answer),
        counted="completion_tokens" in usage,
        cached_tokens=int(details.get("cached_tokens") or 0),
    )


def failure(answer: Answer) -> str:
    """What went wrong, in the words of the report; empty when nothing did."""
    if answer.status and answer.status != 200:
        return f"status {answer.status}"
    if answer.error:
        return answer.error
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        return "no stream"
    if not answer.finished:
        return "cut"
    return "" if answer.arrivals else "no tokens"
