"""Rollouts in ModelCanaries as the routes read them: the store of one namespace, for many readers at the cost of few.

Made by `cluster.py`, one a namespace. States come from the watched cache and are understood once a version; the history
is fetched once and carried on from what each new status brings. Requests are the operator's own annotations. Writes
nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from canary.errors import ExternalError, Unavailable
from canary.rollout import Event
from canary.snapshot import OperatorRequest
from controlplane.api.problem import HttpProblem
from controlplane.api.reader import Reader
from controlplane.kubernetes import api
from controlplane.kubernetes.api import Kube, NotFound
from controlplane.kubernetes.cache import Cache
from controlplane.operator.event_log import EventLog
from controlplane.operator.store import StatusStore
from controlplane.ports import Clock, Stored

ROLES = "Acting on rollouts needs the role edit there, or patch on modelcanaries.serinus.dev."


@dataclass(frozen=True, slots=True)
class _Kept:
    """The history of a ModelCanary's newest attempt as far as it is known."""

    uid: str
    attempt: int
    events: dict[str, Event]


class Shelf:
    """All rollouts of one namespace. Implements `places.Shelf`."""

    def __init__(self, kube: Kube, canaries: Cache, namespace: str, clock: Clock) -> None:
        """`canaries`: kept equal to the server by a reflector."""
        self._kube, self._canaries, self._namespace = kube, canaries, namespace
        self._store = StatusStore(kube, canaries, namespace, now=clock.now)
        self._readers: dict[str, Reader] = {}
        self._histories: dict[str, _Kept] = {}

    async def load(self, name: str) -> Stored | None:
        """The newest state that was heard of; raises `ExternalError` for a status that is broken."""
        object_ = self._canaries.get(self._namespace, name)
        if object_ is None:
            self._readers.pop(name, None)
            self._histories.pop(name, None)
            return None
        return self._readers.setdefault(name, Reader()).read(object_)

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of an attempt (None: the newest) that are kept and may be read, in order."""
        stored, object_ = await self.load(name), self._canaries.get(self._namespace, name)
        if stored is None or object_ is None:
            return ()
        rollout = stored.rollout
        if attempt is not None and attempt != rollout.attempt:
            return list((await self._written(name, attempt)).values())
        uid, shown = str(object_["metadata"].get("uid")), {event.id: event for event in rollout.history}
        kept = self._histories.get(name)
        if (
            kept is None
            or (kept.uid, kept.attempt) != (uid, rollout.attempt)
            or (shown and not shown.keys() & kept.events.keys())  # more has happened than a status shows
        ):
            kept = _Kept(uid, rollout.attempt, await self._written(name, rollout.attempt))
            self._histories[name] = kept
        kept.events.update({id_: event for id_, event in shown.items() if id_ not in kept.events})
        return list(kept.events.values())

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """Requests without an answer, oldest first, as last heard."""
        return await self._store.requests(name)

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Write the annotation that `kubectl canary` writes. Raises `problem.Refused` where that is not allowed."""
        try:
            await self._store.ask(name, request)
        except NotFound as error:
            raise HttpProblem(404, "No such rollout", f"{name} was deleted just now: nothing was asked.") from error
        except api.Rejected as error:
            raise HttpProblem(403, "Not allowed", f"{error}. {ROLES} Nothing was asked.") from error

    async def _written(self, name: str, attempt: int) -> dict[str, Event]:
        """What is kept beside the status; nothing for people who may not read that."""
        try:
            return {event.id: event for event in await EventLog(self._kube, self._namespace).read(name, attempt)}
        except Unavailable:
            raise
        except ExternalError:
            return {}
