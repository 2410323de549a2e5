"""Tiny HTTP servers to route to, and clients that count what came back: for the tests of Envoy and its contract."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

ANSWER_HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(slots=True)
class Stream:
    """An answer in ten pieces, which a test holds up after the first of them."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, writer: asyncio.StreamWriter) -> None:
        """All of it."""
        writer.write(STREAM_HEAD)
        for piece in range(10):
            writer.write(b"1\r\n%d\r\n" % piece)
            self.begun.set()
            await self.go_on.wait()
        writer.write(b"0\r\n\r\n")


@contextlib.asynccontextmanager
async def upstream(
    name: str, delay_s: float = 0.0, stream: Stream | None = None, answer: bytes | None = None
) -> AsyncIterator[str]:
    """A server that answers with its name, or for `/stream` with that stream; yields its host:port.

    `answer` stands in place of its name, after which it hangs up.
    """
    open_connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await asyncio.sleep(delay_s)
                if stream is not None and b" /stream " in head:
                    await stream.write(writer)
                elif answer is not None:
                    writer.write(answer)
                    await writer.drain()
                    break
                else:
                    writer.write(ANSWER_HEAD % (len(name), name.encode()))
                await writer.drain()
        open_connections.discard(writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(open_connections):
            writer.transport.abort()
        await asyncio.sleep(0)


@dataclass(slots=True)
class Answers:
    """What clients got, and when they had asked."""

    by_variant: Counter[str] = field(default_factory=Counter)
    """By the `x-serinus-variant` header."""
    failed: list[str] = field(default_factory=list)
    last_asked: dict[str, float] = field(default_factory=dict)
    """Variant to the loop time at which the newest request that it answered was sent."""
    newest: dict[int, float] = field(default_factory=dict)
    """Number of the client to the loop time at which the newest request that was answered to it was sent."""

    @property
    def total(self) -> int:
        """All good answers."""
        return self.by_variant.total()

    def everybody_asked_since(self, moment: float) -> bool:
        """Whether every client has had an answer to what it asked after this loop time."""
        return min(self.newest.values()) > moment


async def ask(address: str, path: str = "/", headers: Mapping[str, str] | None = None) -> tuple[int, str, str]:
    """One request on its own connection: status, variant, body."""
    host, port = address.rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    with contextlib.closing(writer):
        return await _exchange(reader, writer, path, {"host": address, **(headers or {})})


@contextlib.asynccontextmanager
async def load(address: str, connections: int = 4) -> AsyncIterator[Answers]:
    """Clients that ask as fast as they are answered while the block runs."""
    answers = Answers()
    over = asyncio.Event()
    async with asyncio.TaskGroup() as clients:
        for client in range(connections):
            answers.newest[client] = 0.0
            clients.create_task(_keep_asking(address, client, answers, over))
        try:
            yield answers
        finally:
            over.set()


async def _keep_asking(address: str, client: int, answers: Answers, over: asyncio.Event) -> None:
    host, port = address.rsplit(":", 1)
    loop = asyncio.get_running_loop()
    while not over.is_set():
        try:
            reader, writer = await asyncio.open_connection(host, int(port))
            with contextlib.closing(writer):
                while not over.is_set():
                    asked = loop.time()
                    status, variant, body = await _exchange(reader, writer, "/", {})
                    if status == 200 and body == variant:
                        answers.by_variant[variant] += 1
                        answers.last_asked[variant] = answers.newest[client] = asked
                    else:
                        answers.failed.append(f"{status} {variant} {body}")
        except (OSError, asyncio.IncompleteReadError) as error:
            answers.failed.append(repr(error))
            await asyncio.sleep(0.01)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, headers: Mapping[str, str]
) -> tuple[int, str, str]:
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"host": "test", **headers}.items())
    writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    first, *answered = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
    fields = dict(line.split(": ", 1) for line in answered if line)
    if "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    else:
        body = await _chunks(reader)
    return int(first.split()[1]), fields.get("x-serinus-variant", ""), body.decode()


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return body
