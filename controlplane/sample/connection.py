"""One keep-alive connection of the load generator: sends a request, waits for the answer, reads no more than it must.

Used by `load.py` only. A protocol, not a stream, because the load has to cost little beside what it loads.
"""

import asyncio
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """What the load wants to know of an answer."""

    status: int
    variant: str
    """The `x-serinus-variant` header: the arm that the router chose. Empty without one."""
    served_by: str
    """The `x-served-by` header of the sample server; empty when the proxy itself answered."""


class SampleConnection(asyncio.Protocol):
    """Carries one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._buffer = bytearray()
        self._reply: Reply | None = None
        self._remaining = 0
        """Bytes of the body still to come; -1 while it comes in chunks."""
        self._close_after = False

    @property
    def usable(self) -> bool:
        """Whether the next request can be sent."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    async def ask(self, request: bytes) -> Reply:
        """Send a request and wait for its whole answer. Raises `ConnectionError` when none comes."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        try:
            return await self._answer
        finally:
            if not self._answer.done() or self._answer.cancelled():
                self.close()  # the answer may still come and must not be taken for the next one's
            self._answer = None

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("a stream transport is needed")
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Whoever waits for an answer gets none."""
        self._fail(ConnectionResetError("closed before the answer was complete"))

    def data_received(self, data: bytes) -> None:
        """Take a piece of the answer."""
        if self._answer is None:
            self.close()  # bytes that nobody asked for
            return
        self._buffer += data
        if self._reply is None and not self._read_head():
            return
        if self._remaining == -1:
            # The last chunk and the end of its trailers; an event stream has no such bytes inside.
            if self._buffer.endswith(b"0\r\n\r\n"):
                self._finish()
            else:
                del self._buffer[:-5]
        elif len(self._buffer) >= self._remaining:
            self._finish()

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEAD_BYTES:
                self._fail(ConnectionError("the answer's head is too long"))
            return False
        first, *lines = self._buffer[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        try:
            status = int(first.split(" ", 2)[1])
            chunked = headers.get("transfer-encoding", "").lower() == "chunked"
            self._remaining = -1 if chunked else int(headers.get("content-length", "0"))
        except (IndexError, ValueError):
            self._fail(ConnectionError("the answer is not HTTP"))
            return False
        self._reply = Reply(status, headers.get("x-serinus-variant", ""), headers.get("x-served-by", ""))
        self._close_after = headers.get("connection", "").lower() == "close"
        del self._buffer[: end + 4]
        return True

    def _finish(self) -> None:
        reply, answer = self._reply, self._answer
        self._buffer.clear()
        self._reply = None
        if self._close_after:
            self.close()
        if answer is not None and reply is not None and not answer.done():
            answer.set_result(reply)

    def _fail(self, error: ConnectionError) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.close()
