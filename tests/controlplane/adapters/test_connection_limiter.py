"""Connections that cost and say nothing, that come by the hundred, or that read as slowly as they can.

Over real sockets; `tests/contracts/test_servers.py` asks every server of ours for the same.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.adapters.connection_limiter import ConnectionLimiter, ConnectionLimits, LimitedConnection, sender_of

FULL, SPENT = b"full\n", b"spent\n"


class Talker(asyncio.Protocol):
    """Each line is a request: `hold` is never answered, `much` with more than anybody reads, others with themselves."""

    def __init__(self, connection: LimitedConnection) -> None:
        self._connection = connection
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        for line in data.splitlines(keepends=True):
            self._connection.began()
            if line == b"hold\n":
                continue
            self._transport.write(b"x" * 50_000_000 if line == b"much\n" else line)
            if line != b"much\n":
                self._connection.ended()


class Client:
    """One connection, from an address of this machine."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, line: bytes) -> bytes:
        self.writer.write(line)
        async with asyncio.timeout(60):
            return await self.reader.readline()

    async def rest(self) -> bytes:
        """What comes until the other side ends it."""
        async with asyncio.timeout(60):
            with suppress(ConnectionResetError):
                return await self.reader.read()
        return b""


class Party:
    """A server of such connections, and all who connected."""

    def __init__(self, limiter: ConnectionLimiter, port: int) -> None:
        self.limiter, self.port = limiter, port
        self.clients: list[Client] = []

    async def client(self, address: str = "127.0.0.1") -> Client:
        self.clients.append(Client(*await asyncio.open_connection("127.0.0.1", self.port, local_addr=(address, 0))))
        return self.clients[-1]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 - the loop hears of sockets by and by
                await asyncio.sleep(0.01)


@asynccontextmanager
async def talking(
    limits: ConnectionLimits, *, is_spent: Callable[[str], bool] = lambda _: False, proxies: str = ""
) -> AsyncIterator[Party]:
    networks = [ip_network(proxies)] if proxies else []
    limiter = ConnectionLimiter(limits, is_spent=is_spent, spent_answer=SPENT, full_answer=FULL, proxies=networks)
    server = await asyncio.get_running_loop().create_server(lambda: limiter.protocol(Talker), "127.0.0.1", 0)
    async with server:
        party = Party(limiter, server.sockets[0].getsockname()[1])
        yield party
        limiter.close()
        for each in party.clients:
            each.writer.close()
            with suppress(ConnectionError):
                await each.writer.wait_closed()


async def test_s9_one_address_has_a_share_of_the_connections_and_the_others_the_rest() -> None:
    async with talking(ConnectionLimits(total=5, by_address=3)) as party:
        mine = [await party.client() for _ in range(3)]
        assert [await each.ask(b"hold?\n") for each in mine] == [b"hold?\n"] * 3
        more = await party.client()
        assert await more.ask(b"hi\n") == b"hi\n"
        assert await mine[0].rest() == b""  # idle for longest, it has made room
        other = await party.client("127.0.0.2")
        assert await other.ask(b"hi\n") == b"hi\n"
        assert await mine[1].ask(b"still here\n") == b"still here\n"


async def test_s9_a_connection_with_a_request_under_way_makes_no_room() -> None:
    """Whoever is one too many is told so."""
    async with talking(ConnectionLimits(by_address=2, total=4)) as party:
        busy = [await party.client() for _ in range(2)]
        for each in busy:
            each.writer.write(b"hold\n")
        await party.until(lambda: not party.limiter._idle)
        assert await (await party.client()).rest() == FULL
        assert await (await party.client("127.0.0.2")).ask(b"hi\n") == b"hi\n"


async def test_s9_a_proxy_is_no_sender() -> None:
    """It stands for all of its clients: only the total is for it."""
    async with talking(ConnectionLimits(total=6, by_address=1), proxies="127.0.0.1/32") as party:
        clients = [await party.client() for _ in range(6)]
        assert [await each.ask(b"hi\n") for each in clients] == [b"hi\n"] * 6


async def test_s9_who_may_ask_for_nothing_now_is_answered_without_being_read() -> None:
    spent = set[str]()
    async with talking(ConnectionLimits(), is_spent=spent.__contains__) as party:
        kept = await party.client()
        assert await kept.ask(b"hi\n") == b"hi\n"
        spent.add("127.0.0.1")
        for each in (kept, await party.client()):
            each.writer.write(b"hi\n")
            assert await each.rest() == SPENT


async def test_s9_a_client_that_does_not_read_its_answer_is_left() -> None:
    """Its answer would be kept for it for ever."""
    async with talking(ConnectionLimits(stall_seconds=0.2)) as party:
        client = await party.client()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]  # - as one that is slow on purpose
        client.writer.write(b"much\n")
        await party.until(lambda: bool(party.limiter._open))
        await party.until(lambda: not party.limiter._open)


async def test_a_client_that_reads_slowly_but_reads_gets_its_answer() -> None:
    async with talking(ConnectionLimits(stall_seconds=30)) as party:
        client = await party.client()
        client.writer.write(b"much\n")
        async with asyncio.timeout(120):
            assert len(await client.reader.readexactly(50_000_000)) == 50_000_000


async def test_nothing_is_remembered_of_connections_that_are_gone() -> None:
    async with talking(ConnectionLimits()) as party:
        clients = [await party.client() for _ in range(20)]
        for each in clients[:10]:
            await each.ask(b"hi\n")
        for each in clients:
            each.writer.close()
        await party.until(lambda: not (party.limiter._open or party.limiter._idle or party.limiter._of))


@given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
def test_s9_a_network_of_ipv6_is_one_sender(address: IPv6Address, host: int) -> None:
    """One customer has 2^64 addresses."""
    neighbour = IPv6Address(int(address) >> 64 << 64 | host)
    if address.ipv4_mapped is None and neighbour.ipv4_mapped is None:
        assert sender_of(str(address)) == sender_of(str(neighbour))
    assert sender_of(f"{address}%eth0") == sender_of(str(address))


@given(st.ip_addresses(v=4))
def test_s9_an_address_of_ipv4_is_one_sender_in_both_spellings(address: IPv4Address) -> None:
    assert sender_of(str(address)) == sender_of(f"::ffff:{address}") == str(address)


@pytest.mark.parametrize("text", ["", "unknown", "a b"])
def test_what_is_no_address_is_itself(text: str) -> None:
    assert sender_of(text) == text
