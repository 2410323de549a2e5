"""Everything beyond a cluster in memory: names, web servers and git hosts, and a record of all that is sent to them.

Used by `shared_cluster.py`. Stands below every client of ours, where the operating system would stand: names are looked
up here, connections of httpx2 end here, and calls of git too. Servers may hang, drip and send without end; time is the
loop's.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pytest

from controlplane.gitops.git import Git, GitFailed, GitFailureKind
from controlplane.simulation.clock import VirtualLoop

T = TypeVar("T")
PUBLIC = "93.184.216.34"
NAMES = {"localhost": "127.0.0.1"}
"""Addresses by name. Names that begin so are answered so: `metadata.` by the metadata service, `private.` in a network
of ours; every other name is a public address."""
METADATA = "169.254.169.254"
PRIVATE = "10.20.30.40"


@dataclass(frozen=True, slots=True)
class Sent:
    """One request that left the operator."""

    host: str
    """As its `Host` header says, without the port."""
    dialled: str
    """The name or address that was connected to."""
    method: str
    path: str
    """With its query."""
    text: str
    """Headers and body: all that somebody could read out of it."""
    form: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a server answers."""

    body: str = ""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    """Seconds until it begins to answer."""
    pause: float = 0.0
    """Seconds between two pieces of the body."""
    pieces: int = 1


Server = Callable[[Sent], Reply]


class Outside:
    """What is beyond the cluster, for one run."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.servers: dict[str, Server] = {}
        """By host name; a host without one refuses connections."""

    @contextmanager
    def instead_of_the_network(self) -> Iterator[None]:
        """Nothing leaves this process meanwhile."""
        outside = self

        async def handle(_self: object, request: httpx2.Request) -> httpx2.Response:
            return await outside.answer(request)

        async def git(self: Git, arguments: Sequence[str], **_more: Any) -> bytes:
            return outside.git(self, arguments)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", handle)
            patched.setattr(Git, "_run", git)
            patched.setattr(socket, "getaddrinfo", addresses_of)
            patched.setattr(ssl, "create_default_context", lambda **_more: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
            yield

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """What the host that is meant answers."""
        body = b"".join([piece async for piece in request.stream])  # type: ignore[union-attr]  # requests of ours wait
        named = request.headers.get("host", request.url.host).rpartition(":")
        host = (named[0] if named[1] and named[2].isdigit() else "".join(named)).lower()
        text = body.decode("utf-8", "replace")
        form = dict(httpx2.QueryParams(text)) if "form" in request.headers.get("content-type", "") else {}
        said = "\n".join(f"{key}: {value}" for key, value in request.headers.items())
        path = request.url.raw_path.decode("ascii", "replace")
        asked = Sent(host, request.url.host, request.method, path, f"{said}\n\n{text}", form)
        self.sent.append(asked)
        if host not in self.servers:
            raise httpx2.ConnectError("nobody listens there", request=request)
        reply = self.servers[host](asked)
        await asyncio.sleep(reply.after)
        return httpx2.Response(reply.status, headers=dict(reply.headers), stream=_Body(reply), request=request)

    def git(self, git: Git, arguments: Sequence[str]) -> bytes:
        """Calls of git: it has a version and reaches no host, but a host that is asked sees the credentials."""
        if arguments[0] == "version":
            return b"git version 2.45.0"
        if arguments[0] in {"ls-remote", "fetch", "push"}:
            environment = git.remote.environment(git.folder / "askpass")
            said = [*arguments, *(f"{key}={value}" for key, value in environment.items())]
            said += [path.read_text() for value in environment.values() if (path := Path(value)).is_file()]
            host = git.remote.url.partition("://")[2].partition("/")[0]
            self.sent.append(Sent(host, host, "git", git.remote.url, "\n".join(said)))
            raise GitFailed(GitFailureKind.DOWN, "could not resolve host")
        if arguments[0] == "rev-parse":
            raise GitFailed(GitFailureKind.OTHER, "not a git repository")
        return b""


class _Body(httpx2.AsyncByteStream):
    """A body in as many pieces as it is to have."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        data = self._reply.body.encode("utf-8", "surrogatepass")
        for _ in range(self._reply.pieces):
            await asyncio.sleep(self._reply.pause)
            yield data

    async def aclose(self) -> None:
        """Nothing is open."""


def address_of(host: str) -> str:
    """What DNS says."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))  # decimal, octal and short spellings, as libc reads them
    except OSError:
        pass
    if host.startswith("metadata."):
        return METADATA
    return PRIVATE if host.startswith("private.") else NAMES.get(host, PUBLIC)


class WatchedLoop(VirtualLoop):
    """Virtual time; knows how long one turn kept the processor from all others."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        """Seconds of processor time of the longest turn so far; how busy the machine is does not count."""
        self._began, self._wait = time.thread_time(), self._jump.select
        self._jump.select = self._ended  # type: ignore[method-assign]  # the one place between two turns

    def _ended(self, timeout: float | None = None) -> Any:
        self.longest = max(self.longest, time.thread_time() - self._began)
        found = self._wait(timeout)
        self._began = time.thread_time()
        return found


def addresses_of(host: str, port: int, *_more: Any, **_named: Any) -> list[Any]:
    """What the system's resolver answers: the one address of a name."""
    address = address_of(host)
    family, rest = (socket.AF_INET6, (0, 0)) if ":" in address else (socket.AF_INET, ())
    return [(family, socket.SOCK_STREAM, 6, "", (address, port, *rest))]


def play(story: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=WatchedLoop) as runner:
        return runner.run(story)
