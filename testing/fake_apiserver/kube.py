"""An API server in this process: what tests, simulations and chaos runs stand on instead of a cluster.

Implements `api.Kube` and passes the same suite as the real client (`tests/contracts/test_kube.py`). Adds what a real
server cannot be asked for: objects put there by others (`seed`, `acting_as`), hooks that refuse (`admit`), faults
(`fail_next`, `latency`, `down`, `stalled`), broken and expired watches. Knows no schema, defaults nothing, creates no
pods; `server.py` holds the objects.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from canary.errors import Conflict, Unavailable
from controlplane.kubernetes.api import (
    FIELD_MANAGER,
    Exists,
    KubeRequest,
    NotFound,
    Object,
    ObjectList,
    Rejected,
    Resource,
    ResourceExpired,
    Slim,
    WatchEvent,
)
from controlplane.kubernetes.cache import key_of
from controlplane.ports import Clock
from testing.fake_apiserver.ownership import Contested, applied, updated
from testing.fake_apiserver.patches import PatchFailed, copied, json_patched, merge_patched
from testing.fake_apiserver.server import WITHOUT_STATUS, Admission, Admit, MemoryServer

__all__ = ["Admission", "Admit", "MemoryKube"]

WATCH_SECONDS = 300.0
BOOKMARK_SECONDS = 60.0


@dataclass(slots=True)
class _Fault:
    error: Exception
    verb: str
    resource: Resource | None
    times: int
    after: bool


class MemoryKube:
    """One client of an API server in memory; `acting_as` makes more clients of the same one."""

    def __init__(self, clock: Clock, *, manager: str = FIELD_MANAGER, server: MemoryServer | None = None) -> None:
        self.server = server or MemoryServer(clock.now)
        self.clock = clock
        self.manager = manager
        self.counts: Counter[KubeRequest] = Counter()
        """Requests of this client so far, failed ones included."""
        self.latency = 0.0
        """Seconds that every request takes before it has any effect."""
        self.down = False
        """Whether the server is out of reach; `stop` also breaks the watches that are open."""
        self.stalled = False
        """Whether open watches fall silent (events wait, bookmarks too) without being closed."""
        self._faults: list[_Fault] = []

    @property
    def admit(self) -> list[Admit]:
        """Hooks that see every write and may refuse it."""
        return self.server.admit

    @property
    def missing(self) -> set[Resource]:
        """Kinds whose CRD is not installed."""
        return self.server.missing

    # What tests do to the world

    def acting_as(self, manager: str) -> "MemoryKube":
        """Another client of the same server under another field manager, without this one's faults."""
        return MemoryKube(self.clock, manager=manager, server=self.server)

    def seed(self, resource: Resource, *objects: Object) -> None:
        """Put objects there whole, with their status, as other controllers would have made them; at once."""
        for each in objects:
            self.server.seed(resource, each)

    def objects(self, resource: Resource) -> dict[tuple[str, str], Object]:
        """What there is now, by namespace and name; not counted and never faulty."""
        return {key_of(each): each for each in self.server.listing(resource, None, "").items}

    def fail_next(
        self, error: Exception, *, verb: str = "", resource: Resource | None = None, times: int = 1, after: bool = False
    ) -> None:
        """Make the next matching requests fail; with `after` the write happens and only its answer is lost.

        Verbs are those of permissions: get, list, watch, create, patch (also for `apply`), delete.
        """
        self._faults.append(_Fault(error, verb, resource, times, after))

    def stop(self) -> None:
        """Put the server out of reach and break every open watch; `down = False` brings it back."""
        self.down = True
        self.break_watches(Unavailable("the API server closed the connection"))

    def break_watches(self, error: Exception | None = None) -> None:
        """Break every open watch by this error; without one they end in order, as after their time."""
        self.server.log.end(error)

    def compact(self, *, watches: bool = False) -> None:
        """Forget old versions: watches from them are `ResourceExpired`; with `watches` so are those that are open."""
        self.server.compact()
        if watches:
            self.break_watches(ResourceExpired("The resourceVersion for the provided watch is too old."))

    # The eight verbs

    async def get(self, resource: Resource, namespace: str | None, name: str) -> Object:
        """See `api.Kube`."""
        async with self._request("get", resource, namespace, name):
            return copied(self.server.read(resource, (namespace or "", name)))

    async def list(
        self, resource: Resource, namespace: str | None = None, *, labels: str = "", slim: Slim | None = None
    ) -> ObjectList:
        """See `api.Kube`."""
        async with self._request("list", resource, namespace):
            listing = self.server.listing(resource, namespace, labels)
            return listing if slim is None else replace(listing, items=[slim(each) for each in listing.items])

    async def watch(
        self, resource: Resource, namespace: str | None, version: str, *, labels: str = ""
    ) -> AsyncGenerator[WatchEvent, None]:
        """See `api.Kube`; a bookmark every minute, ends in order after five."""
        async with self._request("watch", resource, namespace):
            watcher = self.server.open(resource, namespace, version, labels)
        loop = asyncio.get_running_loop()
        end = loop.time() + WATCH_SECONDS
        try:
            while loop.time() < end:
                try:
                    async with asyncio.timeout(BOOKMARK_SECONDS):  # `wait_for` may lose a cancellation in 3.11
                        event = await watcher.events.get()
                except TimeoutError:
                    event = self._bookmark(resource)
                while self.stalled:
                    await self.clock.sleep(1.0)
                if event is None:
                    return
                if isinstance(event, Exception):
                    raise event
                yield event
        finally:
            self.server.log.watchers.discard(watcher)

    async def create(self, resource: Resource, object_: Object) -> Object:
        """See `api.Kube`."""
        async with self._request("create", resource, object_["metadata"].get("namespace")):
            new = _typed(resource, copied(object_))
            meta = new["metadata"]
            if "name" not in meta and "generateName" in meta:
                meta["name"] = f"{meta['generateName']}{self.server.version:05x}"
            if self.server.find(resource, key_of(new)) is not None:
                raise Exists(f'{resource.plural} "{meta["name"]}" already exists')
            meta.pop("managedFields", None)
            owned = updated({"metadata": {}}, new, self.manager, self.server.timestamp())
            return copied(self.server.write("create", resource, None, owned))

    async def apply(self, resource: Resource, object_: Object, *, force: bool = True, urgent: bool = False) -> Object:
        """See `api.Kube`."""
        meta = object_["metadata"]
        async with self._request("patch", resource, meta.get("namespace"), meta["name"]):
            if "managedFields" in meta:
                raise Rejected("metadata.managedFields must be nil")
            before = self.server.find(resource, key_of(object_))
            live = before or {"metadata": {}}
            wanted = _typed(resource, copied(object_))
            if resource not in WITHOUT_STATUS:
                wanted.pop("status", None)
            try:
                after = applied(live, wanted, self.manager, self.server.timestamp(), force=force)
            except Contested as contested:
                raise Conflict(str(contested)) from contested
            verb = "create" if before is None else "patch"
            return copied(self.server.write(verb, resource, before, after))

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
        async with self._request("patch", resource, namespace, name, subresource):
            before = self.server.read(resource, (namespace or "", name))
            after = merge_patched(before, copied(patch)) if isinstance(patch, Mapping) else _json_patched(before, patch)
            half = _writable(resource, before, after, subresource)
            owned = updated(before, half, self.manager, self.server.timestamp(), subresource=subresource)
            return copied(self.server.write("patch", resource, before, owned, subresource))

    async def delete(self, resource: Resource, namespace: str | None, name: str, *, uid: str = "") -> None:
        """See `api.Kube`."""
        async with self._request("delete", resource, namespace, name):
            try:
                self.server.delete(resource, (namespace or "", name), uid)
            except NotFound:
                return

    async def close(self) -> None:
        """See `api.Kube`."""

    @asynccontextmanager
    async def _request(
        self,
        verb: str,
        resource: Resource,
        namespace: str | None = None,
        name: str | None = None,
        subresource: str = "",
    ) -> AsyncIterator[None]:
        """The manners of a real server around every request: it has a path, is counted, takes its time and may fail."""
        resource.path(namespace, name, subresource)
        self.counts[KubeRequest.of(verb, resource, subresource)] += 1
        if self.latency:
            await self.clock.sleep(self.latency)
        if self.down:
            raise Unavailable("the API server does not answer: connection refused")
        self._fault(verb, resource, after=False)
        yield
        self._fault(verb, resource, after=True)

    def _fault(self, verb: str, resource: Resource, *, after: bool) -> None:
        for each in self._faults:
            if each.after == after and each.verb in {"", verb} and each.resource in {None, resource}:
                each.times -= 1
                if not each.times:
                    self._faults.remove(each)
                raise each.error

    def _bookmark(self, resource: Resource) -> WatchEvent:
        meta = {"resourceVersion": str(self.server.version)}
        return WatchEvent("BOOKMARK", {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta})


def _typed(resource: Resource, object_: Object) -> Object:
    """With its kind and version, which writers may leave out."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **object_}


def _json_patched(document: Object, operations: Sequence[Mapping[str, Any]]) -> Object:
    try:
        patched: Object = json_patched(document, operations)
    except PatchFailed as failed:
        # The real server answers every patch that cannot be carried out with the same words, so that a `test` that does
        # not hold and a path that is gone look alike.
        if any(each["op"] == "test" for each in operations):
            raise Conflict(f"the patch does not fit the object as it is now: {failed}") from failed
        raise Rejected("the server rejected our request due to an error in our request") from failed
    return patched


def _writable(resource: Resource, before: Object, after: Object, subresource: str) -> Object:
    """The half of the object that this write may change, with the other half as it was."""
    if resource in WITHOUT_STATUS:
        return after
    if subresource:
        mine, other = after, before
    else:
        mine, other = before, after
    half = {name: value for name, value in other.items() if name != "status"}
    return half | {"status": mine["status"]} if "status" in mine else half
