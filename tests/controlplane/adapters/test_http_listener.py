"""A listener answers until it is cancelled, within its limits, and the next one on the same number answers as well."""

import asyncio
from collections.abc import AsyncIterator, Iterable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from canary.errors import BadInput
from controlplane.adapters.connection_limiter import ConnectionLimiter, ConnectionLimits
from controlplane.adapters.http_listener import (
    MOST_HEAD,
    MOST_HEADERS,
    MOST_TARGET,
    Receive,
    RequestLimits,
    Scope,
    Send,
    listen,
    serve,
)


async def hello(_scope: Scope, _receive: Receive, send: Send) -> None:
    """The same answer to everybody."""
    start: MutableMapping[str, Any] = {"type": "http.response.start", "status": 204, "headers": []}
    await send(start)
    await send({"type": "http.response.body", "body": b""})


async def test_a_listener_that_takes_the_number_of_a_cancelled_one_hears_who_connects() -> None:
    """The system gives the lowest free number to a new socket, and the loop must not take it for the old one's."""
    numbers = set()
    for _ in range(3):
        listening = listen("127.0.0.1:0")
        numbers.add(listening.fileno())
        async with asyncio.TaskGroup() as tasks, asyncio.timeout(20):
            serving = tasks.create_task(serve(hello, listening))
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 204")
            writer.close()
            await writer.wait_closed()
            serving.cancel()
    assert len(numbers) < 3


async def whatever(scope: Scope, receive: Receive, send: Send) -> None:
    """`/read` says how much of a body came, `/hang` never answers, `/stream` tells for a while, `/half` stops."""
    size = 0
    match scope["path"]:
        case "/read":
            more = True
            while more:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
        case "/hang":
            await asyncio.Event().wait()
    kind = b"text/event-stream" if scope["path"] == "/stream" else b"text/plain"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
    for _ in range(30 if scope["path"] == "/stream" else 0):
        await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await asyncio.sleep(0.02)
    if scope["path"] == "/half":
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        await asyncio.Event().wait()
    await send({"type": "http.response.body", "body": str(size).encode()})


@asynccontextmanager
async def answering(idle: float = 10.0, **limits: Any) -> AsyncIterator[int]:
    """That application within these limits, at this port; `idle`: seconds without a request."""
    listening = listen("127.0.0.1:0")
    limiter = ConnectionLimiter(ConnectionLimits(idle_seconds=idle))
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(whatever, listening, limiter=limiter, limits=RequestLimits(**limits)))
        yield listening.getsockname()[1]
        serving.cancel()


async def told(port: int, request: Iterable[bytes]) -> bytes:
    """The whole answer to these bytes, written one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in request:
        writer.write(piece)
        await writer.drain()
    async with asyncio.timeout(60):
        answer = await reader.read()
    writer.close()
    return answer


def head(method: str, path: str, *lines: str) -> bytes:
    return "\r\n".join((f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("path", "lines", "status"),
    [
        ("/" + "a" * MOST_TARGET, (), b"414"),
        ("/?" + "a" * MOST_TARGET, (), b"414"),
        ("/read", [f"x-{number}: y" for number in range(MOST_HEADERS)], b"431"),
        ("/read", [f"x-{number}: {'y' * 8000}" for number in range(MOST_HEAD // 8000 + 1)], b"431"),
        ("/read", ["x: y"], b"200"),
    ],
)
async def test_s9_a_head_has_a_bound_also_where_it_comes_at_once(path: str, lines: list[str], status: bytes) -> None:
    async with answering() as port:
        assert (await told(port, [head("GET", path, *lines)])).startswith(b"HTTP/1.1 " + status)


@pytest.mark.parametrize("said", [False, True])
async def test_s9_a_body_is_counted_as_it_comes(said: bool) -> None:
    """Whether its length was said or not, an application gets no more of it than it may."""
    length = "Content-Length: 5000" if said else "Transfer-Encoding: chunked"
    chunks = [b"x" * 500] * 10 if said else [b"1f4\r\n" + b"x" * 500 + b"\r\n"] * 10
    async with answering(body=2000) as port:
        assert (await told(port, [head("POST", "/read", length), *chunks[:5]])).startswith(b"HTTP/1.1 413 ")
    async with answering(body=5000) as port:
        answer = await told(port, [head("POST", "/read", length), *chunks, b"0\r\n\r\n"])
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"5000" in answer


async def test_s9_a_body_has_a_time_and_so_has_an_answer() -> None:
    async with answering(body_seconds=0.1) as port:
        assert (await told(port, [head("POST", "/read", "Content-Length: 2"), b"x"])).startswith(b"HTTP/1.1 408 ")
    async with answering(answer_seconds=0.1) as port:
        assert (await told(port, [head("GET", "/hang")])).startswith(b"HTTP/1.1 503 ")
        broken = await told(port, [head("GET", "/half")])
        assert b"half" in broken
        assert not broken.endswith(b"0\r\n\r\n")


async def test_a_stream_of_events_goes_on_for_longer_than_an_answer_may() -> None:
    async with answering(idle=0.1, answer_seconds=0.1, body_seconds=0.1) as port:
        answer = await told(port, [head("GET", "/stream")])
    assert answer.count(b"data: x") == 30
    assert answer.endswith(b"0\r\n\r\n")


async def test_s9_what_is_no_http_fills_no_log(capfd: pytest.CaptureFixture[str]) -> None:
    async with answering() as port:
        for rubbish in (b"\x16\x03\x01\r\n\r\n", head("GET", "/", "Connection: Upgrade", "Upgrade: h2c")):
            await told(port, [rubbish])
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("address", ["127.0.0.1:70000", "127.0.0.1:-1", "127.0.0.1", "nowhere.example.test:1"])
def test_an_address_that_cannot_be_had_is_said(address: str) -> None:
    with pytest.raises(BadInput, match="The dashboard cannot listen on"):
        listen(address, who="The dashboard")
