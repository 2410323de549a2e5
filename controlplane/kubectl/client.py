"""The API server for a command that is over in a moment: `api.Kube` on nothing but the standard library.

Used by every verb of the plugin. The operator's client (`controlplane.kubernetes.client`) needs longer to be imported
than a command may take, and people who only watch need not install it. Both pass the same suite; errors are worded in
one place (`answers.py`). Requests run in threads, so a watch and a write can go on at the same time.
"""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from importlib.metadata import version as version_of
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from canary.errors import Unavailable
from controlplane.kubectl.kubeconfig import Target
from controlplane.kubernetes.api import (
    SILENCE_SECONDS,
    NotFound,
    Object,
    ObjectList,
    Resource,
    Slim,
    WatchEvent,
    deletion,
    typed,
)
from controlplane.kubernetes.resources import SECRET
from controlplane.kubernetes.responses import error_from_response, event_of, items_of, object_of

MANAGER = "kubectl-canary"
WATCH_SECONDS = 300
"""The server ends a watch after so long; whoever follows opens the next one."""
_JSON = "application/json"
_APPLY, _MERGE, _PATCH = (
    "application/apply-patch+yaml",
    "application/merge-patch+json",
    "application/json-patch+json",
)


class _Answer(NamedTuple):
    status: int
    data: bytes
    retry_after: str | None


class _Https(HTTPSConnection):
    """TLS under the name that the kubeconfig says."""

    def __init__(self, host: str, port: int, *, timeout: float, context: ssl.SSLContext, name: str) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._tls, self._name = context, name

    def connect(self) -> None:
        """Reach the server, through the proxy where there is one."""
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._name)


