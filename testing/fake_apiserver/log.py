"""What happened on the API server in memory, in order, and who is told: its log and its open watches.

Used by `server.py`, which writes it, and `kube.py`, which reads watches from it.
"""

import asyncio
from collections import deque
from dataclasses import dataclass, field

from controlplane.kubernetes.api import Object, Resource, ResourceExpired, WatchEvent
from controlplane.kubernetes.cache import Key
from testing.fake_apiserver.patches import copied
from testing.fake_apiserver.selector import matches

KEPT = 10_000
"""Changes that are remembered; watches from before are `ResourceExpired`."""


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the server's log."""

    version: int
    resource: Resource
    key: Key
    before: Object | None
    after: Object | None

    def event(self, labels: str) -> WatchEvent | None:
        """As a watcher with this selector sees it: an object that stops matching is deleted for it."""
        was = self.before is not None and selected(labels, self.before)
        fits = self.after is not None and selected(labels, self.after)
        if fits and self.after is not None:
            return WatchEvent("MODIFIED" if was else "ADDED", copied(self.after))
        if was and self.before is not None:
            last = copied(self.before if self.after is None else self.after)
            last["metadata"]["resourceVersion"] = str(self.version)
            return WatchEvent("DELETED", last)
        return None


@dataclass(eq=False, slots=True)
class Watcher:
    """One open watch."""

    resource: Resource
    namespace: str | None
    labels: str
    events: asyncio.Queue[WatchEvent | Exception | None] = field(default_factory=asyncio.Queue)
    """An exception breaks the watch, None ends it in order."""

    def tell(self, change: Change) -> None:
        """Pass a change on, if it is this watcher's business."""
        if change.resource == self.resource and self.namespace in {None, change.key[0]}:
            event = change.event(self.labels)
            if event is not None:
                self.events.put_nowait(event)


class Log:
    """The newest changes, and the watches that hear of the next ones."""

    def __init__(self) -> None:
        self.watchers: set[Watcher] = set()
        self._changes: deque[Change] = deque()
        self._compacted = 0
        """Changes up to this version are forgotten."""

    def record(self, change: Change) -> None:
        """It has happened: remember it and tell everybody."""
        self._changes.append(change)
        if len(self._changes) > KEPT:
            self._compacted = self._changes.popleft().version
        for watcher in self.watchers:
            watcher.tell(change)

    def replay(self, watcher: Watcher, version: int) -> None:
        """Tell a watcher all that happened after this version; raises `ResourceExpired`."""
        if version < self._compacted:
            raise ResourceExpired(f"too old resource version: {version} ({self._compacted})")
        for change in self._changes:
            if change.version > version:
                watcher.tell(change)

    def compact(self, version: int) -> None:
        """Forget everything; a watch can go on from this version on."""
        self._compacted = version
        self._changes.clear()

    def end(self, error: Exception | None = None) -> None:
        """Break every open watch by this error, or end it in order."""
        for watcher in self.watchers:
            watcher.events.put_nowait(error)


def selected(labels: str, object_: Object) -> bool:
    """Whether a selector (empty: any) takes this object."""
    return not labels or matches(labels, object_["metadata"].get("labels") or {})
