"""Writes that a platform does not repeat: what it has written it knows at once, without waiting for its cache.

Used by the platforms. Each write is harmless when somebody else was quicker: an object that is there already, or is not
the one that was looked at, is left to the next look.
"""

from collections import Counter

from controlplane.kubernetes.api import Conflict, Exists, Kube, Object, Resource
from controlplane.kubernetes.cache import Cache, key_of

REPAIRS = 3
"""Times that an object is put back; after that somebody else insists, and a person has to decide."""


class ObjectWriter:
    """Creates, puts back and deletes."""

    def __init__(self, kube: Kube, *caches: Cache) -> None:
        """`caches` are those of the kinds that are written."""
        self._kube = kube
        self._caches = {cache.resource: cache for cache in caches}
        self._repairs: Counter[str] = Counter()

    async def create(self, resource: Resource, object_: Object) -> None:
        """Create it; one that is there already will soon be in the cache."""
        try:
            self._caches[resource].put(await self._kube.create(resource, object_))
        except Exists:
            return

    async def put_back(self, resource: Resource, live: Object, made: Object) -> None:
        """Make `spec` what it was, in one write that fails if anybody wrote meanwhile; a few times only."""
        meta = live["metadata"]
        if self.insisted(meta["uid"]):
            return
        patch = [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "replace", "path": "/spec", "value": made["spec"]},
        ]
        try:
            answer = await self._kube.patch(resource, meta["namespace"], meta["name"], patch)
        except Conflict:
            return
        self._repairs[meta["uid"]] += 1
        self._caches[resource].put(answer)

    async def delete(self, resource: Resource, live: Object) -> None:
        """Delete this very object, and no other of its name."""
        meta = live["metadata"]
        try:
            await self._kube.delete(resource, meta["namespace"], meta["name"], uid=meta["uid"])
        except Conflict:
            return
        self._caches[resource].drop(key_of(live))

    def insisted(self, uid: str) -> bool:
        """Whether this object was put back so often that somebody must be changing it again and again."""
        return self._repairs[uid] >= REPAIRS
