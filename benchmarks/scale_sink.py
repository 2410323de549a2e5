"""A sink of alerts for `scale.py` that takes every connection and answers none: whoever waits for it waits in vain."""

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self


class HangingSink:
    """Listens on a port of its own for as long as the block lasts."""

    def __init__(self, seconds: float) -> None:
        """`seconds` until it hangs up without a word."""
        self.asked = 0
        """Connections so far."""
        self._seconds = seconds
        self._server: asyncio.Server | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._hang, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/"
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()

    async def _hang(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.asked += 1
        with suppress(asyncio.CancelledError):  # the end of the program, of which a stream would complain
            await asyncio.sleep(self._seconds)
        writer.close()
