"""A lean streaming client: sends one chat request and notes when its tokens arrive.

Its own HTTP/1.1 on asyncio (`connection.py`), because a general client costs milliseconds a request when many streams
begin together, and those would be measured as the server's. Used by `controlplane.profiles.load` only.
"""

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from controlplane.profiles.connection import Connection, LoadResponse
from profiles.errors import Malformed
from profiles.samples import LoadSample


@dataclass(frozen=True, slots=True)
class LoadEndpoint:
    """Where an OpenAI-compatible server listens."""

    host: str
    port: int
    path: str
    """Up to and with `/v1`."""
    secure: bool
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, url: str, headers: tuple[tuple[str, str], ...] = ()) -> "LoadEndpoint":
        """Read `http://127.0.0.1:8000/v1`. Raises `Malformed`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as wrong:
            raise Malformed(f"--url: {url!r} is not a URL: {wrong}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Malformed(f"--url: {url!r} must look like http://127.0.0.1:8000/v1")
        path = parts.path.rstrip("/").removesuffix("/chat/completions")
        return cls(
            parts.hostname, port or (443 if parts.scheme == "https" else 80), path, parts.scheme == "https", headers
        )

    def request(self, method: str, path: str, body: bytes = b"") -> bytes:
        """A whole request, ready to be written."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        lines = [
            f"{method} {self.path}{path} HTTP/1.1",
            f"host: {host}:{self.port}",
            "accept: text/event-stream, application/json",
        ]
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += ["content-type: application/json", f"content-length: {len(body)}"] if body else []
        return "\r\n".join([*lines, "", ""]).encode() + body


class Client:
    """Keeps idle connections for reuse, and turns answers into samples."""

    def __init__(self, endpoint: LoadEndpoint, clock: Callable[[], float], stall_seconds: float) -> None:
        self._endpoint = endpoint
        self._clock = clock
        self._stall = stall_seconds
        self._idle: list[Connection] = []
        self._context = ssl.create_default_context() if endpoint.secure else None

    @property
    def address(self) -> str:
        """`host:port` of the endpoint."""
        return f"{self._endpoint.host}:{self._endpoint.port}"

    async def connection(self) -> Connection:
        """An idle connection, or a new one. Raises `OSError`."""
        while self._idle:
            found = self._idle.pop()
            if found.open:
                return found
        loop = asyncio.get_running_loop()
        where = (self._endpoint.host, self._endpoint.port)
        _, made = await loop.create_connection(lambda: Connection(self._clock), *where, ssl=self._context)
        return made

    async def ask(self, body: bytes, due: float) -> LoadSample:
        """Send one chat request; failures are kinds of a sample, never exceptions."""
        try:
            async with asyncio.timeout(self._stall):
                connection = await self.connection()
        except TimeoutError:
            return LoadSample(due, due, None, None, 0, 0, "no connection in time")
        except OSError as wrong:
            return LoadSample(
                due, due, None, None, 0, 0, f"connection failed: {wrong.strerror or type(wrong).__name__}"
            )
        sent = self._clock()
        done = connection.send(self._endpoint.request("POST", "/chat/completions", body))
        try:
            await self._until(done, connection)
        except asyncio.CancelledError:
            connection.close()
            raise
        answer = connection.answer
        if connection.open and not answer.error:
            self._idle.append(connection)
        return sample(answer, due, sent)

    async def get(self, path: str) -> Any:
        """The JSON of a GET; raises `OSError` or `ValueError` when there is none."""
        async with asyncio.timeout(self._stall):
            connection = await self.connection()
            await connection.send(self._endpoint.request("GET", path))
        answer = connection.answer
        connection.close()
        if answer.status != 200:
            raise ValueError(f"GET {path} answered {answer.status or answer.error}")
        return json.loads(bytes(answer.text))

    async def _until(self, done: "asyncio.Future[None]", connection: Connection) -> None:
        """Wait for the end of the answer, or for a silence that is too long."""
        while not done.done():
            left = connection.touched + self._stall - self._clock()
            if left <= 0:
                connection.answer.error = "stalled"
                connection.close()
                return
            await asyncio.wait([done], timeout=left)

    def close(self) -> None:
        """Drop the idle connections."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def sample(answer: LoadResponse, due: float, sent: float) -> LoadSample:
    """An answer as a sample, with its failure by kind."""
    usage = answer.usage
    tokens = int(usage.get("completion_tokens") or answer.events)
    details = usage.get("prompt_tokens_details") or {}
    return LoadSample(
        due=due,
        sent=sent,
        first=answer.arrivals[0] if answer.arrivals else None,
        last=answer.arrivals[-1] if answer.arrivals else None,
        tokens=tokens,
        prompt_tokens=int(usage.get("prompt_tokens") or 0),
        failure=failure(answer),
        counted="completion_tokens" in usage,
        cached_tokens=int(details.get("cached_tokens") or 0),
    )


def failure(answer: LoadResponse) -> str:
    """What went wrong, in the words of the report; empty when nothing did."""
    if answer.status and answer.status != 200:
        return f"status {answer.status}"
    if answer.error:
        return answer.error
    if "text/event-stream" not in answer.headers.get("content-type", ""):
        return "no stream"
    if not answer.finished:
        return "cut"
    return "" if answer.arrivals else "no tokens"
