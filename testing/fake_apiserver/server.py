"""The state of the API server in memory: objects, versions, deletion, garbage collection and what watchers are told.

Used by `kube.py`, which adds the verbs' manners (faults, latency, counting). Synchronous, so every write is atomic.
Knows no schema: what a kind's own validation or webhook does, a test adds as an `admit` hook.
"""

import itertools
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from canary.dns import is_subdomain
from canary.errors import Conflict, ExternalError
from controlplane.kubernetes.api import NotFound, Object, ObjectList, Rejected, Resource, WatchEvent
from controlplane.kubernetes.cache import Key, key_of
from controlplane.kubernetes.resources import CONFIG_MAP, EVENT, LEASE, NAMESPACE, ROLLOUT_HISTORY, SECRET
from testing.fake_apiserver.log import Change, Log, Watcher, selected
from testing.fake_apiserver.patches import copied

WITHOUT_STATUS = frozenset({CONFIG_MAP, EVENT, LEASE, ROLLOUT_HISTORY, SECRET})
"""Kinds without a status subresource and a generation."""
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")


@dataclass(slots=True)
class Admission:
    """A write about to happen. A hook refuses by raising, or changes `after` as a mutating webhook does."""

    verb: str
    resource: Resource
    before: Object | None
    after: Object | None


Admit = Callable[[Admission], None]


