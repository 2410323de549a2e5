"""Sends requests at a steady rate to a server on this machine and counts what becomes of them, by variant.

Open loop: the next request is due when it is due, however slow the answers are, as with real users. Used by the demo
(as a process of its own: `python -m controlplane.sample.load --port 8080`), by the benchmarks and by tests. It judges
nothing, and it refuses to load another machine.
"""

import argparse
import asyncio
import json
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from time import time
from typing import Any, Literal

from controlplane.sample.connection import Reply, SampleConnection

MODEL_ERROR = 500
"""From this status on an answer is a failure."""


@dataclass(slots=True)
class VariantStats:
    """Answers of one variant; its name is the router's `x-serinus-variant`."""

    answers: int = 0
    failures: int = 0
    """Answers of the variant itself with a status from 500."""
    latency_sum: float = 0.0
    """Seconds, over all answers."""
    last_sent: float = 0.0
    """When the newest request that this variant answered was sent (seconds since the epoch)."""


@dataclass(slots=True)
class Stats:
    """What became of the requests so far."""

    sent: int = 0
    variants: dict[str, VariantStats] = field(default_factory=dict)
    lost: Counter[str] = field(default_factory=Counter)
    """Requests that no variant answered, by kind: `connection`, `timeout`, or the proxy's own `503` and the like."""
    unsent: int = 0
    """Requests that were due while `max_open` others were open: never sent, so not failed."""

    @property
    def answered(self) -> int:
        """Requests that a variant answered, well or badly."""
        return sum(v.answers for v in self.variants.values())

    @property
    def failures(self) -> int:
        """Answers of the variants themselves that were failures."""
        return sum(v.failures for v in self.variants.values())

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"lost": dict(self.lost)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "Stats":
        """What `as_dict` gave."""
        variants = {name: VariantStats(**v) for name, v in data["variants"].items()}
        return cls(data["sent"], variants, Counter(data["lost"]), data["unsent"])


def chat_request(host: str, port: int, model: str, max_tokens: int | None = None, tenant: str = "") -> bytes:
    """A small chat request, ready to be sent; `tenant` says whose it is, in the header `x-tenant`."""
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Where is my order?"}]}
    if max_tokens is not None:
        body["max_tokens"] = max_tokens
    data = json.dumps(body).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-type: application/json\r\n"
    head += f"x-tenant: {tenant}\r\n" if tenant else ""
    return head.encode() + b"content-length: %d\r\n\r\n" % len(data) + data


class SampleLoad:
    """So many requests a second, until told to stop; `stats` can be read at any time."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        rate: float,
        model: str = "sample-llm",
        tenant: str = "",
        arrivals: Literal["poisson", "even"] = "poisson",
        max_open: int = 512,
        timeout: float = 10.0,
        chance: random.Random | None = None,
        now: Callable[[], float] = time,
    ) -> None:
        if not ip_address(host).is_loopback:
            raise ValueError(f"the load stays on this machine: {host} is not a loopback address")
        if not rate > 0:
            raise ValueError(f"the rate is a positive number of requests a second, got {rate}")
        self.stats = Stats()
        self._address = host, port
        self._rate = rate
        self._arrivals = arrivals
        self._request = chat_request(host, port, model, tenant=tenant)
        self._max_open = max_open
        self._timeout = timeout
        self._chance = chance or random.Random(0)  # noqa: S311 - arrival times, not a secret
        self._now = now
        self._idle: list[SampleConnection] = []
        self._open = 0

    async def run(self, stop: asyncio.Event) -> Stats:
        """Send until `stop` is set, then wait for the answers still open."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        async with asyncio.TaskGroup() as open_requests:
            while not stop.is_set():
                now = loop.time()
                while due <= now:
                    if self._open < self._max_open:
                        self._open += 1
                        open_requests.create_task(self._send())
                    else:
                        self.stats.unsent += 1
                    due += self._gap()
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, due - loop.time())):
                        await stop.wait()
        for connection in self._idle:
            connection.close()
        return self.stats

    def _gap(self) -> float:
        return self._chance.expovariate(self._rate) if self._arrivals == "poisson" else 1 / self._rate

    async def _send(self) -> None:
        sent, loop = self._now(), asyncio.get_running_loop()
        began = loop.time()
        self.stats.sent += 1
        try:
            async with asyncio.timeout(self._timeout):
                reply = await self._ask()
        except TimeoutError:
            self.stats.lost["timeout"] += 1
        except OSError:
            self.stats.lost["connection"] += 1
        else:
            self._count(reply, sent, loop.time() - began)
        finally:
            self._open -= 1

    async def _ask(self) -> Reply:
        connection = await self._connection()
        reply = await connection.ask(self._request)
        if connection.usable:
            self._idle.append(connection)
        return reply

    async def _connection(self) -> SampleConnection:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable:
                return connection
        _, fresh = await asyncio.get_running_loop().create_connection(SampleConnection, *self._address)
        return fresh

    def _count(self, reply: Reply, sent: float, latency: float) -> None:
        failed = reply.status >= MODEL_ERROR
        if failed and not reply.served_by:
            self.stats.lost[str(reply.status)] += 1  # the proxy's own words: no variant was reached
            return
        variant = self.stats.variants.setdefault(reply.variant, VariantStats())
        variant.answers += 1
        variant.failures += failed
        variant.latency_sum += latency
        variant.last_sent = max(variant.last_sent, sent)


async def report(load: SampleLoad, every: float, stop: asyncio.Event) -> None:
    """Print the stats as a line of JSON every so many seconds, and at the end."""
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has no such handlers
            loop.add_signal_handler(signal_number, stop.set)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(load.run(stop))
        while not running.done():
            await asyncio.wait([running], timeout=every)
            sys.stdout.write(f"{json.dumps(load.stats.as_dict())}\n")
            sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Load a server until TERM or Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m controlplane.sample.load", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="where the router or server listens")
    parser.add_argument("--host", default="127.0.0.1", help="a loopback address (default 127.0.0.1)")
    parser.add_argument("--rate", type=float, default=300.0, help="requests a second (default 300)")
    parser.add_argument("--model", default="sample-llm", help="the served model's name (default sample-llm)")
    parser.add_argument("--arrivals", choices=("poisson", "even"), default="poisson", help="default poisson")
    parser.add_argument("--report", type=float, default=1.0, help="seconds between lines of stats (default 1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the arrivals (default 0)")
    flags = parser.parse_args(argv)
    try:
        load = SampleLoad(
            flags.host,
            flags.port,
            rate=flags.rate,
            model=flags.model,
            arrivals=flags.arrivals,
            chance=random.Random(flags.seed),  # noqa: S311 - arrival times, not a secret
        )
    except ValueError as error:
        parser.error(str(error))
    asyncio.run(report(load, flags.report, asyncio.Event()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
