"""S9 on the real server: what is not genuine, new, small and about the branch moves nothing and costs little.

Deliveries go over HTTP to the listener as `serinus controller --webhook` opens it.
"""

import asyncio
import gc
import os
import time
import tracemalloc
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx2
import pytest

from canary.errors import BadInput
from controlplane.adapters.connection_limiter import LIMITS, ConnectionLimits
from controlplane.adapters.dial_policy import networks_of
from controlplane.adapters.http_listener import RequestLimits, listen
from controlplane.gitops.listener import BODIES, BODIES_OF_ONE, BURST, REQUEST, SecretFile, WebhookListener, at_root
from controlplane.gitops.webhook import LARGEST
from tests.controlplane.gitops.deliveries import SECRET, push, signed

HOSTS = ["github", "gitea", "gitlab", "gitlab token", "standard"]


class Door:
    """A listener that is open, and how often it let the branch be looked at."""

    def __init__(self, secret: Path, proxies: str = "") -> None:
        self.fetches = 0
        self.now = time.time()
        self.port = 0
        self.client: httpx2.AsyncClient
        self._secret, self._proxies = secret, networks_of(proxies)

    @asynccontextmanager
    async def open(self, limits: ConnectionLimits = LIMITS, request: RequestLimits = REQUEST) -> AsyncIterator["Door"]:
        """Listen on a free port."""

        async def fetch() -> None:
            self.fetches += 1

        find = at_root(SecretFile(self._secret), "main", fetch)
        listening = listen("127.0.0.1:0")
        self.port = listening.getsockname()[1]
        async with asyncio.TaskGroup() as tasks:
            listener = WebhookListener(find, clock=lambda: self.now, monotonic=lambda: self.now, proxies=self._proxies)
            serving = tasks.create_task(listener.serve(listening, limits=limits, request=request))
            url = f"http://127.0.0.1:{self.port}"
            async with httpx2.AsyncClient(base_url=url, timeout=60) as self.client:
                yield self
            serving.cancel()

    async def send(self, headers: dict[str, str], body: bytes, path: str = "/") -> int:
        """The status that a delivery is answered with; each comes a second after the one before."""
        self.now += 1
        return (await self.client.post(path, headers=headers, content=body)).status_code

    async def deliver(self, host: str, body: bytes, *, id_: str = "msg_1", late: float = 0.0) -> int:
        """Send it as this host does."""
        return await self.send(signed(host, body, at=self.now - late, id_=id_), body)


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n")
    return file


@pytest.fixture
async def door(secret: Path) -> AsyncIterator[Door]:
    async with Door(secret).open() as opened:
        yield opened


@pytest.mark.parametrize("host", HOSTS)
async def test_s9_a_genuine_push_lets_the_branch_be_looked_at_once(door: Door, host: str) -> None:
    """Each host signs in its own way; the same delivery again is answered, and moves nothing."""
    body = push(host)
    headers = signed(host, body, at=door.now)
    assert await door.send(headers, body) == 202
    assert door.fetches == 1
    assert await door.send({**headers, "X-GitHub-Delivery": "another"}, body) == 200
    assert door.fetches == 1


@pytest.mark.parametrize("host", HOSTS)
async def test_s9_what_is_not_genuine_moves_nothing(door: Door, host: str) -> None:
    """A missing, short, foreign or misplaced signature, and one over another body."""
    body = push(host)
    genuine = signed(host, body, at=door.now)
    short = {name: value[:-1] if "ignature" in name or "Token" in name else value for name, value in genuine.items()}
    foreign = signed(host, body, at=door.now, secret="another secret, long enough")
    for headers in ({"Content-Type": "application/json"}, short, foreign):
        assert await door.send(headers, body) == 401
    if host != "gitlab token":  # which signs nothing
        assert await door.send(genuine, body + b" ") == 401
    assert door.fetches == 0


@pytest.mark.parametrize("host", ["gitlab", "standard"])
async def test_s9_a_late_signature_moves_nothing(door: Door, host: str) -> None:
    """Nor does one from the future. Only these hosts sign a time."""
    for late in (302.0, -302.0):
        assert await door.deliver(host, push(host), late=late) == 401
    assert door.fetches == 0


