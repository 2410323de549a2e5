"""The API server in memory as HTTP shows it: requests by path in, JSON and Status objects out, watches line by line.

For tests that want the real client too: its paths, its bytes, its reading of both. `Wire` hands requests over in this
process, in virtual time if the test has it; `listening` serves them on loopback, for operators that are processes of
their own. Knows the kinds that Serinus knows, no schema, and no permissions.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from aiohttp import web
from kubernetes.aio.client.configuration import Configuration
from yarl import URL

from canary.errors import Conflict, ExternalError
from controlplane.kubernetes import client as client_module
from controlplane.kubernetes import resources
from controlplane.kubernetes.api import Exists, NotFound, Object, Rejected, Resource, ResourceExpired, TooManyRequests
from controlplane.kubernetes.client import KubeClient
from controlplane.kubernetes.cluster_config import ClusterConfig
from testing.fake_apiserver.kube import MemoryKube

KNOWN = [each for each in vars(resources).values() if isinstance(each, Resource)]
HOST = "http://kubernetes.test"


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it came."""

    method: str
    path: str
    """Without `..` and `.`, as every client and server resolves them."""
    query: Mapping[str, str] = field(default_factory=dict)
    content: str = ""
    body: Any = None
    token: str = ""
    """Who asks: what is behind `Bearer`."""

    @property
    def writes(self) -> bool:
        """Whether it may change anything."""
        return self.method != "GET"


@dataclass(frozen=True, slots=True)
class Place:
    """What a path leads to."""

    resource: Resource
    namespace: str | None
    name: str
    subresource: str


class MemoryApi:
    """Answers requests from the objects of an API server in memory."""

    def __init__(self, kube: MemoryKube, *more: Resource) -> None:
        """`more`: kinds besides those that Serinus knows."""
        self.asked: list[tuple[Asked, int]] = []
        """Every request with the status of its answer; 200 for a watch that was opened."""
        self.climbing: list[str] = []
        """Addresses with dots in them that lead to another place than they seem to."""
        self._clients = {kube.manager: kube}
        self._kube = kube
        self._known = [*KNOWN, *more]

    async def answer(self, asked: Asked) -> tuple[int, Object]:
        """Status and body; for everything but watches."""
        try:
            found = 200, await self._answered(asked)
        except ExternalError as error:
            found = _status(error)
        self.asked.append((asked, found[0]))
        return found

    def watch(self, asked: Asked) -> AsyncIterator[bytes] | None:
        """The lines of a watch, if that is what is asked for."""
        if asked.query.get("watch") != "true":
            return None
        self.asked.append((asked, 200))
        return self._lines(asked)

    async def _lines(self, asked: Asked) -> AsyncIterator[bytes]:
        try:
            place = self._place(asked.path)
            version, labels = asked.query.get("resourceVersion", ""), asked.query.get("labelSelector", "")
            async for event in self._client(asked).watch(place.resource, place.namespace, version, labels=labels):
                yield json.dumps({"type": event.type, "object": event.object}).encode() + b"\n"
        except ExternalError as error:
            yield json.dumps({"type": "ERROR", "object": _status(error)[1]}).encode() + b"\n"

    async def _answered(self, asked: Asked) -> Object:
        place, kube = self._place(asked.path), self._client(asked)
        resource, namespace, name = place.resource, place.namespace, place.name
        match asked.method:
            case "GET" if name:
                return await kube.get(resource, namespace, name)
            case "GET":
                listing = await kube.list(resource, namespace, labels=asked.query.get("labelSelector", ""))
                return {"metadata": {"resourceVersion": listing.version}, "items": list(listing.items)}
            case "POST":
                return await kube.create(resource, asked.body)
            case "PATCH" if "apply-patch" in asked.content:
                return await kube.apply(resource, asked.body, force=asked.query.get("force") == "true")
            case "PATCH":
                return await kube.patch(resource, namespace, name, asked.body, subresource=place.subresource)
            case "DELETE":
                uid = ((asked.body or {}).get("preconditions") or {}).get("uid", "")
                await kube.get(resource, namespace, name)
                await kube.delete(resource, namespace, name, uid=uid)
                return {"kind": "Status", "status": "Success"}
        raise Rejected(f"{asked.method} is not allowed")

    def _client(self, asked: Asked) -> MemoryKube:
        manager = asked.query.get("fieldManager", self._kube.manager)
        if manager not in self._clients:
            self._clients[manager] = self._kube.acting_as(manager)
        return self._clients[manager]

    def _place(self, path: str) -> Place:
        parts = [unquote(each) for each in path.split("/")[1:]]
        group, version, rest = ("", parts[1], parts[2:]) if parts[0] == "api" else (parts[1], parts[2], parts[3:])
        namespace = None
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = (*rest, "", "")[:3]
        for each in self._known:
            if (each.group, each.version, each.plural) == (group, version, plural):
                return Place(each, namespace, name, subresource)
        raise NotFound("the server could not find the requested resource")


