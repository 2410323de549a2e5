"""The real API server: `api.Kube` over HTTP.

Made once per process and shared. Connections, TLS and credentials are those of the `kubernetes` library's asynchronous
client; objects stay plain dicts, so its models are never touched. Retries nothing but a request whose token had just
been replaced.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import AsyncExitStack
from importlib.metadata import version as version_of
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp

from canary.errors import Unavailable
from controlplane.kubernetes.api import (
    FIELD_MANAGER,
    SILENCE_SECONDS,
    KubeRequest,
    NotFound,
    Object,
    ObjectList,
    Resource,
    ResourceExpired,
    Slim,
    WatchEvent,
    deletion,
    typed,
)
from controlplane.kubernetes.cluster_config import ClusterConfig
from controlplane.kubernetes.lazy_client import RESTClientObject
from controlplane.kubernetes.request_limiter import PriorityLimiter
from controlplane.kubernetes.resources import SECRET
from controlplane.kubernetes.responses import error_from_response, event_of, items_of, object_of

PAGE = 250
"""Objects a page of a list. Pages become smaller where objects are large: all of them have to arrive in their time."""
SMALLER = 4
"""How many times smaller the next page is after one that was too large or came too late."""
MOST_BYTES = 8 * 1024 * 1024
"""Of a page with more than one object: in memory it may be twenty-four times as much."""
LARGEST = 64 * 1024 * 1024
"""Bytes of any other answer, and of a line of a watch; a server keeps no object of two megabytes."""
WATCH_SECONDS = (240.0, 360.0)
"""The server ends each watch after a random time within these, so that they do not all come back at once."""
CLOSING_S = 0.1
"""Encrypted connections end some turns of the loop after their session was closed."""
URGENT_PLACES = 4
"""Of the requests under way at once, so many places are kept for urgent ones. More would slow down all others where the
server is slow, fewer would let it be busy with routine writes when a rollback's comes."""
RENEWED_SECONDS = 10.0
"""Credentials are read again at most this often."""
_JSON = "application/json"
_UNLIMITED = aiohttp.ClientTimeout(total=None)
"""Time is bounded once, around the whole request."""

T = TypeVar("T")