async def test_s9_a_body_of_a_mebibyte_and_a_byte_is_not_read(door: Door) -> None:
    """Said beforehand or sent in pieces without a length; one of exactly a mebibyte is taken."""
    large = b'{"ref": "refs/heads/main", "x": "' + b"x" * LARGEST
    assert await door.deliver("github", large[: LARGEST + 1]) == 413

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(17):
            yield b"x" * 65536

    assert (await door.client.post("/", headers=signed("github", b"", at=0), content=pieces())).status_code == 413
    whole = large[: LARGEST - 2] + b'"}'
    assert len(whole) == LARGEST
    assert await door.deliver("github", whole) == 202
    assert door.fetches == 1


async def test_s9_another_content_type_method_path_branch_or_event_moves_nothing(door: Door) -> None:
    """Each is answered in its own way, so that a person who sets a webhook up learns what is wrong."""
    form = signed("github", b"payload=x", at=door.now) | {"Content-Type": "application/x-www-form-urlencoded"}
    assert await door.send(form, b"payload=x") == 415
    assert (await door.client.get("/")).status_code == 405
    assert await door.send(signed("github", push("github"), at=door.now), push("github"), path="/other") == 404
    assert await door.deliver("github", push("github", ref="refs/heads/else")) == 200
    assert await door.deliver("github", push("github", ref="refs/tags/main")) == 200
    assert await door.deliver("github", b'{"zen": "Keep it logically awesome.", "hook_id": 1}') == 200
    assert await door.deliver("github", b"[" * 5000) == 400
    assert door.fetches == 0


