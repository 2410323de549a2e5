"""The whole history of rollouts, beside their status: a ConfigMap a ModelCanary, one line of JSON an event, bounded.

Written by the roster in the background, never before a decision: the status carries the newest events itself, so a
crash between the two writes loses nothing. Events are recognised by their ids, so writing them again changes nothing.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canary.errors import Conflict
from canary.rollout import Event
from canary.serial import event_from_text, event_to_text
from controlplane.kubernetes.api import Exists, Kube, NotFound, Object
from controlplane.kubernetes.names import MANAGED_BY, ROLLOUT_LABEL
from controlplane.kubernetes.resources import CONFIG_MAP, MODEL_CANARY

EVENTS = "events.jsonl"
ALERTS = "alerts.jsonl"
"""Which alerts were delivered; written by `desk.py`."""
MOST_EVENTS = 2000
MOST_BYTES = 512 * 1024
REMEMBERED = 300
TRIES = 3


def book_of(name: str) -> str:
    """The ConfigMap of a rollout."""
    return f"{name}-history"


class Books:
    """The histories of one namespace, and what was not written into them yet."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube = kube
        self._namespace = namespace
        self._pending: dict[str, dict[str, str]] = {}
        """Rollout to event id to line."""
        self._written: dict[str, dict[str, None]] = {}
        """Rollout to the ids of its newest written events, in order; as many as a state can still carry."""

    def note(self, name: str, attempt: int, events: Iterable[Event]) -> None:
        """Let these be written, unless they are."""
        pending, written = self._pending.setdefault(name, {}), self._written.get(name, {})
        for event in events:
            if event.id not in written and event.id not in pending:
                pending[event.id] = _line(attempt, event)

    def waiting(self, name: str) -> int:
        """How many events are not written yet."""
        return len(self._pending.get(name, ()))

    def forget(self, name: str) -> None:
        """Keep nothing of this rollout in memory."""
        self._pending.pop(name, None)
        self._written.pop(name, None)

    async def read(self, name: str, attempt: int) -> Sequence[Event]:
        """All events of an attempt, in order, written or not."""
        lines = (await self.lines(name, EVENTS)) + list(self._pending.get(name, {}).values())
        found: dict[str, Event] = {}
        for line in lines:
            if line.startswith(f'{{"attempt":{attempt},'):
                event = event_from_text(line)
                found.setdefault(event.id, event)
        return list(found.values())

    async def lines(self, name: str, key: str) -> list[str]:
        """What is kept under a key."""
        try:
            return _lines(await self._kube.get(CONFIG_MAP, self._namespace, book_of(name)), key)
        except NotFound:
            return []

    async def flush(self, name: str, owner: Object) -> None:
        """Write what waits. `owner`: the ModelCanary, with which the history goes."""
        pending = dict(self._pending.get(name, {}))
        if not pending:
            return
        await self.append(name, owner, EVENTS, pending)
        waiting = self._pending.get(name, {})
        for id_ in pending:
            waiting.pop(id_, None)
        written = [*self._written.get(name, ()), *pending]
        self._written[name] = dict.fromkeys(written[-REMEMBERED:])

    async def append(self, name: str, owner: Object, key: str, lines: Mapping[str, str]) -> None:
        """Add lines, by id, that are not there yet."""
        for _ in range(TRIES):
            try:
                return await self._append(name, owner, key, lines)
            except (Conflict, Exists):
                continue  # somebody else wrote between our look and our write
        raise Conflict(f"The history of {name} could not be written: somebody else writes it all the time.")

    async def _append(self, name: str, owner: Object, key: str, lines: Mapping[str, str]) -> None:
        try:
            book = await self._kube.get(CONFIG_MAP, self._namespace, book_of(name))
        except NotFound:
            text = bounded(list(lines.values()))
            await self._kube.create(CONFIG_MAP, _empty(name, self._namespace, owner) | {"data": {key: text}})
            return
        here = _lines(book, key)
        known = {json.loads(line).get("id") for line in here}
        new = [line for id_, line in lines.items() if id_ not in known]
        if new:
            data = (book.get("data") or {}) | {key: bounded(here + new)}
            patch: list[Mapping[str, Any]] = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": book["metadata"]["resourceVersion"]},
                {"op": "add", "path": "/data", "value": data},
            ]
            await self._kube.patch(CONFIG_MAP, self._namespace, book_of(name), patch)


def bounded(lines: Sequence[str]) -> str:
    """The newest lines that fit, one below the other."""
    kept: list[str] = []
    size = 0
    for line in reversed(lines[-MOST_EVENTS:]):
        size += len(line.encode("utf-8", "replace")) + 1
        if size > MOST_BYTES:
            break
        kept.append(line)
    return "".join(f"{line}\n" for line in reversed(kept))


def _line(attempt: int, event: Event) -> str:
    return f'{{"attempt":{attempt},{event_to_text(event)[1:]}'


def _lines(book: Object, key: str) -> list[str]:
    return [line for line in (book.get("data") or {}).get(key, "").split("\n") if line]


def _empty(name: str, namespace: str, owner: Object) -> Object:
    reference = {
        "apiVersion": MODEL_CANARY.api_version,
        "kind": MODEL_CANARY.kind,
        "name": name,
        "uid": owner["metadata"]["uid"],
    }
    return {
        "apiVersion": "v1",
        "kind": CONFIG_MAP.kind,
        "metadata": {
            "name": book_of(name),
            "namespace": namespace,
            "labels": {MANAGED_BY: "serinus", ROLLOUT_LABEL: name},
            "ownerReferences": [reference],
        },
    }