class MemoryServer:
    """What every client of one in-memory API server shares."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.version = 1
        self.admit: list[Admit] = []
        self.missing: set[Resource] = set()
        """Kinds whose CRD is not installed."""
        self.log = Log()
        self._objects: dict[Resource, dict[Key, Object]] = {}
        self._numbers = itertools.count(1)

    def timestamp(self) -> str:
        """Now, as it stands in metadata."""
        return datetime.fromtimestamp(self.now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def read(self, resource: Resource, key: Key) -> Object:
        """The object itself, not a copy; raises `NotFound`."""
        if resource in self.missing:
            raise NotFound("the server could not find the requested resource")
        try:
            return self._objects[resource][key]
        except KeyError:
            raise NotFound(f'{_named(resource)} "{key[1]}" not found') from None

    def find(self, resource: Resource, key: Key) -> Object | None:
        """The object itself, not a copy, or None; raises `NotFound` for a missing kind."""
        try:
            return self.read(resource, key)
        except NotFound:
            if resource in self.missing:
                raise
            return None

    def listing(self, resource: Resource, namespace: str | None, labels: str) -> ObjectList:
        """Copies of all that match, in the order of their names."""
        if resource in self.missing:
            raise NotFound("the server could not find the requested resource")
        found = [
            copied(object_)
            for (place, _), object_ in sorted(self._objects.get(resource, {}).items())
            if namespace in {None, place} and selected(labels, object_)
        ]
        return ObjectList(found, str(self.version))

    def write(
        self, verb: str, resource: Resource, before: Object | None, after: Object, subresource: str = ""
    ) -> Object:
        """Make `after` the newest state, as the server would: keeps what is not the writer's to change.

        Raises `Rejected`, `Conflict` and whatever an `admit` hook raises; then nothing has changed.
        """
        self._check(resource, before, after)
        after = self._settled(resource, before, after, subresource)
        if self.admit:
            after = copied(after)  # It shares parts with `before`, and hooks may change it.
        for hook in self.admit:
            hook(Admission(verb, resource, copied(before), after))
        meta = after["metadata"]
        if before is not None and _same(before, after):
            return before
        if before is not None and resource not in WITHOUT_STATUS and _content(before) != _content(after):
            meta["generation"] = before["metadata"].get("generation", 0) + 1
        if "deletionTimestamp" in meta and not meta.get("finalizers"):
            self._remove(resource, after)
            return after
        self.version += 1
        meta["resourceVersion"] = str(self.version)
        self._objects.setdefault(resource, {})[key_of(after)] = after
        self._record(resource, before, after)
        return after

    def delete(self, resource: Resource, key: Key, uid: str = "") -> None:
        """Delete it, or mark it where finalizers hold it; raises `NotFound`, or `Conflict` if `uid` is another's."""
        before = self.read(resource, key)
        meta = before["metadata"]
        if uid and meta["uid"] != uid:
            raise Conflict(
                f'Operation cannot be fulfilled on {_named(resource)} "{key[1]}": Precondition failed: '
                f"UID in precondition: {uid}, UID in object meta: {meta['uid']}"
            )
        for hook in self.admit:
            hook(Admission("delete", resource, copied(before), None))
        if not meta.get("finalizers"):
            self._remove(resource, before)
        elif "deletionTimestamp" not in meta:
            after = copied(before)
            after["metadata"] |= {"deletionTimestamp": self.timestamp(), "deletionGracePeriodSeconds": 0}
            if "generation" in meta:
                after["metadata"]["generation"] += 1
            self.version += 1
            after["metadata"]["resourceVersion"] = str(self.version)
            self._objects[resource][key] = after
            self._record(resource, before, after)

    def seed(self, resource: Resource, object_: Object) -> Object:
        """Put an object there whole, with its status and whatever metadata it has; nobody is asked."""
        before = self.find(resource, key_of(object_))
        after = copied(object_)
        after.setdefault("apiVersion", resource.api_version)
        after.setdefault("kind", resource.kind)
        given = copied(after)
        after = self._settled(resource, before, after, "")
        generation = after["metadata"].get("generation", 0)
        if generation and before is not None and _content(before) != _content(after):
            generation += 1
        if "status" in given:
            after["status"] = given["status"]
        after["metadata"] |= {name: value for name, value in given["metadata"].items() if name != "resourceVersion"}
        if generation:
            after["metadata"]["generation"] = max(generation, given["metadata"].get("generation", 0))
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        self._objects.setdefault(resource, {})[key_of(after)] = after
        self._record(resource, before, after)
        return after

    def open(self, resource: Resource, namespace: str | None, version: str, labels: str) -> Watcher:
        """Start a watch with what happened after `version` (empty or 0: with all there is); raises `Gone`."""
        if resource in self.missing:
            raise NotFound("the server could not find the requested resource")
        watcher = Watcher(resource, namespace, labels)
        if version in {"", "0"}:
            for each in self.listing(resource, namespace, labels).items:
                watcher.events.put_nowait(WatchEvent("ADDED", each))
        else:
            self.log.replay(watcher, int(version))
        self.log.watchers.add(watcher)
        return watcher

    def compact(self) -> None:
        """Forget the log: a watch from any earlier version is `Gone`. Open watches go on."""
        self.log.compact(self.version)

    def restore(self, version: int) -> None:
        """Go on as a server whose etcd was restored: counting from this (smaller) version, every watch broken."""
        self.version = version
        self.log.compact(version)
        for objects in self._objects.values():
            for object_ in objects.values():
                object_["metadata"]["resourceVersion"] = str(min(version, int(object_["metadata"]["resourceVersion"])))
        self.log.end()

    def _check(self, resource: Resource, before: Object | None, after: Object) -> None:
        meta = after["metadata"]
        name = meta.get("name", "")
        faults = []
        if (after["apiVersion"], after["kind"]) != (resource.api_version, resource.kind):
            faults.append(f"{after['kind']} in {after['apiVersion']} was sent to the place of {resource.plural}")
        if not is_subdomain(name):
            faults.append(f'metadata.name: Invalid value: "{name}": a lowercase RFC 1123 subdomain is expected')
        if resource.namespaced and not meta.get("namespace"):
            faults.append("metadata.namespace: Required value: an empty namespace may not be set during creation")
        for label, value in (meta.get("labels") or {}).items():
            if not isinstance(value, str) or not _LABEL.fullmatch(value):
                faults.append(
                    f'metadata.labels: Invalid value: "{value}": a label value of "{label}" is at most 63 letters'
                )
        if faults:
            raise Rejected(f'{resource.kind} "{name}" is invalid: {"; ".join(faults)}')
        expected = meta.get("resourceVersion")
        if before is not None and expected and expected != before["metadata"]["resourceVersion"]:
            raise Conflict(
                f'Operation cannot be fulfilled on {_named(resource)} "{name}": the object has been modified; '
                "please apply your changes to the latest version and try again"
            )
        if before is not None and meta.get("uid") not in {None, before["metadata"]["uid"]}:
            raise Conflict(f'Operation cannot be fulfilled on {_named(resource)} "{name}": Precondition failed: UID')

    def _settled(self, resource: Resource, before: Object | None, after: Object, subresource: str) -> Object:
        """The writer's object with what is the server's: identity, times, the half that this write may not touch."""
        meta = dict(after["metadata"])
        settled = {"apiVersion": resource.api_version, "kind": resource.kind, **after, "metadata": meta}
        if before is None:
            meta |= {"uid": _uid(next(self._numbers)), "creationTimestamp": self.timestamp()}
            if resource not in WITHOUT_STATUS:
                meta["generation"] = 1
                settled.pop("status", None)
            for unset in ("deletionTimestamp", "deletionGracePeriodSeconds", "resourceVersion"):
                meta.pop(unset, None)
            return settled
        if resource not in WITHOUT_STATUS and subresource == "status":
            settled = {
                **before,
                "metadata": dict(before["metadata"]) | {"managedFields": meta.get("managedFields", [])},
            }
            if "status" in after:
                settled["status"] = after["status"]
            else:
                settled.pop("status", None)
            return settled
        if resource not in WITHOUT_STATUS:
            settled.pop("status", None)
            if "status" in before:
                settled["status"] = before["status"]
        for own in ("uid", "creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"):
            meta.pop(own, None)
            if own in before["metadata"]:
                meta[own] = before["metadata"][own]
        return settled

    def _remove(self, resource: Resource, object_: Object) -> None:
        key = key_of(object_)
        before = self._objects[resource].pop(key)
        self.version += 1
        self._record(resource, before, None)
        if resource == NAMESPACE:
            self._delete_where(lambda _, place, __: place == key[1])
        self._collect_garbage()

    def _collect_garbage(self) -> None:
        """Delete what has owners of which none is left; at once, where the real server takes a moment."""
        alive = {each["metadata"]["uid"] for objects in self._objects.values() for each in objects.values()}

        def orphaned(_: Resource, __: str, object_: Object) -> bool:
            owners = object_["metadata"].get("ownerReferences")
            return bool(owners) and all(each["uid"] not in alive for each in owners)

        self._delete_where(orphaned)

    def _delete_where(self, chosen: Callable[[Resource, str, Object], bool]) -> None:
        doomed = [
            (resource, key)
            for resource, objects in self._objects.items()
            for key, object_ in objects.items()
            if chosen(resource, key[0], object_)
        ]
        for resource, key in doomed:
            if key in self._objects[resource]:
                # Whatever a webhook has against it concerns nobody who waits: the real server tries again later.
                with suppress(ExternalError):
                    self.delete(resource, key)

    def _record(self, resource: Resource, before: Object | None, after: Object | None) -> None:
        state = after if after is not None else before
        if state is None:
            return
        self.log.record(Change(self.version, resource, key_of(state), before, after))


def _named(resource: Resource) -> str:
    return f"{resource.plural}.{resource.group}" if resource.group else resource.plural


def _content(object_: Mapping[str, object]) -> dict[str, object]:
    """What raises the generation when it changes."""
    return {name: value for name, value in object_.items() if name not in {"metadata", "status"}}


def _same(before: Object, after: Object) -> bool:
    """Whether a write changes nothing: the real server then keeps the version and tells nobody."""
    old, new = (
        {**each, "metadata": {name: value for name, value in each["metadata"].items() if name != "resourceVersion"}}
        for each in (before, after)
    )
    return old == new


def _uid(number: int) -> str:
    return f"5e414005-0000-4000-8000-{number:012x}"
