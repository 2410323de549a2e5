"""The newest known state of a kind, kept by a reflector and read without asking the server.

Filled by `reflector.py` (and by tests); read by platforms, routers, the operator. Readers never change what they get.
Listeners are called one by one: what one of them makes of an object neither keeps the others from hearing of it nor
ends whoever fills the cache.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from controlplane.kubernetes.allowance import MOST_BYTES, Allowance, outline, weight
from controlplane.kubernetes.api import Object, Resource, Slim

Key = tuple[str, str]
"""Namespace and name."""
Change = Callable[[Object | None, Object | None], None]
"""Called with the object before and after a change; None where there was, or is, none. Returns at once."""


def key_of(object_: Object) -> Key:
    """Namespace (empty for kinds without) and name."""
    return object_["metadata"].get("namespace", ""), object_["metadata"]["name"]


class Cache:
    """Objects of one kind by namespace and name."""

    def __init__(
        self, resource: Resource, slim: Slim | None = None, *, most: int = MOST_BYTES, outlined: Slim = outline
    ) -> None:
        """`slim` makes of each object what is worth keeping, whoever puts it here.

        `most`: bytes of memory for the objects of one namespace; what is beyond is kept as `outlined` makes it.
        """
        self.resource = resource
        self.slim = slim
        self.allowance = Allowance(most)
        self._outlined = outlined
        self.synced = False
        """Whether everything has been listed once: before that, an object that is not here may well exist."""
        self.missing = False
        """Whether the server does not know this kind (its CRD is not installed): then it is synced and empty."""
        self.heard_at = float("-inf")
        """When the server last said anything about this kind (seconds on the clock of whoever fills it)."""
        self.complain: Callable[[str], None] = logging.getLogger("serinus").error
        """Hears of listeners that failed: bugs of ours, each with the object at which it shows."""
        self._objects: dict[Key, Object] = {}
        self._weights: dict[Key, int] = {}
        self._omitted: set[Key] = set()
        """Objects of which only an outline is kept."""
        self._lighter: dict[Key, tuple[tuple[Any, Any], Slim]] = {}
        """Of which spec less is kept, and how."""
        self._full: set[str] = set()
        """Namespaces of which it was said."""
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
        if before is not None and _version(object_) <= _version(before) and not self._is_fuller(key, object_):
            return
        kept, bytes_, whole = self._kept(object_, self.allowance, self._weights.get(key, 0))
        self._store(key, kept, bytes_, whole=whole)
        self._tell(before, kept)

    def drop(self, key: Key) -> None:
        """It is gone."""
        before = self._objects.pop(key, None)
        if before is not None:
            self.allowance.take(key[0], -self._weights.pop(key, 0))
            self._omitted.discard(key)
            self._lighter.pop(key, None)
            self._tell(before, None)

    def intake(self) -> "Intake":
        """For a list that is on its way: what of each object is kept, one by one."""
        return Intake(self)

    def replace(self, objects: Sequence[Object], intake: "Intake | None" = None) -> None:
        """Take a whole list: it is the truth, and what is not in it is gone. `intake`: what has made these of it.

        Versions only say here whether an object is another than before, because they are smaller again after a server's
        store was restored from a backup.
        """
        if intake is None:
            intake = self.intake()
            objects = [intake(each) for each in objects]
        named = {key_of(each): each for each in objects}
        for key in [key for key in self._objects if key not in named]:
            self.drop(key)
        for key, each in named.items():
            before = self._objects.get(key)
            bytes_, whole = intake.known[key]
            self._store(key, each, bytes_, whole=whole)
            if before is None or _identity(before) != _identity(each):
                self._tell(before, each)
        self.synced = True

    def lighten(self, key: Key, lighter: Slim) -> None:
        """Keep less of one from now on, which says the same to its readers, until its spec is another one."""
        if (object_ := self._objects.get(key)) is not None:
            self._lighter[key] = _spec_of(object_), lighter
            kept = lighter(object_)
            self._store(key, kept, weight(kept), whole=key not in self._omitted)

    def is_omitted(self, key: Key) -> bool:
        """Whether only an outline of it is kept, for want of room."""
        return key in self._omitted

    def may_have(self, key: Key) -> bool:
        """Whether there is room by now for one of which only an outline is kept: then it may be read again, and put."""
        return key in self._omitted and self.allowance.fits(key[0], self.allowance.most // 4)

    def with_room(self) -> list[str]:
        """Namespaces with objects of which only an outline is kept, and for which there is room by now."""
        return sorted({key[0] for key in self._omitted if self.may_have(key)})

    def put_again(self, object_: Object) -> None:
        """Take one that was read again, if there is still room for it and only an outline is kept."""
        if self.may_have(key_of(object_)):
            self.put(object_)

    def _is_fuller(self, key: Key, object_: Object) -> bool:
        """Whether this is the very object of which only an outline is kept."""
        before = self._objects[key]
        return key in self._omitted and _identity(before) == _identity(object_) and self.may_have(key)

    def _store(self, key: Key, kept: Object, bytes_: int, *, whole: bool) -> None:
        self.allowance.take(key[0], bytes_ - self._weights.get(key, 0))
        self._objects[key], self._weights[key] = kept, bytes_
        if whole:
            self._omitted.discard(key)
        else:
            self._omitted.add(key)

    def _kept(self, object_: Object, allowance: Allowance, before: int) -> tuple[Object, int, bool]:
        """What is kept of an object, the bytes that it takes, and whether that is all that is worth keeping."""
        namespace, name = key_of(object_)
        try:
            kept = object_ if self.slim is None else self.slim(object_)
            of, lighter = self._lighter.get((namespace, name), (None, None))
            if lighter is not None and of == _spec_of(object_):
                kept = lighter(kept)
            bytes_ = weight(kept)
        except Exception as error:  # noqa: BLE001 - one object of another shape must not hide all the others
            about = "/".join(filter(None, (namespace, name)))
            self.complain(f"{self.resource.kind} {about} cannot be understood and is left out: {error!r}")
            kept = outline(object_)
            return kept, weight(kept), True
        if allowance.fits(namespace, bytes_ - before):
            self._full.discard(namespace)
            return kept, bytes_, True
        if namespace not in self._full:
            self._full.add(namespace)
            self.complain(
                f"The {self.resource.plural} of namespace {namespace} take more memory than one namespace may have "
                f"({allowance.most // 2**20} MiB): of {name}, and of others beyond it, nothing but the name is known."
            )
        kept = self._outlined(kept)
        return kept, weight(kept), False

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


class Intake:
    """The objects of one list on their way into a cache, each as it will be kept."""

    def __init__(self, cache: Cache) -> None:
        self.known: dict[Key, tuple[int, bool]] = {}
        """Of each the bytes that it takes, and whether it is kept whole."""
        self._cache, self._allowance = cache, Allowance(cache.allowance.most)

    def __call__(self, object_: Object) -> Object:
        """What is kept of it."""
        key = key_of(object_)
        before = self.known.get(key, (0, True))[0]  # where a list had to be begun again
        kept, bytes_, whole = self._cache._kept(object_, self._allowance, before)  # noqa: SLF001 - two halves of one
        self._allowance.take(key[0], bytes_ - before)
        self.known[key] = bytes_, whole
        return kept


def _identity(object_: Object) -> tuple[Any, Any]:
    meta = object_["metadata"]
    return meta.get("uid"), meta.get("resourceVersion")


def _spec_of(object_: Object) -> tuple[Any, Any]:
    meta = object_["metadata"]
    return meta.get("uid"), meta.get("generation")


def _version(object_: Object) -> int:
    text = object_["metadata"].get("resourceVersion", "0")
    return int(text) if text.isdigit() else 0
