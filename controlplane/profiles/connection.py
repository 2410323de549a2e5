"""One connection of the streaming client: HTTP/1.1, chunks and server-sent events, understood as the bytes come.

Used by `stream.py`. Timestamps are taken when bytes arrive, before anything is parsed; and parsing is quick, because
other streams' bytes wait for it.
"""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

HEAD_LIMIT = 65536
TOKEN = re.compile(rb'"(?:content|reasoning_content|reasoning|text)": ?"[^"]')
"""A key with a text that is not empty. It cannot stand inside a text, where quotes are escaped."""
MORE = re.compile(rb'"(?:usage|error)": ?[^n]|"finish_reason": ?"')
"""What else an event may say: anything but null."""


@dataclass(slots=True)
class LoadResponse:
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
        self.answer = LoadResponse()
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
        self.answer = LoadResponse()
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
        try:
            if self._is_one_event(data):
                return
            self._buffer += data
            self._parse()
        except (ValueError, IndexError) as wrong:
            self._finish(f"malformed answer: {wrong}")

    def _is_one_event(self, data: bytes) -> bool:
        """Take what nearly every read is, one chunk with one event, without copying it from buffer to buffer."""
        if not self._chunked or self._in_head or self._buffer or self._events or not data.endswith(b"\n\n\r\n"):
            return False
        start = data.find(b"\r\n") + 2
        size = int(data[: start - 2].split(b";")[0], 16)
        if data.find(b"\n\n", start) != len(data) - 4 or size != len(data) - start - 2:
            return False
        if "text/event-stream" not in self.answer.headers.get("content-type", ""):
            return False
        self._event(data[start:-4])
        return True

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
        if event.startswith(b"data:") and b"\n" not in event:
            line = event[5:].strip()
        else:
            parts = event.replace(b"\r", b"").split(b"\n")
            line = b"".join(part[5:].strip() for part in parts if part.startswith(b"data:"))
        if not line:
            return
        if line == b"[DONE]":
            self.answer.finished = True
            return
        # Nearly every event is one more token, which is seen without reading it as JSON in less than half the time; the
        # timestamps of all other streams wait for that long.
        if TOKEN.search(line) and not MORE.search(line):
            self.answer.arrivals.append(self.touched)
            self.answer.events += 1
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