class ThinClient:
    """One API server. Implements `api.Kube`."""

    def __init__(
        self,
        target: Target,
        *,
        manager: str = MANAGER,
        timeout: float = 10.0,
        on_behalf_of: str = "",
        dry_run: bool = False,
    ) -> None:
        """`timeout`: seconds of silence after which a request is given up; `on_behalf_of`: kubectl's `--as`.

        With `dry_run` the server checks every write as any other, answers what would come of it, and keeps nothing.
        """
        self.target = target
        self._manager, self._timeout, self._on_behalf_of = manager, timeout, on_behalf_of
        self._write = {"fieldManager": manager, "dryRun": "All" if dry_run else ""}
        self._root = urlsplit(target.server)
        self._tls: ssl.SSLContext | None = None
        self._authorization: str | None = None
        self._idle: list[HTTPConnection] = []

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """See `api.Kube`."""
        return await self._object("get", "GET", resource, resource.path(namespace, name))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", slim: Slim | None = None
    ) -> ObjectList:
        """See `api.Kube`."""
        page = await self._object("list", "GET", resource, resource.path(namespace), {"labelSelector": labels})
        items = items_of(page, resource)
        version = str(page["metadata"].get("resourceVersion", ""))
        return ObjectList(items if slim is None else [slim(each) for each in items], version)

    async def watch(
        self, resource: Resource, namespace: str | None, version: str, *, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """See `api.Kube`; close the generator to end it."""
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
            "labelSelector": labels,
        }
        path = resource.path(namespace)
        what = f"watch {path}"
        connection = await self._guarded(self._connection, what)
        try:
            response = await self._guarded(self._sent, what, connection, "GET", path, query)
            if response.status != 200:
                raise error_from_response(response.status, await self._guarded(response.read, what), what)
            if connection.sock is not None:
                connection.sock.settimeout(SILENCE_SECONDS)
            while line := await self._guarded(response.readline, what):
                if not line.endswith(b"\n"):
                    return  # cut off by the end of the stream: the next watch tells it whole
                yield event_of(line, what)
        finally:
            _cut(connection)

    async def create(self, resource: Resource, object_: Object) -> Object:
        """See `api.Kube`."""
        path = resource.path(object_["metadata"].get("namespace"))
        return await self._object("create", "POST", resource, path, self._write, body=typed(resource, object_))

    async def apply(self, resource: Resource, object_: Object, *, force: bool = True, urgent: bool = False) -> Object:
        """See `api.Kube`."""
        meta = object_["metadata"]
        query = self._write | {"force": "true" if force else "false"}
        path, body = resource.path(meta.get("namespace"), meta["name"]), typed(resource, object_)
        return await self._object("patch", "PATCH", resource, path, query, body=body, content=_APPLY)

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
            "patch",
            "PATCH",
            resource,
            resource.path(namespace, name, subresource),
            self._write,
            body=patch if merge else list(patch),
            content=_MERGE if merge else _PATCH,
            tested=not isinstance(patch, Mapping) and any(each["op"] == "test" for each in patch),
        )

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        """See `api.Kube`."""
        path = resource.path(namespace, name)
        with suppress(NotFound):
            await self._object("delete", "DELETE", resource, path, self._write, body=deletion(uid))

    async def close(self) -> None:
        """See `api.Kube`."""
        for connection in self._idle:
            connection.close()
        self._idle.clear()

    async def _object(
        self,
        verb: str,
        method: str,
        resource: Resource,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Any = None,
        content: str = _JSON,
        tested: bool = False,
    ) -> Object:
        """Send, and read the object that is the answer; raises what `answers` makes of any other."""
        what = f"{verb} {path}"
        answer = await self._exchange(what, method, path, query, body, content)
        if answer.status == 401 and await self._guarded(self._is_renewed, what):
            answer = await self._exchange(what, method, path, query, body, content)
        if not 200 <= answer.status < 300:
            raise error_from_response(
                answer.status,
                answer.data,
                what,
                retry_after=answer.retry_after,
                tested=tested,
                secret=resource == SECRET,
            )
        try:
            return object_of(answer.data)
        except ValueError as error:
            raise Unavailable(f"{what}: {self.target.server} answered {error}; is it an API server?") from error

    async def _exchange(
        self, what: str, method: str, path: str, query: Mapping[str, str] | None, body: Any, content: str
    ) -> _Answer:
        """One request on a connection of its own, or on one that is idle where asking twice does no harm."""
        for connection in [self._idle.pop()] if method == "GET" and self._idle else []:
            with suppress(Unavailable):  # the server closed it in the meantime
                return await self._asked(connection, what, method, path, query, body, content)
        connection = await self._guarded(self._connection, what)
        return await self._asked(connection, what, method, path, query, body, content)

    async def _asked(self, connection: HTTPConnection, what: str, *request: Any) -> _Answer:
        def asked() -> _Answer:
            response = self._sent(connection, *request)
            return _Answer(response.status, response.read(), response.headers.get("Retry-After"))

        try:
            answer: _Answer = await self._guarded(asked, what)
        except BaseException:
            _cut(connection)
            raise
        self._idle.append(connection)
        return answer

    def _sent(
        self,
        connection: HTTPConnection,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: Any = None,
        content: str = _JSON,
    ) -> HTTPResponse:
        given = {name: value for name, value in (query or {}).items() if value}
        url = f"{self._root.path}{path}" + (f"?{urlencode(given, quote_via=quote)}" if given else "")
        if self._authorization is None:
            self._authorization = self.target.authorization()
        headers = {"Accept": _JSON, "User-Agent": f"{MANAGER}/{version_of('serinus')}"}
        if self._authorization:
            headers["Authorization"] = self._authorization
        if self._on_behalf_of:
            headers["Impersonate-User"] = self._on_behalf_of
        if body is not None:
            headers["Content-Type"] = content
        connection.request(method, url, None if body is None else json.dumps(body).encode(), headers)
        return connection.getresponse()

    def _connection(self) -> HTTPConnection:
        host, port = self._root.hostname or "", self._root.port
        if self._root.scheme == "http":
            return HTTPConnection(host, port or 80, timeout=self._timeout)
        if self._tls is None:
            self._tls = self.target.tls()
        name, proxy = self.target.server_name, urlsplit(self.target.proxy)
        if not proxy.hostname:
            return _Https(host, port or 443, timeout=self._timeout, context=self._tls, name=name)
        made = _Https(proxy.hostname, proxy.port or 80, timeout=self._timeout, context=self._tls, name=name)
        made.set_tunnel(host, port or 443)
        return made

    def _is_renewed(self) -> bool:
        """Whether there are newer credentials than those that were refused."""
        before, self._authorization = self._authorization, self.target.authorization()
        return self._authorization != before

    async def _guarded(self, work: Any, what: str, *arguments: Any) -> Any:
        """Do this in a thread; `Unavailable` where the server does not answer."""
        try:
            return await asyncio.to_thread(work, *arguments)
        except TimeoutError as error:
            said = f"{what}: the API server at {self.target.server} did not answer within {self._timeout:g} s"
            raise Unavailable(said) from error
        except (OSError, HTTPException) as error:
            said = (
                f"{what}: the API server at {self.target.server} does not answer: {str(error) or type(error).__name__}"
            )
            raise Unavailable(said) from error


def _cut(connection: HTTPConnection) -> None:
    """End it even while a thread reads from it."""
    with suppress(OSError):
        if connection.sock is not None:
            connection.sock.shutdown(socket.SHUT_RDWR)
    connection.close()