def _status(error: ExternalError) -> tuple[int, Object]:
    """As servers answer what the server in memory raises."""
    code, reason = 503, "ServiceUnavailable"
    details: Object = {}
    match error:
        case NotFound():
            code, reason = 404, "NotFound"
        case Exists():
            code, reason = 409, "AlreadyExists"
        case Conflict():
            code, reason = 409, "Conflict"
        case ResourceExpired():
            code, reason = 410, "Expired"
        case TooManyRequests():
            code, reason, details = 429, "TooManyRequests", {"retryAfterSeconds": error.after}
        case Rejected():
            code, reason = 422, "Invalid"
    return code, {"kind": "Status", "code": code, "reason": reason, "message": str(error), "details": details}


class Wire:
    """Stands where the client's connections stand: every request becomes text, and so does every answer."""

    def __init__(self, api: MemoryApi, token: str = "") -> None:
        self._api = api
        self._token = token

    async def request(
        self, method: str, url: str, headers: Mapping[str, str], body: Any = None, _request_timeout: Any = None
    ) -> "_Held":
        """The answer, as the library's connections hand it out."""
        address = URL(url)  # as aiohttp reads it: with dots resolved
        if address.raw_path != url.removeprefix(HOST).partition("?")[0]:
            self._api.climbing.append(url)
        asked = Asked(
            method,
            address.raw_path,
            dict(parse_qsl(address.raw_query_string)),
            headers.get("Content-Type", ""),
            None if body is None else json.loads(json.dumps(body)),
            self._token,
        )
        if (lines := self._api.watch(asked)) is not None:
            return _Held(_Response(200, b"", lines))
        status, found = await self._api.answer(asked)
        return _Held(_Response(status, json.dumps(found).encode(), None))

    async def close(self) -> None:
        """There is nothing to close."""


class _Response:
    """The parts of aiohttp's response that the client uses."""

    def __init__(self, status: int, body: bytes, lines: AsyncIterator[bytes] | None) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.content = self
        self._body, self._lines = body, lines

    async def read(self) -> bytes:
        """The body."""
        return self._body

    async def iter_any(self) -> AsyncIterator[bytes]:
        """The body at once, or the lines of a watch as they come."""
        if self._lines is None:
            yield self._body
            return
        async for line in self._lines:
            yield line

    def release(self) -> None:
        """There is nothing to release."""

    def close(self) -> None:
        """Likewise."""


@dataclass(frozen=True, slots=True)
class _Held:
    response: _Response


@contextmanager
def wired(api: MemoryApi, token: str = "") -> Iterator[Callable[[], KubeClient]]:
    """What makes clients of this server; all that are made in the block by anybody are."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client_module, "RESTClientObject", lambda _configuration: Wire(api, token))
        yield lambda: KubeClient(ClusterConfig(Configuration(host=HOST)))


@asynccontextmanager
async def listening(api: MemoryApi) -> AsyncIterator[str]:
    """Serve it on loopback for the time of the block; answers the address."""

    async def handle(request: web.Request) -> web.StreamResponse:
        text = await request.text()
        asked = Asked(
            request.method,
            URL(request.raw_path).raw_path,
            dict(request.query),
            request.headers.get("Content-Type", ""),
            json.loads(text) if text else None,
            request.headers.get("Authorization", "").removeprefix("Bearer "),
        )
        if (lines := api.watch(asked)) is None:
            status, found = await api.answer(asked)
            return web.json_response(found, status=status)
        response = web.StreamResponse()
        await response.prepare(request)
        async for line in lines:
            await response.write(line)
        return response

    app = web.Application(client_max_size=4 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
        await asyncio.sleep(0)
