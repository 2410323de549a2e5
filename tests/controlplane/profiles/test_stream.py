"""The streaming client: when tokens came, however the bytes were cut, and what went wrong, by kind."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from controlplane.profiles.connection import Connection
from controlplane.profiles.stream import Client, LoadEndpoint, failure
from profiles.errors import Malformed

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def event(text: str = "word", **more: object) -> bytes:
    found: dict[str, object] = {"choices": [{"delta": {"content": text}}]} | more
    return b"data: " + json.dumps(found).encode() + b"\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


USAGE = event(
    choices=[], usage={"completion_tokens": 2, "prompt_tokens": 7, "prompt_tokens_details": {"cached_tokens": 3}}
)
DONE = chunk(USAGE) + chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"


async def fed(pieces: list[tuple[float, bytes]]) -> Connection:
    """A connection whose bytes arrive at the given times on a fake clock."""
    times = iter([0.0, *(at for at, _ in pieces)])
    connection = Connection(lambda: next(times))
    connection.send(b"")
    for _, data in pieces:
        connection.data_received(data)
    return connection


async def test_tokens_are_timed_when_their_bytes_come() -> None:
    connection = await fed([(1.0, HEAD), (1.5, chunk(event())), (1.75, chunk(event())), (1.8, DONE)])
    assert connection.answer.arrivals == [1.5, 1.75]
    assert connection.answer.usage["completion_tokens"] == 2
    assert failure(connection.answer) == ""


async def test_bytes_may_be_cut_anywhere() -> None:
    whole = HEAD + chunk(event()) + chunk(event()) + DONE
    connection = await fed([(float(place), whole[place : place + 1]) for place in range(len(whole))])
    assert len(connection.answer.arrivals) == 2
    assert failure(connection.answer) == ""


async def test_an_event_may_span_chunks_and_a_chunk_may_hold_many_events() -> None:
    first = event()
    connection = await fed([(1.0, HEAD), (2.0, chunk(first[:9])), (3.0, chunk(first[9:] + event())), (4.0, DONE)])
    assert connection.answer.arrivals == [3.0, 3.0]


async def test_the_role_is_no_token() -> None:
    """The first event of many servers carries the role only; counting it would flatter the time to first token."""
    role = event(choices=[{"delta": {"role": "assistant", "content": ""}}])
    connection = await fed([(1.0, HEAD), (1.1, chunk(role)), (2.0, chunk(event())), (2.5, DONE)])
    assert connection.answer.arrivals == [2.0]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\n{}", "status 503"),
        (HEAD + chunk(event()), "cut"),
        (HEAD + chunk(event()) + b"0\r\n\r\n", "cut"),
        (HEAD + DONE, "no tokens"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}", "no stream"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "malformed",
        ),
        (HEAD + chunk(b'data: {"error": {"message": "boom"}}\n\n') + DONE, "error in the stream"),
        (b"", "closed without an answer"),
    ],
)
async def test_failures_are_named_by_kind(answer: bytes, kind: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    found = await asked(script)
    assert kind in found


async def test_a_silent_server_has_stalled() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + chunk(event()))
        await writer.drain()
        await reader.read()

    assert await asked(script, stall=0.2) == "stalled"


async def test_nobody_listening_is_a_kind_too() -> None:
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    client = Client(LoadEndpoint.of(f"http://127.0.0.1:{port}/v1"), asyncio.get_running_loop().time, 1.0)
    assert (await client.ask(b"{}", 0.0)).failure.startswith("connection failed")


async def test_connections_are_used_again() -> None:
    made = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal made
        made += 1
        for _ in range(3):
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"POST /v1/chat/completions HTTP/1.1\r\n")
            await reader.readexactly(2)
            writer.write(HEAD + chunk(event()) + chunk(event()) + DONE)

    async with serving(script) as url:
        client = Client(LoadEndpoint.of(url), asyncio.get_running_loop().time, 5.0)
        found = [await client.ask(b"{}", 0.0) for _ in range(3)]
        client.close()
    assert [one.failure for one in found] == ["", "", ""]
    assert (found[0].tokens, found[0].prompt_tokens, found[0].cached_tokens) == (2, 7, 3)
    assert made == 1


@pytest.mark.parametrize("url", ["127.0.0.1:8000", "ftp://host/v1", "http://", "http://host:port/v1"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(Malformed, match="--url"):
        LoadEndpoint.of(url)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """A server that follows the script on every connection; its sockets are closed when the block ends."""
    over = asyncio.Event()

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await script(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            over.set()

    server = await asyncio.start_server(once, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()
    await over.wait()
    await server.wait_closed()


async def asked(script: Script, stall: float = 5.0) -> str:
    """The failure of one request to a server that follows the script."""
    async with serving(script) as url:
        client = Client(LoadEndpoint.of(url), asyncio.get_running_loop().time, stall)
        found = await client.ask(b"{}", 0.0)
        client.close()
    return found.failure
