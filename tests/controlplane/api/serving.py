"""The real server on a real port of this machine, in a thread of its own, for as long as a block lasts."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from controlplane.adapters.http_listener import listen
from controlplane.adapters.rate_limiter import RateLimiter
from controlplane.api import keys
from controlplane.api.door import KeyDoor
from controlplane.api.guard import BURST, RATE, Rules
from controlplane.api.keys import Keys
from controlplane.api.server import Server, opened
from tests.controlplane.adapters.waiting import PATIENCE_S


@dataclass(frozen=True, slots=True)
class Serving:
    """Where it listens and what opens it."""

    url: str
    keys: Keys
    home: Path
    stop: Callable[[], None]
    """Ask it to end, as Ctrl-C does."""

    def client(self, token: str | None = None) -> httpx2.Client:
        """A client with the token; with another one, or with none at all (empty)."""
        token = self.keys.token if token is None else token
        headers = {"authorization": f"Bearer {token}"} if token else {}
        # Plain HTTP: without `verify` no certificates are read for each client.
        return httpx2.Client(base_url=self.url, headers=headers, timeout=PATIENCE_S, verify=False)


def until(condition: Callable[[], bool]) -> None:
    """Return as soon as the condition holds, which another thread brings about; AssertionError when it never does."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, "it never became so"
        time.sleep(0.02)


@contextmanager
def serving(
    home: Path, *, read_only: bool = False, hosts: frozenset[str] = frozenset(), port: int = 0, burst: float = BURST
) -> Iterator[Serving]:
    """Serve this state directory, on any free port unless one is said; each address may ask `burst` times at once."""
    secret = keys.load_or_create(home, keep=True)
    bound = listen(f"127.0.0.1:{port}")
    started, servers = threading.Event(), list[Server]()

    async def serve() -> None:
        rate = RateLimiter(burst, RATE if burst == BURST else 0.0)
        rules = Rules(KeyDoor(secret, "ada"), read_only, hosts, rate=rate)
        async with opened(home, rules, now=time.time) as server:
            servers.append(server)
            started.set()
            await server.serve(sockets=[bound])

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="dashboard under test")
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        host, listens = bound.getsockname()[:2]
        yield Serving(f"http://{host}:{listens}", secret, home, stop)
    finally:
        stop()
        thread.join(PATIENCE_S)
        bound.close()
        assert not thread.is_alive()
