"""The whole history of rollouts, beside their status: a RolloutHistory each, one line of JSON an event, bounded.

Written by the controller in the background, never before a decision: the status carries the newest events itself, so a
crash between the two writes loses nothing. Events are recognised by their ids, so writing them again changes nothing.
It is a kind of its own: the operator needs no right on ConfigMaps, and who may edit a rollout cannot edit its record.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from canary.errors import Conflict
from canary.rollout import Event
from canary.serial import event_from_text, event_to_text
from controlplane.kubernetes.api import Exists, Kube, NotFound, Object, Rejected
from controlplane.kubernetes.names import MANAGED_BY, ROLLOUT_LABEL
from controlplane.kubernetes.resources import CONFIG_MAP, MODEL_CANARY, ROLLOUT_HISTORY

EVENTS = "events.jsonl"
ALERTS = "alerts.jsonl"
"""Which alerts were delivered; written by `alert_dispatcher.py`."""
MOST_EVENTS = 2000
MOST_BYTES = 512 * 1024
LONGEST_LINE = 64 * 1024
"""Characters of one line that is read: an event with all of its evidence has some thousand."""
REMEMBERED = 300
TRIES = 3


EARLIER = "{}-history"
"""The ConfigMap of a rollout, in which builds before this kind kept its history."""


class EventLog:
    """The histories of one namespace, and what was not written into them yet."""

    def __init__(self, kube: Kube, namespace: str, *, earlier: bool = False) -> None:
        """`earlier`: what an earlier build left in a ConfigMap is read, and taken over at the first write."""
        self._kube = kube
        self._namespace = namespace
        self._looks_earlier = earlier
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
        lines = _of_attempt(await self.lines(name, EVENTS), attempt)
        if not lines:
            lines = _of_attempt(_lines(await self._earlier(name), EVENTS), attempt)
        found: dict[str, Event] = {}
        for line in (*lines, *_of_attempt(self._pending.get(name, {}).values(), attempt)):
            if (event := _event(line)) is not None:
                found.setdefault(event.id, event)
        return list(found.values())

    async def lines(self, name: str, key: str) -> list[str]:
        """What is kept under a key."""
        try:
            return _lines(await self._kube.get(ROLLOUT_HISTORY, self._namespace, name), key)
        except NotFound:
            return _lines(await self._earlier(name), key)

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
            book = await self._kube.get(ROLLOUT_HISTORY, self._namespace, name)
        except NotFound:
            data = _added(await self._earlier(name), key, lines)
            await self._create(_empty(name, self._namespace, owner) | {"data": data})
            return
        data = _added(book, key, lines)
        if data != book.get("data"):
            patch: list[Mapping[str, Any]] = [
                {"op": "test", "path": "/metadata/resourceVersion", "value": book["metadata"]["resourceVersion"]},
                {"op": "add", "path": "/data", "value": data},
            ]
            await self._kube.patch(ROLLOUT_HISTORY, self._namespace, name, patch)

    async def _create(self, book: Object) -> None:
        try:
            await self._kube.create(ROLLOUT_HISTORY, book)
        except NotFound as error:
            where = f"{book['metadata']['namespace']}/{book['metadata']['name']}"
            raise NotFound(
                f"The history of {where} cannot be kept: {error}. Whoever runs the cluster applies manifests/crd. "
                "The rollout goes on."
            ) from error

    async def _earlier(self, name: str) -> Object:
        """The ConfigMap of an earlier build; empty where there is none, it may not be read, or nobody asks for it."""
        if self._looks_earlier:
            with suppress(NotFound, Rejected):
                return await self._kube.get(CONFIG_MAP, self._namespace, EARLIER.format(name))
        return {}


def said_in(line: str) -> dict[str, Any] | None:
    """What a line says; None for one that is no object, or too long to be ours: anybody may have written it."""
    try:
        found = json.loads(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


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


def _added(book: Object, key: str, lines: Mapping[str, str]) -> dict[str, str]:
    """The data of a book with these lines, by id, as far as they are not there yet."""
    here = _lines(book, key)
    known = {said.get("id") for line in here if (said := said_in(line)) is not None}
    new = [line for id_, line in lines.items() if id_ not in known]
    kept = {each: text for each in (EVENTS, ALERTS) if (text := (book.get("data") or {}).get(each))}
    return kept | {key: bounded(here + new)} if new else kept


def _of_attempt(lines: Iterable[str], attempt: int) -> list[str]:
    return [line for line in lines if line.startswith(f'{{"attempt":{attempt},')]


def _line(attempt: int, event: Event) -> str:
    return f'{{"attempt":{attempt},{event_to_text(event)[1:]}'


def _event(line: str) -> Event | None:
    """What a line tells; None for one that is not ours, for whoever may edit the ConfigMap writes what stands in it."""
    try:
        return event_from_text(line) if len(line) <= LONGEST_LINE else None
    except (ValueError, RecursionError):
        return None


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
        "apiVersion": ROLLOUT_HISTORY.api_version,
        "kind": ROLLOUT_HISTORY.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {MANAGED_BY: "serinus", ROLLOUT_LABEL: name},
            "ownerReferences": [reference],
        },
    }