async def test_s9_a_flood_fetches_nothing_breaks_nothing_and_fills_no_memory(door: Door) -> None:
    """Thousands of forged deliveries at once: no fetch, no 5xx; and once it is over, the genuine one is taken."""
    body = push("github")
    headers = signed("github", body, at=door.now, secret="another secret, long enough")
    statuses: Counter[bytes] = Counter()
    lines = [f"{name}: {value}\r\n" for name, value in {**headers, "Host": "x", "Content-Length": len(body)}.items()]
    raw = f"POST / HTTP/1.1\r\n{''.join(lines)}Connection: close\r\n\r\n".encode() + body

    async def flood(count: int) -> None:
        for _ in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(raw)
            statuses[(await reader.read()).split(b" ", 2)[1]] += 1
            writer.close()

    async def memory_after(count: int) -> int:
        await asyncio.gather(*(flood(count // 10) for _ in range(10)))
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    few = await memory_after(200)
    many = await memory_after(1000)
    tracemalloc.stop()
    assert set(statuses) == {b"401", b"429"}
    assert statuses[b"401"] == BURST
    assert door.fetches == 0
    assert many - few < 64 * 1024
    door.now += 60
    assert await door.deliver("github", body) == 202
    assert door.fetches == 1


POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


async def test_s9_a_body_that_never_ends_is_not_waited_for(secret: Path) -> None:
    async with Door(secret).open(request=RequestLimits(body=LARGEST, body_seconds=0.05)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(POST + b"Content-Length: 100\r\n\r\n{")
        assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
        assert door.fetches == 0
        writer.close()


async def test_s9_reading_stops_at_the_limit_though_nobody_said_how_much_would_come(door: Door) -> None:
    """The sender has not finished, and would wait: the answer comes because the limit was passed, not at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(POST + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(LARGEST // 65536 + 1):
        writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        await writer.drain()
    assert (await reader.readline()).startswith(b"HTTP/1.1 413 ")
    assert door.fetches == 0
    writer.close()


async def test_s9_json_that_is_deeper_than_any_push_is_refused(door: Door) -> None:
    """Within the limit of size, and genuinely signed."""
    for text in (b"[" * 300, b"[" * (LARGEST - 1), b'{"ref":' * 1000):
        assert await door.deliver("github", text) == 400
    assert door.fetches == 0


async def test_s9_slow_bodies_of_one_sender_keep_no_other_out(secret: Path) -> None:
    """Behind a proxy that says who sends. All places would be taken, if one sender could have them all."""
    for_ever = RequestLimits(body=LARGEST, body_seconds=3600, answer_seconds=3600)
    async with Door(secret, "127.0.0.1/32").open(request=for_ever) as door:
        slow = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(2 * BODIES)]
        for _, writer in slow:
            writer.write(POST + b"X-Forwarded-For: 198.51.100.1\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
        # As many of them are asked to go on as may hold places at once.
        for reader, _ in slow[:BODIES_OF_ONE]:
            assert (await reader.readline()).startswith(b"HTTP/1.1 100 ")
        body = push("github")
        headers = signed("github", body, at=door.now) | {"X-Forwarded-For": "203.0.113.9"}
        assert await door.send(headers, body) == 202
        for _, writer in slow:
            writer.close()


def rotate(secret: Path) -> None:
    """Put another secret in its place."""
    secret.write_text("another secret, long enough")
    os.utime(secret, ns=(1, 1))


async def test_a_rotated_secret_counts_at_once(door: Door, secret: Path) -> None:
    """The old one does not any more; a file that cannot be read for a moment changes nothing."""
    rotate(secret)
    assert await door.deliver("github", push("github")) == 401
    os.remove(secret)  # noqa: PTH107 - pathlib's way is kept out of coroutines
    new = push("github")
    assert await door.send(signed("github", new, at=door.now, secret="another secret, long enough"), new) == 202


def test_a_secret_that_is_missing_or_short_opens_nothing(tmp_path: Path) -> None:
    async def fetch() -> None:
        raise AssertionError("nothing may be looked at")

    with pytest.raises(BadInput, match="cannot be read"):
        SecretFile(tmp_path / "none")
    (tmp_path / "short").write_text("short")
    with pytest.raises(BadInput, match="at least 16 characters"):
        at_root(SecretFile(tmp_path / "short"), "main", fetch)


async def closed(reader: asyncio.StreamReader) -> None:
    """Return once the other side has ended the connection."""
    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            await reader.read()


@pytest.mark.parametrize("after_a_first_request", [False, True])
@pytest.mark.parametrize("said", [b"", b"POST / HTTP/1.1\r\nx: ", POST])
async def test_s9_a_connection_that_says_nothing_or_never_ends_its_headers_is_closed(
    secret: Path, said: bytes, after_a_first_request: bool
) -> None:
    """Also one that was kept after an answer."""
    async with Door(secret).open(ConnectionLimits(idle_seconds=0.2)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        if after_a_first_request:
            writer.write(POST + b"Content-Length: 2\r\n\r\n{}")
            assert b" 401 " in await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        await closed(reader)
        writer.close()


async def test_s9_headers_that_trickle_in_do_not_keep_a_connection(secret: Path) -> None:
    async with Door(secret).open(ConnectionLimits(idle_seconds=0.2)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(POST)
        closing = asyncio.ensure_future(closed(reader))
        while not closing.done():
            with suppress(ConnectionError):
                writer.write(b"x: y\r\n")
                await writer.drain()
            await asyncio.wait([closing], timeout=0.02)
        writer.close()


async def test_s9_a_body_that_nobody_wants_does_not_keep_a_connection(secret: Path) -> None:
    """It is answered before it has come, and what trickles in after that is no reason to stay."""
    async with Door(secret).open(ConnectionLimits(idle_seconds=0.2)) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 405 ")
        closing = asyncio.ensure_future(closed(reader))
        while not closing.done():
            with suppress(ConnectionError):
                writer.write(b"x")
                await writer.drain()
            await asyncio.wait([closing], timeout=0.02)
        writer.close()


async def test_s9_silent_connections_are_bounded_and_keep_nobody_out(secret: Path) -> None:
    """The one that has been silent for longest makes room; who speaks is heard."""
    async with Door(secret).open(ConnectionLimits(total=3)) as door:
        silent = [await asyncio.open_connection("127.0.0.1", door.port) for _ in range(5)]
        for reader, _ in silent[:2]:
            await closed(reader)
        assert await door.deliver("github", push("github")) == 202
        assert not silent[-1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_s9_whoever_sent_too_much_is_told_so_and_when_to_come_again(door: Door) -> None:
    """Also on a connection that was kept, and before anything of a new one is understood."""
    body = push("github")
    forged = signed("github", body, at=door.now, secret="another secret, long enough")
    answers = [await door.client.post("/", headers=forged, content=body) for _ in range(int(BURST) + 2)]
    assert [each.status_code for each in answers] == [401] * int(BURST) + [429] * 2
    for each in answers[-2:]:
        assert (each.headers["retry-after"], each.headers["connection"]) == ("5", "close")
        assert each.text == "Too many deliveries from this address.\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(b"what is no HTTP at all\r\n\r\n")
    assert (await reader.readline()) == b"HTTP/1.1 429 Too Many Requests\r\n"
    writer.close()
