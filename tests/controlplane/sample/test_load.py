"""The load sends at its rate, whatever comes back, and tells apart who failed a request."""

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from controlplane.sample.load import SampleLoad, Stats

OK = b"HTTP/1.1 200 OK\r\nx-serinus-variant: %s\r\nx-served-by: v\r\ncontent-length: 2\r\n\r\nok"


@asynccontextmanager
async def answering(answer: Callable[[int], bytes | None]) -> AsyncIterator[int]:
    """A server whose n-th answer (from 0, over all connections) is `answer(n)`; None hangs up."""
    count = iter(range(sys.maxsize))

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                reply = answer(next(count))
                if reply is None:
                    break
                writer.write(reply)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def loaded(port: int, *, enough: int, rate: float = 2000.0, **options: Any) -> Stats:
    """The stats once that many requests have been sent and answered."""
    load = SampleLoad("127.0.0.1", port, rate=rate, **options)
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(load.run(stop))
        while load.stats.sent + load.stats.unsent < enough:  # noqa: ASYNC110 - the load counts, it does not call
            await asyncio.sleep(0.001)
        stop.set()
    return load.stats


async def test_answers_are_counted_by_the_variant_that_the_router_names() -> None:
    async with answering(lambda n: OK % (b"canary" if n % 4 == 0 else b"stable")) as port:
        stats = await loaded(port, enough=100)
    assert stats.sent == stats.answered >= 100
    assert abs(stats.variants["stable"].answers - 3 * stats.variants["canary"].answers) <= 3
    assert (stats.failures, stats.lost, stats.unsent) == (0, {}, 0)
    assert stats.variants["canary"].last_sent > 0


async def test_a_failure_of_the_variant_is_not_a_lost_request() -> None:
    """A 500 with the server's own mark was answered, badly; a 503 without it is the proxy's: nobody answered."""
    own = b"HTTP/1.1 500 E\r\nx-serinus-variant: canary\r\nx-served-by: v2\r\ncontent-length: 0\r\n\r\n"
    proxy = b"HTTP/1.1 503 E\r\nx-serinus-variant: canary\r\ncontent-length: 0\r\n\r\n"
    async with answering(lambda n: own if n % 2 else proxy) as port:
        stats = await loaded(port, enough=50)
    assert stats.variants["canary"].failures == stats.variants["canary"].answers
    assert set(stats.lost) == {"503"}
    assert stats.lost["503"] + stats.failures == stats.sent


async def test_a_connection_closed_before_the_answer_is_a_lost_request() -> None:
    async with answering(lambda n: None if n % 2 else OK % b"stable") as port:
        stats = await loaded(port, enough=50)
    assert set(stats.lost) == {"connection"}
    assert stats.lost["connection"] + stats.answered == stats.sent


async def test_a_server_that_is_not_there_loses_every_request() -> None:
    async with answering(lambda _: None) as port:
        pass
    stats = await loaded(port, enough=20)
    assert stats.lost == {"connection": stats.sent}


async def test_an_answer_in_chunks_ends_where_it_ends() -> None:
    """The connection is used again for the next request, so nothing of the last answer may be left in it."""
    head = b"HTTP/1.1 200 OK\r\nx-serinus-variant: stable\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with answering(lambda _: head + b"5\r\nhello\r\n0\r\n\r\n") as port:
        stats = await loaded(port, enough=50)
    assert (stats.answered, stats.lost) == (stats.sent, {})


async def test_no_answer_in_time_is_a_lost_request() -> None:
    async with answering(lambda _: b"") as port:
        stats = await loaded(port, enough=5, timeout=0.05)
    assert stats.lost == {"timeout": stats.sent}


async def test_the_number_of_open_requests_is_bounded() -> None:
    """What is due beyond the bound is not sent, and said to be so."""
    async with answering(lambda _: b"") as port:
        stats = await loaded(port, enough=50, timeout=0.3, max_open=10)
    assert stats.sent == 10
    assert stats.unsent >= 40


async def test_what_is_no_http_is_a_lost_request() -> None:
    async with answering(lambda _: b"SSH-2.0-OpenSSH\r\n\r\n") as port:
        stats = await loaded(port, enough=5)
    assert stats.lost == {"connection": stats.sent}


@pytest.mark.parametrize("host", ["10.0.0.1", "0.0.0.0", "::", "8.8.8.8"])
def test_it_loads_no_other_machine(host: str) -> None:
    with pytest.raises(ValueError, match="the load stays on this machine"):
        SampleLoad(host, 80, rate=1)


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_rate_is_positive(rate: float) -> None:
    with pytest.raises(ValueError, match="positive number of requests a second"):
        SampleLoad("127.0.0.1", 80, rate=rate)


def test_arrivals_keep_the_rate_and_a_seed_repeats_them() -> None:
    """Poisson gaps have the mean that the rate asks for; the same seed gives the same gaps."""
    first, again = (SampleLoad("127.0.0.1", 80, rate=50, chance=random.Random(3)) for _ in range(2))
    gaps = [first._gap() for _ in range(4000)]
    assert gaps[:10] == [again._gap() for _ in range(10)]
    assert sum(gaps) / 4000 == pytest.approx(1 / 50, rel=0.05)
    assert SampleLoad("127.0.0.1", 80, rate=50, arrivals="even")._gap() == 1 / 50


@pytest.mark.real
async def test_as_a_process_it_reports_in_json_lines() -> None:
    """The last line, after it was told to stop, accounts for every request."""
    async with answering(lambda _: OK % b"stable") as port:
        flags = ("--port", str(port), "--rate", "200", "--report", "0.05")
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "controlplane.sample.load", *flags, stdout=asyncio.subprocess.PIPE
        )
        assert child.stdout is not None
        for _ in range(3):
            line = await child.stdout.readline()
        child.terminate()
        rest = (await child.stdout.read()).splitlines()
        stats = Stats.from_dict(json.loads((rest or [line])[-1]))
        assert await child.wait() == 0
    assert stats.sent == stats.variants["stable"].answers > 0
