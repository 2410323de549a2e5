"""Reads the rollout out of one ModelCanary again and again, and understands only what it has not understood before.

Used by `shelf.py`, one for each ModelCanary. A status changes every second, and most of it is the history, of which all
but the newest event are as they were. What is wrong with a status is said by the operator's own `stored_in`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from canary.rollout import Event
from controlplane.kubernetes.api import Object
from controlplane.operator.store import stored_in
from controlplane.ports import Stored


class Reader:
    """One ModelCanary, as it changes."""

    def __init__(self) -> None:
        self._identity = ""
        self._stored: Stored | None = None
        self._understood: dict[str, tuple[Mapping[str, Any], Event]] = {}
        """By id what stands in the status for an event, and the event."""

    def read(self, object_: Object) -> Stored | None:
        """The rollout in this status, if there is one. Raises `ExternalError` for a status that is broken."""
        meta = object_["metadata"]
        identity = f"{meta.get('uid')}/{meta.get('resourceVersion')}"
        if identity != self._identity:
            self._stored = self._understand(object_)
            self._identity = identity
        return self._stored

    def _understand(self, object_: Object) -> Stored | None:
        told = _history(object_)
        if told is None:
            return stored_in(object_)
        new = [each for each in told if self._event(each) is None]
        stored = stored_in(_with_history(object_, new))
        if stored is None:
            return None
        found = {event.id: (each, event) for each, event in zip(new, stored.rollout.history, strict=True)}
        # Only what is told now is kept: a history is bounded, and so is what is remembered of it.
        self._understood = {each["id"]: found.get(each["id"]) or self._understood[each["id"]] for each in told}
        history = tuple(self._understood[each["id"]][1] for each in told)
        return replace(stored, rollout=replace(stored.rollout, history=history))

    def _event(self, told: Mapping[str, Any]) -> Event | None:
        known = self._understood.get(told["id"])
        return known[1] if known is not None and known[0] == told else None


def _history(object_: Object) -> Sequence[Mapping[str, Any]] | None:
    """The events in a status as they stand there; None where they are not what an operator writes."""
    try:
        told = object_["status"]["state"]["history"]
        ids = {each["id"] for each in told if isinstance(each["id"], str)}
    except (KeyError, TypeError):
        return None
    return told if isinstance(told, list) and len(ids) == len(told) else None


def _with_history(object_: Object, history: Sequence[Mapping[str, Any]]) -> Object:
    status = object_["status"]
    return {**object_, "status": {**status, "state": {**status["state"], "history": history}}}
