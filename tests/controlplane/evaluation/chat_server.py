"""A chat endpoint that answers as a test says, and remembers what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Reply = Callable[[dict[str, Any]], "str | bytes | int | None"]
"""From a request's body to a text, to a raw body, to a status, or to nothing at all (the connection breaks)."""


def echo(body: dict[str, Any]) -> str:
    """The last word of the question."""
    return f"It is {body['messages'][-1]['content'].split()[-1]}."


@dataclass
class ChatServer:
    """Listens while its context is open."""

    reply: Reply = echo
    delay_s: float = 0.0
    location: str = ""
    """Where answers of 3xx lead."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    open_now: int = 0
    most_open: int = 0
    url: str = ""

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["ChatServer"]:
        """On a free port of this machine."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.partition("content-length:")[2].split()[0])
                body = json.loads(await reader.readexactly(length))
                self.asked.append(body)
                self.open_now += 1
                self.most_open = max(self.most_open, self.open_now)
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                said = self.reply(body)
                self.open_now -= 1
                if said is None:
                    return
                writer.write(self._answer(said))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    def _answer(self, said: "str | bytes | int") -> bytes:
        status, body = 200, b""
        if isinstance(said, int):
            status, body = said, b'{"error": {"message": "no such\\u001b model"}}'
        elif isinstance(said, bytes):
            body = said
        else:
            body = json.dumps({"choices": [{"message": {"content": said}, "finish_reason": "stop"}]}).encode()
        location = f"location: {self.location}\r\n" if self.location else ""
        head = f"HTTP/1.1 {status} x\r\n{location}content-length: {len(body)}\r\n\r\n"
        return head.encode() + body