class KubeClient:
    """One API server."""

    def __init__(
        self,
        access: ClusterConfig,
        *,
        manager: str = FIELD_MANAGER,
        timeout: float = 10.0,
        silence: float = SILENCE_SECONDS,
        concurrency: int = 16,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        """`timeout`: seconds for any one request, and as much for its wait for a place among `concurrency`.

        `silence`: seconds after which a watch that says nothing is given up.
        """
        self.counts: Counter[KubeRequest] = Counter()
        """Requests sent so far, failed ones included."""
        self.access = access
        self._manager = manager
        self._timeout = timeout
        self._silence = aiohttp.ClientTimeout(total=None, sock_read=silence)
        self._uniform = uniform
        self._gate = PriorityLimiter(concurrency, min(URGENT_PLACES, concurrency - 1))
        self._rest = RESTClientObject(access.configuration)
        self._retired: list[RESTClientObject] = []
        self._renewing = asyncio.Lock()
        self._renewed_at = float("-inf")
        self._limits: dict[Resource, int] = {}
        """By kind how many objects are asked for at a time, where fewer than ever arrive."""
        self._agent = f"serinus/{version_of('serinus')}"

    @classmethod
    async def connect(cls, *, kubeconfig: str | None = None, context: str | None = None) -> Self:
        """A client of the cluster that this process belongs to or that a kubeconfig names; raises `BadInput`."""
        return cls(await ClusterConfig.find(kubeconfig=kubeconfig, context=context))

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """See `api.Kube`."""
        request = KubeRequest.of("get", resource)
        return await self._object(request, "GET", resource, resource.path(namespace, name), whose=(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", slim: Slim | None = None
    ) -> ObjectList:
        """See `api.Kube`; reads page by page."""
        try:
            return await self._pages(resource, namespace, labels, slim)
        except ResourceExpired:
            # The pages took longer than the server keeps versions: in one piece, then.
            page = await self._page(resource, namespace, {"labelSelector": labels}, LARGEST)
            return ObjectList(_slimmed(page, resource, slim), _version(page))

    async def watch(
        self, resource: Resource, namespace: str | None, version: str, *, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """See `api.Kube`; raises `Unavailable` when nothing was heard for too long (bookmarks come every minute)."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(int(self._uniform(*WATCH_SECONDS))),
            "labelSelector": labels,
        }
        self.counts[KubeRequest.of("watch", resource)] += 1
        path = resource.path(namespace)
        what = f"watch {path}"
        response = await self._bounded(self._answer("GET", path, query, limits=self._silence), what)
        try:
            if response.status != 200:
                raise error_from_response(response.status, await response.read(), what)
            async for line in _lines(response.content, what):
                yield event_of(line, what)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(what, error) from error
        finally:
            response.close()

    async def create(self, resource: Resource, object_: Object) -> Object:
        """See `api.Kube`."""
        request, meta = KubeRequest.of("create", resource), object_["metadata"]
        namespace, name = meta.get("namespace"), meta.get("name")
        return await self._object(
            request,
            "POST",
            resource,
            resource.path(namespace),
            self._owner(),
            body=typed(resource, object_),
            whose=(namespace, name),
            name=name,
        )

    async def apply(self, resource: Resource, object_: Object, *, force: bool = True, urgent: bool = False) -> Object:
        """See `api.Kube`."""
        meta = object_["metadata"]
        return await self._object(
            KubeRequest.of("patch", resource),
            "PATCH",
            resource,
            resource.path(meta.get("namespace"), meta["name"]),
            self._owner() | {"force": "true" if force else "false"},
            body=typed(resource, object_),
            content="application/apply-patch+yaml",
            urgent=urgent,
            whose=(meta.get("namespace"), meta["name"]),
        )

    async def patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: Sequence[Mapping[str, Any]] | Mapping[str, Any],
        *,
        subresource: str = "",
        urgent: bool = False,
    ) -> Object:
        """See `api.Kube`."""
        merge = isinstance(patch, Mapping)
        return await self._object(
            KubeRequest.of("patch", resource, subresource),
            "PATCH",
            resource,
            resource.path(namespace, name, subresource),
            self._owner(),
            body=dict(patch) if isinstance(patch, Mapping) else [dict(each) for each in patch],
            content="application/merge-patch+json" if merge else "application/json-patch+json",
            tested=not isinstance(patch, Mapping) and any(each["op"] == "test" for each in patch),
            urgent=urgent,
            whose=(namespace, name),
        )

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        """See `api.Kube`."""
        request = KubeRequest.of("delete", resource)
        try:
            await self._object(request, "DELETE", resource, resource.path(namespace, name), body=deletion(uid))
        except NotFound:
            return

    def hasten(self, whose: Hashable) -> None:
        """Let writes to objects of this namespace and name that still wait for a place go before all others."""
        self._gate.hasten(whose)

    async def close(self) -> None:
        """See `api.Kube`."""
        for each in (self._rest, *self._retired):
            await each.close()
        await asyncio.sleep(CLOSING_S)

    def _owner(self) -> dict[str, str]:
        return {"fieldManager": self._manager}

    async def _pages(self, resource: Resource, namespace: str | None, labels: str, slim: Slim | None) -> ObjectList:
        items: list[Object] = []
        more = ""
        while True:
            limit = self._limits.get(resource, PAGE)
            query = {"labelSelector": labels, "limit": str(limit), "continue": more}
            try:
                page = await self._page(resource, namespace, query, MOST_BYTES if limit > 1 else LARGEST)
            except _TooLargeError:
                if limit == 1:
                    raise
                self._limits[resource] = max(1, limit // SMALLER)
                continue
            except _LateError:
                # Whoever lists comes again, and it may be the server that is slow: no more is tried now.
                self._limits[resource] = max(1, limit // SMALLER)
                raise
            if limit < PAGE:
                self._limits[resource] = limit + max(1, limit // SMALLER)
            items += _slimmed(page, resource, slim)
            more = page["metadata"].get("continue") or ""
            if not more:
                return ObjectList(items, _version(page))

    async def _page(self, resource: Resource, namespace: str | None, query: Mapping[str, str], most: int) -> Object:
        request = KubeRequest.of("list", resource)
        return await self._object(request, "GET", resource, resource.path(namespace), query, most=most)

    async def _object(
        self,
        request: KubeRequest,
        method: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content: str = _JSON,
        tested: bool = False,
        urgent: bool = False,
        whose: Hashable = None,
        name: str | None = None,
        most: int = 0,
    ) -> Object:
        """Send, and read the object that is the answer; raises what `answers` makes of any other."""
        self.counts[request] += 1
        what = f"{request.verb} {path}" if name is None else f"{request.verb} {path}/{name}"

        async def sent() -> tuple[int, bytes, str | None]:
            response = await self._answer(method, path, query, body=body, content=content)
            data = await _within(response, most or LARGEST, what)
            return response.status, data, response.headers.get("Retry-After")

        async with AsyncExitStack() as place:
            await self._bounded(place.enter_async_context(self._gate.passing(urgent=urgent, whose=whose)), what)
            status, data, retry_after = await self._bounded(sent(), what)
        if not 200 <= status < 300:
            raise error_from_response(
                status, data, what, retry_after=retry_after, tested=tested, secret=resource == SECRET
            )
        try:
            return object_of(data)
        except ValueError as error:
            raise Unavailable(f"{what}: {self.access.host} answered {error}; is it an API server?") from error

    async def _answer(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content: str = _JSON,
        limits: aiohttp.ClientTimeout = _UNLIMITED,
    ) -> aiohttp.ClientResponse:
        """Send; once more with new credentials where the old ones are no longer accepted."""
        given = {name: value for name, value in (query or {}).items() if value}
        url = f"{self.access.host}{path}?{urlencode(given, quote_via=quote)}" if given else f"{self.access.host}{path}"
        for again in (True, False):
            headers = {"Accept": _JSON, "Content-Type": content, "User-Agent": self._agent}
            authorization = await self.access.authorization()
            if authorization:
                headers["Authorization"] = authorization
            answer = await self._rest.request(  # type: ignore[no-untyped-call]  # - the library types its models only
                method, url, headers=headers, body=body, _request_timeout=limits
            )
            response: aiohttp.ClientResponse = answer.response
            if response.status != 401 or not (again and await self._renewed()):
                break
            response.release()
        return response

    async def _renewed(self) -> bool:
        """Whether there are credentials that may be newer than those that were refused."""
        loop, configuration = asyncio.get_running_loop(), self.access.configuration
        async with self._renewing:
            if loop.time() - self._renewed_at < RENEWED_SECONDS:
                return True  # Another request that was refused has just done it.
            certificate = configuration.cert_file
            if not await self.access.renew():
                return False
            self._renewed_at = loop.time()
            if configuration.cert_file != certificate:
                # Connections are bound to the certificate they were made with; those in use may end in their own time.
                self._retired.append(self._rest)
                self._rest = RESTClientObject(configuration)
            return True

    async def _bounded(self, work: Awaitable[T], what: str) -> T:
        """The result of this work, or `Unavailable` when it fails on the way or takes too long."""
        try:
            async with asyncio.timeout(self._timeout):
                return await work
        except TimeoutError as error:
            raise _LateError(
                f"{what}: the API server at {self.access.host} did not answer within {self._timeout:g} s"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(what, error) from error

    def _unreachable(self, what: str, error: Exception) -> Unavailable:
        return Unavailable(
            f"{what}: the API server at {self.access.host} does not answer: {str(error) or type(error).__name__}"
        )


class _LateError(Unavailable):
    """An answer did not come in time."""


class _TooLargeError(Unavailable):
    """An answer is larger than it may be."""


async def _within(response: aiohttp.ClientResponse, most: int, what: str) -> bytes:
    """The body, of so many bytes at most."""
    parts: list[bytes] = []
    size, whole = 0, False
    try:
        async for chunk in response.content.iter_any():
            parts.append(chunk)
            size += len(chunk)
            if size > most:
                break
        else:
            whole = True
    finally:
        if not whole:
            response.close()  # what is still to come is not waited for
    if not whole:
        raise _TooLargeError(f"{what}: the API server answers more than {most // 2**20} MiB")
    response.release()
    return b"".join(parts)


async def _lines(content: aiohttp.StreamReader, what: str) -> AsyncIterator[bytes]:
    """Whole lines; one that is cut off by the end of the stream is not given out."""
    parts: list[bytes] = []
    size = 0
    async for chunk in content.iter_any():
        *ended, rest = chunk.split(b"\n")
        for each in ended:
            yield b"".join((*parts, each))
            parts.clear()
            size = 0
        parts.append(rest)
        size += len(rest)
        if size > LARGEST:
            raise _TooLargeError(f"{what}: the watch sent a line of more than {LARGEST // 2**20} MiB")


def _slimmed(page: Object, resource: Resource, slim: Slim | None) -> list[Object]:
    items = items_of(page, resource)
    return items if slim is None else [slim(each) for each in items]


def _version(page: Object) -> str:
    return str(page["metadata"].get("resourceVersion", ""))
