"""A small model server: OpenAI-compatible, with vLLM's metrics, and as slow or broken as its knobs say.

Run as `python -m controlplane.sample.server --port 9001` or `serinus server`; the demo, the benchmarks and the tests
start it as both variants. It pretends to think and never does: no model is loaded. Standard library only, so that it
starts at once.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import TextIO

from controlplane.adapters.connection_limiter import ConnectionLimiter, ConnectionLimits, LimitedConnection
from controlplane.sample import http1, protocol
from controlplane.sample.engine import ClientGoneError, EngineError, SampleEngine
from controlplane.sample.http1 import HttpError, Request, SampleResponse
from controlplane.sample.knobs import Knobs
from controlplane.sample.metrics import ServerMetrics

LIMITS = ConnectionLimits(total=4000, by_address=4000, idle_seconds=http1.IDLE_SECONDS)
"""A router is one address, and has a connection for each answer that is on its way."""
DRAIN_QUIET_SECONDS = 0.25
"""After TERM, how long a connection may stay silent before it is closed: a request may be on its way."""
PROXY_HEADERS = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-envoy-expected-rq-timeout-ms", "via", "origin"})
UNCOUNTED = frozenset({"/health", "/metrics", "/v2/health/live", "/v2/health/ready"})
"""Paths whose requests are no traffic, and are not counted as such."""
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class ModelServer:
    """Routes requests, keeps count of connections, and drains."""

    def __init__(
        self,
        *,
        name: str,
        model: str,
        knobs: Knobs,
        slots: int = 256,
        never_ready: bool = False,
        drain_quiet: float = DRAIN_QUIET_SECONDS,
        chance: random.Random,
        time: Callable[[], float] = time.perf_counter,
        started_at: float = 0.0,
    ) -> None:
        self.name = name
        self.model = model
        self.metrics = ServerMetrics(model, started_at)
        self.engine = SampleEngine(knobs, self.metrics, slots=slots, chance=chance, time=time)
        self.started_at = started_at
        self._never_ready = never_ready
        self._drain_quiet = drain_quiet
        self._draining = False
        self._connections: dict[asyncio.Task[None], bool] = {}
        """Open connections, and whether each is in the middle of an answer."""
        self._routes: dict[str, tuple[str, Callable[[Request, SampleResponse], Awaitable[None]]]] = {
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/models": ("GET", self._models),
            "/health": ("GET", self._health),
            "/v2/health/live": ("GET", self._live),
            "/v2/health/ready": ("GET", self._health),
            f"/v2/models/{model}/ready": ("GET", self._health),
            f"/v2/models/{model}/infer": ("POST", self._infer),
            "/metrics": ("GET", self._metrics),
        }

    async def serve(
        self,
        host: str,
        port: int,
        stop: asyncio.Event,
        listening: Callable[[int], None],
        limits: ConnectionLimits = LIMITS,
    ) -> None:
        """Answer until `stop` is set, then finish what has begun. `listening` learns the port."""
        loop = asyncio.get_running_loop()
        limiter = ConnectionLimiter(limits)

        def stream(_connection: LimitedConnection) -> asyncio.Protocol:
            reader = asyncio.StreamReader(limit=http1.MAX_HEAD_BYTES, loop=loop)
            return asyncio.StreamReaderProtocol(reader, self._converse, loop=loop)

        server = await loop.create_server(lambda: limiter.protocol(stream), host, port, backlog=1024)
        listening(server.sockets[0].getsockname()[1])
        await stop.wait()
        self._draining = True
        server.close()
        await asyncio.sleep(self._drain_quiet)
        for task, busy in self._connections.items():
            if not busy:
                task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        limiter.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection, one after the other."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._connections[task] = False
        try:
            while await self._answer_next(task, reader, writer):
                self._connections[task] = False
                await writer.drain()
        except (ConnectionError, ClientGoneError, asyncio.CancelledError):
            pass  # the client has gone, or the server is leaving and the connection was idle
        finally:
            del self._connections[task]
            writer.close()

    async def _answer_next(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Read a request and answer it; False when the connection has served its time."""
        try:
            request = await http1.read_request(reader, writer)
        except http1.UnreadableError as error:
            answer = SampleResponse(reader, writer, served_by=self.name, keep_alive=False)
            answer.reply(error.status, _json(error.body()))
            self.metrics.http["none", "none", f"{error.status // 100}xx"] += 1
            return False
        if request is None:
            return False
        self._connections[task] = True
        connection = writer.transport.get_protocol()
        if not isinstance(connection, LimitedConnection):
            raise TypeError("a connection of ours is limited")
        connection.began()
        try:
            return await self._answer(request, reader, writer)
        finally:
            connection.ended()

    async def _answer(self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer a request; whether the connection may take another."""
        began = self.engine.time()
        keep_alive = request.keep_alive and not self._draining
        answer = SampleResponse(reader, writer, served_by=self.name, keep_alive=keep_alive)
        handler = request.path if request.path in self._routes else "none"
        try:
            await self._route(request, answer, local=_asked_directly(request, writer))
        except HttpError as error:
            answer.reply(error.status, _json(error.body()))
        except EngineError:
            answer.reply(500, _json(HttpError(500, "Internal server error", kind="InternalServerError").body()))
        finally:
            if answer.status and handler not in UNCOUNTED:
                self.metrics.http[handler, request.method, f"{answer.status // 100}xx"] += 1
                self.metrics.http_latency.observe(self.engine.time() - began)
                if tenant := _tenant(request):
                    theirs = self.metrics.of_tenant(tenant)
                    theirs.requests[f"{answer.status // 100}xx"] += 1
                    theirs.latency.observe(self.engine.time() - began)
        return keep_alive

    async def _route(self, request: Request, answer: SampleResponse, *, local: bool) -> None:
        if request.path == "/knobs":
            self._knobs(request, answer, local=local)
            return
        if request.path not in self._routes:
            raise HttpError(404, f"There is nothing at {request.path}.")
        method, handle = self._routes[request.path]
        if request.method != method:
            raise HttpError(405, f"{request.path} is asked by {method}, not by {request.method}.")
        await handle(request, answer)

    async def _chat(self, request: Request, answer: SampleResponse) -> None:
        chat = protocol.read_chat(request.body, self.model)
        base = {"id": self._new_id(), "created": int(time.time()), "model": self.model}
        async with self.engine.generation(chat, _tenant(request)) as generation:
            await generation.first_token()
            if not chat.stream:
                await generation.rest()
                if answer.client_gone:
                    raise ClientGoneError
                generation.finish()
                completion = protocol.completion(base, chat, generation.tokens, generation.finish_reason)
                answer.reply(200, _json(completion))
                return
            answer.start_stream()
            answer.hold(_json(protocol.chunk(base, {"role": "assistant", "content": ""})))
            for index in range(generation.tokens - 1):
                await answer.send(_json(protocol.chunk(base, {"content": protocol.word(index)})))
                await generation.next_token()
            last = {"content": protocol.word(generation.tokens - 1)}
            answer.hold(_json(protocol.chunk(base, last, generation.finish_reason)))
            if chat.include_usage:
                answer.hold(_json(protocol.usage_chunk(base, chat, generation.tokens)))
            answer.hold(b"[DONE]")
            await answer.end_stream()
            generation.finish()

    async def _infer(self, request: Request, answer: SampleResponse) -> None:
        chat = protocol.read_infer(request.body)
        async with self.engine.generation(chat, _tenant(request)) as generation:
            await generation.first_token()
            await generation.rest()
            generation.finish()
            answer.reply(200, _json(protocol.inference(self._new_id(), self.model, generation.tokens)))

    async def _models(self, _: Request, answer: SampleResponse) -> None:
        model = {
            "id": self.model,
            "object": "model",
            "created": int(self.started_at),
            "owned_by": "serinus",
            "max_model_len": protocol.MAX_CONTEXT_TOKENS,
        }
        answer.reply(200, _json({"object": "list", "data": [model]}))

    async def _health(self, _: Request, answer: SampleResponse) -> None:
        if self._never_ready or self._draining:
            raise HttpError(503, "draining" if self._draining else "the model is still loading")
        answer.reply(200, _json({"name": self.name, "ready": True}))

    async def _live(self, _: Request, answer: SampleResponse) -> None:
        answer.reply(200, _json({"live": True}))

    async def _metrics(self, _: Request, answer: SampleResponse) -> None:
        answer.reply(200, self.metrics.page().encode(), METRICS_TYPE)

    def _knobs(self, request: Request, answer: SampleResponse, *, local: bool) -> None:
        if not local:
            raise HttpError(403, "Knobs are turned from this machine only, and not through a proxy.")
        if request.method == "POST":
            try:
                self.engine.knobs = self.engine.knobs.changed(protocol.read_json(request.body))
            except ValueError as error:
                raise HttpError(400, f"{error}. No knob was turned.") from None
        answer.reply(200, _json(self.engine.knobs.as_dict()))

    def _new_id(self) -> str:
        return f"chatcmpl-{self.engine.chance.getrandbits(64):016x}"


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _tenant(request: Request) -> str:
    """Whose request it is, if it says so."""
    return request.headers.get("x-tenant", "")[:64]


def _asked_directly(request: Request, writer: asyncio.StreamWriter) -> bool:
    """Whether the request comes from this machine and through no proxy or web page."""
    peer = writer.get_extra_info("peername")
    return peer is not None and ip_address(peer[0]).is_loopback and PROXY_HEADERS.isdisjoint(request.headers)


def _kpi(text: str) -> tuple[str, float]:
    name, equals, share = text.partition("=")
    try:
        if name and equals:
            return name, float(share)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected NAME=SHARE such as conversion=0.2, got {text!r}")


def read_flags(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The flags; leaves with exit code 2 and a sentence when they cannot be understood."""
    default = Knobs()
    parser = argparse.ArgumentParser(prog="serinus server", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--port", type=int, default=8001, help="where to listen; 0 picks a free port and prints it (default 8001)")
    add("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    add("--name", default="sample", help="the variant's name, sent as x-served-by (default sample)")
    add("--model", default="sample-llm", help="the served model's name (default sample-llm)")
    add("--ttft", type=float, default=default.ttft, help="seconds to the first token (default %(default)s)")
    add("--itl", type=float, default=default.itl, help="seconds between tokens (default %(default)s)")
    add("--tokens", type=int, default=default.tokens, help="tokens of an answer (default %(default)s)")
    add("--jitter", type=float, default=default.jitter, help="spread of both times, log-normal (default %(default)s)")
    add("--error-rate", type=float, default=0.0, help="share of answers that are a 500 (default 0)")
    add("--truncated", type=float, default=0.0, help="share of answers that end in the middle (default 0)")
    add("--kpi", type=_kpi, action="append", default=[], metavar="NAME=SHARE", help="a KPI and its share of events")
    add("--readers", type=int, default=1, help="people who read an answer and make up their mind (default 1)")
    add("--slots", type=int, default=256, help="requests answered at a time; others wait (default 256)")
    add("--start-up", type=float, default=0.0, help="seconds before the port opens (default 0)")
    add("--never-ready", action="store_true", help="listen, but never become healthy")
    add("--crash-after", type=float, help="leave with exit code 1 after so many seconds")
    add("--seed", type=int, default=0, help="seed of everything random (default 0)")
    flags = parser.parse_args(argv)
    try:
        flags.knobs = Knobs(
            flags.ttft,
            flags.itl,
            flags.tokens,
            flags.jitter,
            flags.error_rate,
            dict(flags.kpi),
            flags.readers,
            truncated=flags.truncated,
        )
    except ValueError as error:
        parser.error(str(error))
    if flags.slots < 1:
        parser.error(f"--slots is a whole number from 1, got {flags.slots}")
    return flags


async def run(flags: argparse.Namespace) -> None:
    """Serve until TERM or Ctrl-C. Raises `OSError` when the port cannot be had."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):  # Windows has no such handlers: Ctrl-C leaves without draining there
            loop.add_signal_handler(signal_number, stop.set)
    if flags.crash_after is not None:
        loop.call_later(flags.crash_after, _crash, flags.name, flags.crash_after)
    with suppress(TimeoutError):
        async with asyncio.timeout(flags.start_up):
            await stop.wait()
            return  # told to leave before it was ready
    server = ModelServer(
        name=flags.name,
        model=flags.model,
        knobs=flags.knobs,
        slots=flags.slots,
        never_ready=flags.never_ready,
        chance=random.Random(flags.seed),  # noqa: S311 - a pretended latency, not a secret
        started_at=time.time(),
    )

    def say(port: int) -> None:
        _say(f"{flags.name} serves {flags.model} at http://{flags.host}:{port}", sys.stdout)

    await server.serve(flags.host, flags.port, stop, say)


def _say(line: str, stream: TextIO) -> None:
    stream.write(f"{line}\n")
    stream.flush()


def _crash(name: str, seconds: float) -> None:
    _say(f"{name} crashes after {seconds:g} s, as it was told to", sys.stderr)
    os._exit(1)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; returns the exit code: 0 when told to leave, 1 when the port cannot be had."""
    flags = read_flags(argv)
    try:
        asyncio.run(run(flags))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        _say(f"cannot listen on {flags.host}:{flags.port}: {reason}", sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
