"""The newest known state of a kind, kept by a reflector and read without asking the server.

Filled by `reflector.py` (and by tests); read by platforms, routers, the operator. Readers never change what they get.
Listeners are called one by one: what one of them makes of an object neither keeps the others from hearing of it nor
ends whoever fills the cache.
"""

import logging
from collections.abc import Callable, Iterator
from typing import Any

from controlplane.kubernetes.api import Object, Resource

Key = tuple[str, str]
"""Namespace and name."""
Change = Callable[[Object | None, Object | None], None]
"""Called with the object before and after a change; None where there was, or is, none. Returns at once."""


Slim = Callable[[Object], Object]


def key_of(object_: Object) -> Key:
    """Namespace (empty for kinds without) and name."""
    return object_["metadata"].get("namespace", ""), object_["metadata"]["name"]


class Cache:
    """Objects of one kind by namespace and name."""

    def __init__(self, resource: Resource, slim: Slim | None = None) -> None:
        """`slim` makes of each object what is worth keeping, whoever puts it here; it leaves what it is given alone."""
        self.resource = resource
        self._slim: Slim = slim or (lambda object_: object_)
        self.synced = False
        """Whether everything has been listed once: before that, an object that is not here may well exist."""
        self.missing = False
        """Whether the server does not know this kind (its CRD is not installed): then it is synced and empty."""
        self.heard_at = float("-inf")
        """When the server last said anything about this kind (seconds on the clock of whoever fills it)."""
        self.complain: Callable[[str], None] = logging.getLogger("serinus").error
        """Hears of listeners that failed: bugs of ours, each with the object at which it shows."""
        self._objects: dict[Key, Object] = {}
        self._listeners: list[Change] = []

    def get(self, namespace: str, name: str) -> Object | None:
        """One object, or None."""
        return self._objects.get((namespace, name))

    def items(self, namespace: str | None = None) -> Iterator[Object]:
        """All objects, or those of one namespace."""
        for (place, _), object_ in list(self._objects.items()):
            if namespace is None or place == namespace:
                yield object_

    def __len__(self) -> int:
        """How many there are."""
        return len(self._objects)

    def on_change(self, listener: Change) -> None:
        """Be told of every change from now on."""
        self._listeners.append(listener)

    def put(self, object_: Object) -> None:
        """Take a newer state. One that is older than what is known is left out (versions are compared as numbers)."""
        key = key_of(object_)
        before = self._objects.get(key)
        if before is not None and _version(object_) <= _version(before):
            return
        kept = self._objects[key] = self._slim(object_)
        self._tell(before, kept)

    def drop(self, key: Key) -> None:
        """It is gone."""
        before = self._objects.pop(key, None)
        if before is not None:
            self._tell(before, None)

    def replace(self, objects: list[Object]) -> None:
        """Take a whole list: it is the truth, and what is not in it is gone.

        Versions only say here whether an object is another than before, because they are smaller again after a server's
        store was restored from a backup.
        """
        named = {key_of(each): self._slim(each) for each in objects}
        for key in [key for key in self._objects if key not in named]:
            self.drop(key)
        for key, each in named.items():
            before = self._objects.get(key)
            self._objects[key] = each
            if before is None or _identity(before) != _identity(each):
                self._tell(before, each)
        self.synced = True

    def _tell(self, before: Object | None, after: Object | None) -> None:
        for listener in self._listeners:
            try:
                listener(before, after)
            except Exception as error:  # noqa: BLE001 - whatever an object holds, it is this object's trouble alone
                about = "/".join(filter(None, key_of(after or before or {})))
                self.complain(
                    f"A bug of ours at a change of {self.resource.kind} {about}, please report it: {error!r}. "
                    f"Everything else goes on."
                )


def _identity(object_: Object) -> tuple[Any, Any]:
    meta = object_["metadata"]
    return meta.get("uid"), meta.get("resourceVersion")


def _version(object_: Object) -> int:
    text = object_["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0
