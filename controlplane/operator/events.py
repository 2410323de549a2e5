"""Kubernetes Events about rollouts: what `kubectl describe mcan` and `kubectl get events` show.

Filled by the controller and by the notifiers of rollouts, which never wait: one worker writes them, at its leisure. An
Event's name follows from what it tells, so one that is told twice is there once.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from canary.errors import ExternalError
from canary.rollout import Event, Phase
from canary.verdict import GateAnswer
from controlplane.backoff import Backoff
from controlplane.kubernetes.api import Exists, Kube, NotFound, Object, Rejected
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY

Kind = Literal["Normal", "Warning"]
CONTROLLER = "serinus.dev/operator"
LONGEST_NOTE = 1000
"""Bytes; the API takes 1 kB."""
MOST_WAITING = 5000
TRIES = 5
FIRST_WAIT, LONGEST_WAIT = 0.5, 8.0
WARNINGS = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.BLIND})
SHOWN = frozenset({"phase", "operator", "alert"})
"""Kinds of history entries that are worth an Event each; a verdict is where it fails."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One Event to be written."""

    about: Object
    """The ModelCanary, or another object of ours."""
    id: str
    """What makes it the same Event when it is told again."""
    kind: Kind
    reason: str
    """A word in CamelCase."""
    note: str
    at: float
    """Seconds since the epoch."""


def kind_of(event: Event) -> Kind | None:
    """What an entry of a rollout's history is told as; None where it is not worth an Event."""
    failed = event.event == "verdict" and event.evidence.get("verdict") == GateAnswer.FAIL
    if event.event not in SHOWN and not failed:
        return None
    warns = failed or event.event == "alert" or (event.event == "phase" and event.phase in WARNINGS)
    return "Warning" if warns else "Normal"


def notable(history: Sequence[Event]) -> list[tuple[Event, Kind]]:
    """The entries that are worth an Event, each sentence once: what a person asked for is often the phase's own."""
    told: list[tuple[Event, Kind]] = []
    for event in history:
        if (kind := kind_of(event)) is not None:
            if told and told[-1][0].message == event.message:
                told.pop()
            told.append((event, kind))
    return told


class Events:
    """Writes Events in the background."""

    def __init__(self, kube: Kube, *, instance: str, now: Callable[[], float], say: Callable[[str], None]) -> None:
        """`instance`: which replica of the operator says so."""
        self._kube, self._instance, self._now, self._say = kube, instance, now, say
        self._waiting: deque[Notice] = deque(maxlen=MOST_WAITING)
        self._stir = asyncio.Event()
        self.lost = 0
        """Events given up: the server refused them, or too many waited."""

    def tell(self, about: Object, id_: str, kind: Kind, reason: str, note: str) -> None:
        """Let this be written. Returns at once."""
        self._put(Notice(about, id_, kind, reason, note, self._now()))

    def tell_of(self, about: Object, event: Event) -> None:
        """Let an entry of a rollout's history be written, if it is worth an Event."""
        if (kind := kind_of(event)) is not None:
            self._put(Notice(about, event.id, kind, event.reason.value, event.message, event.at))

    def listener(self, about: Callable[[], Object]) -> "Listener":
        """A notifier for the rollout of this ModelCanary."""
        return Listener(self, about)

    async def run(self) -> None:
        """Write what comes, for ever."""
        while True:
            while self._waiting:
                await self._write(self._waiting.popleft())
            self._stir.clear()
            await self._stir.wait()

    async def empty(self, seconds: float) -> None:
        """Write what is left, for so long at most."""
        try:
            async with asyncio.timeout(seconds):
                while self._waiting:
                    await self._write(self._waiting.popleft())
        except TimeoutError:
            self.lost += len(self._waiting)

    def _put(self, notice: Notice) -> None:
        last = self._waiting[-1] if self._waiting else None
        if last is not None and (last.about["metadata"]["uid"], last.note) == (
            notice.about["metadata"]["uid"],
            notice.note,
        ):  # what a person asked for, and the phase that came of it: once is enough
            self._waiting.pop()
        if len(self._waiting) == MOST_WAITING:
            self.lost += 1
        self._waiting.append(notice)
        self._stir.set()

    async def _write(self, notice: Notice) -> None:
        """A few tries; an Event is never worth more."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        for _ in range(TRIES):
            try:
                await self._kube.create(EVENT, event_object(notice, self._instance))
            except Exists:
                return
            except (Rejected, NotFound) as error:  # a namespace that is being deleted takes no Events
                self.lost += 1
                self._say(f"An Event about {notice.about['metadata']['name']} was refused: {error}")
                return
            except ExternalError:
                await asyncio.sleep(backoff.next())
            except Exception as error:  # noqa: BLE001 - an Event is made of what a status holds, and is not worth an end
                self.lost += 1
                self._say(f"An Event about {notice.about['metadata']['name']} cannot be written: {error!r}")
                return
            else:
                return
        self.lost += 1


class Listener:
    """Hands one rollout's history to the Events. Implements `controlplane.ports.Notifier`."""

    def __init__(self, events: Events, about: Callable[[], Object]) -> None:
        self._events, self._about = events, about

    async def tell(self, event: Event) -> None:
        """Returns at once."""
        self._events.tell_of(self._about(), event)


def event_object(notice: Notice, instance: str) -> Object:
    """The Event as the API takes it."""
    meta = notice.about["metadata"]
    digest = hashlib.sha256(f"{meta['uid']}/{notice.id}".encode()).hexdigest()[:16]
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{meta['name'][:200]}.{digest}", "namespace": meta["namespace"]},
        "eventTime": datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "reportingController": CONTROLLER,
        "reportingInstance": instance[:128],
        "action": "Rollout",
        "type": notice.kind,
        "reason": notice.reason[:128],
        "note": _short(notice.note),
        "regarding": {
            "apiVersion": notice.about.get("apiVersion", MODEL_CANARY.api_version),
            "kind": notice.about.get("kind", MODEL_CANARY.kind),
            "name": meta["name"],
            "namespace": meta["namespace"],
            "uid": meta["uid"],
            "resourceVersion": meta["resourceVersion"],
        },
    }


def _short(text: str) -> str:
    raw = text.encode("utf-8", "replace")
    return text if len(raw) <= LONGEST_NOTE else raw[: LONGEST_NOTE - 3].decode("utf-8", "ignore") + "…"
