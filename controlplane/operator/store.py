"""Rollouts in the status of their ModelCanaries: behind the port `RolloutStore`, compare-and-swap on `status.version`.

Used by the controller, one store a namespace. Reads come from the cache except where a decision is about to be based on
them (`load`). A JSON patch that begins with a `test` makes the swap; edits of spec and metadata do not disturb it. A
writer whose term of office is over (a smaller fence) is refused. The whole history is `event_log.py`'s business.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from canary.errors import Conflict, ExternalError
from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest
from controlplane.kubernetes.api import Kube, NotFound, Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.conditions import (
    DRIFTED,
    QUEUED,
    TIDYING,
    accepted,
    drifted,
    finished,
    queued,
    with_times,
)
from controlplane.operator.event_log import EventLog
from controlplane.operator.events import Events
from controlplane.operator.leadership import Leadership
from controlplane.operator.request_annotations import annotation_of, requests_in
from controlplane.operator.state import dismissed_in, rollout_of
from controlplane.operator.status import MOST_GATES, StatusInputs, StatusUpdate, gate_of, has_news, status_of
from controlplane.ports import Stored

TERM = "Somebody else carries out the rollouts by now (term {theirs}, ours is {ours}): nothing was written."


class StatusStore:
    """All rollouts of one namespace."""

    def __init__(
        self,
        kube: Kube,
        canaries: Cache,
        namespace: str,
        *,
        now: Callable[[], float],
        leadership: Leadership | None = None,
        facts: Callable[[str], StatusInputs] = lambda _name: StatusInputs(),
        verified: Callable[[], bool | None] = lambda: None,
        earlier_histories: bool = False,
    ) -> None:
        """`canaries`: the ModelCanaries as last heard; `now`: seconds; `leadership`: None for one without a term.

        `facts`: what the status of a rollout says besides its state, asked at each write. `verified`: whether
        requests are from whom they say, see `OperatorRequest`. `earlier_histories`: see `EventLog`.
        """
        self.books = EventLog(kube, namespace, earlier=earlier_histories)
        self._kube = kube
        self._canaries = canaries
        self._namespace = namespace
        self._now = now
        self._leadership = leadership or Leadership()
        self._facts = facts
        self._verified = verified

    async def load(self, name: str) -> Stored | None:
        """The newest state, read from the server itself: an older one could make us undo what is right by now."""
        try:
            object_ = await self._kube.get(MODEL_CANARY, self._namespace, name)
        except NotFound:
            return None
        self._canaries.put(object_)
        return stored_in(object_)

    def is_of_earlier_term(self, name: str) -> bool:
        """Whether an earlier term than ours has a state here, as last heard."""
        status = (self._canaries.get(self._namespace, name) or {}).get("status") or {}
        return bool(status.get("version")) and int(status.get("fence") or 0) < self._leadership.fencing_token

    async def claim(self, name: str) -> bool:
        """Begin a term of office: from now on no earlier writer can save this rollout, so none can raise its traffic.

        One write over what was heard last, and where that is not the newest, over what the server has. Answers whether
        a term was begun by that, so that the cache has the newest state. Raises `Conflict` where a later term than
        ours has begun.
        """
        heard = self._canaries.get(self._namespace, name)
        if heard is not None and self._is_to_claim(heard):
            with suppress(Conflict):
                await self._claim(heard)
                return True
        object_ = await self._kube.get(MODEL_CANARY, self._namespace, name)
        self._canaries.put(object_)
        if not self._is_to_claim(object_):
            return False
        await self._claim(object_)
        return True

    def _is_to_claim(self, object_: Object) -> bool:
        """Whether an earlier term than ours has a state here; raises `Conflict` where a later one has."""
        status = object_.get("status") or {}
        return bool(status.get("version")) and self._may_write(status) != self._leadership.fencing_token

    async def _claim(self, object_: Object) -> None:
        version = int(object_["status"]["version"])
        patch = [
            _unchanged(object_),
            {"op": "add", "path": "/status/version", "value": version + 1},
            {"op": "add", "path": "/status/fence", "value": self._leadership.fencing_token},
        ]
        await self._patch(object_["metadata"]["name"], patch)

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Write if the stored version is still `version`; raises `Conflict` otherwise, or for an earlier term."""
        name = rollout.name
        object_ = await self._object(name)
        before: Mapping[str, Any] = object_.get("status") or {}
        stored = int(before.get("version") or 0)
        if stored != version:
            raise Conflict(f"{name} was read at version {version} and is at {stored} by now: read it again.")
        self._may_write(before)
        facts = replace(self._facts(name), fence=self._leadership.fencing_token)
        entry = StatusUpdate(rollout, spec_text, version + 1, facts, self._dismissed(object_, rollout))
        status = status_of(entry, before, self._now())
        # Never urgent, not even for a rollback: other rollouts' traffic comes back before this one's state is written.
        await self._patch(name, [_unchanged(object_), {"op": "add", "path": "/status", "value": status}])
        self.books.note(name, rollout.attempt, rollout.history)
        return version + 1

    async def note(self, name: str) -> bool:
        """Write what the facts say of the present spec and of drift, where that is news; answers whether it was.

        The rollout's own state and version stay, so nobody who carries it out is disturbed.
        """
        object_ = await self._object(name)
        status, facts = object_.get("status") or {}, self._facts(name)
        known = status.get("conditions") or ()
        told = [accepted(facts.faults)]
        if facts.drifts or any(each.get("type") == DRIFTED for each in known):
            told.append(drifted(facts.drifts))
        if facts.queued or any(each.get("type") == QUEUED for each in known):
            told.append(queued(facts.queued))
        if facts.tidied and _is_tidying(known):
            told.append(finished())
        news = with_times(told, known, facts.generation, self._now())
        others = [each for each in known if each.get("type") not in {one["type"] for one in news}]
        conditions = [*news, *others]
        if conditions == status.get("conditions") and status.get("observedGeneration") == facts.generation:
            return False
        self._may_write(status)
        patch: list[Mapping[str, Any]] = [_unchanged(object_)]
        if not status:
            fresh = {"version": 0, "observedGeneration": facts.generation, "conditions": conditions}
            patch.append({"op": "add", "path": "/status", "value": fresh})
        else:
            patch.append({"op": "add", "path": "/status/conditions", "value": conditions})
            patch.append({"op": "add", "path": "/status/observedGeneration", "value": facts.generation})
        await self._patch(name, patch)
        return True

    async def show(self, rollout: Rollout) -> None:
        """Write what the judge says by now, where the status still says that it has no data.

        Once a stage: evidence as such is not worth a write. The rollout's own state and version stay.
        """
        object_ = self._canaries.get(self._namespace, rollout.name)
        status = (object_ or {}).get("status") or {}
        if object_ is None or not has_news(status.get("gates") or (), rollout.verdicts):
            return
        self._may_write(status)
        gates = [gate_of(verdict) for verdict in rollout.verdicts[:MOST_GATES]]
        await self._patch(rollout.name, [_unchanged(object_), {"op": "add", "path": "/status/gates", "value": gates}])

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt (None: the newest) that are still kept, in order."""
        stored = stored_in(self._canaries.get(self._namespace, name) or {})
        if stored is not None:
            self.books.note(name, stored.rollout.attempt, stored.rollout.history)
        if attempt is None:
            attempt = stored.rollout.attempt if stored else 0
        return await self.books.read(name, attempt)

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """Requests without an answer, oldest first, as last heard."""
        object_ = self._canaries.get(self._namespace, name)
        if object_ is None:
            return []
        done = _done(object_)
        return [request for request in self.asked(object_) if request.id not in done]

    def asked(self, object_: Object) -> list[OperatorRequest]:
        """Every request that can be understood, oldest first, and whether it is from whom it says."""
        verified = self._verified()
        return [replace(request, verified=verified) for request in requests_in(object_).values() if request]

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Write a request beside the spec, where everybody sees it."""
        key, value = annotation_of(request)
        patch = {"metadata": {"annotations": {key: value}}}
        self._canaries.put(await self._kube.patch(MODEL_CANARY, self._namespace, name, patch))

    async def put_away(self, name: str, *, also: Sequence[str] = ()) -> list[str]:
        """Remove the annotations of requests that were answered, and those that nobody understands (returned).

        `also`: ids of requests that were answered without a rollout.
        """
        object_ = self._canaries.get(self._namespace, name)
        if object_ is None:
            return []
        done = _done(object_) | set(also)
        asked = requests_in(object_)
        over = [key for key, request in asked.items() if request is None or request.id in done]
        if over:
            patch = {"metadata": {"annotations": dict.fromkeys(over)}}
            self._canaries.put(await self._kube.patch(MODEL_CANARY, self._namespace, name, patch))
        return [key for key in over if asked[key] is None]

    async def _object(self, name: str) -> Object:
        """The ModelCanary as last heard, or else as the server has it."""
        known = self._canaries.get(self._namespace, name)
        if known is None:
            known = await self._kube.get(MODEL_CANARY, self._namespace, name)
            self._canaries.put(known)
        return known

    def _may_write(self, status: Mapping[str, Any]) -> int:
        """The term of whoever wrote last; raises `Conflict` where that is later than ours."""
        if not self._leadership.lease_valid():
            raise Conflict("It is not certain that nobody else carries out the rollouts by now: nothing was written.")
        theirs, ours = int(status.get("fence") or 0), self._leadership.fencing_token
        if theirs > ours:
            raise Conflict(TERM.format(theirs=theirs, ours=ours))
        return theirs

    def _dismissed(self, object_: Object, rollout: Rollout) -> tuple[str, ...]:
        """Requests for an earlier attempt: all that are here when a new one begins, until they are put away."""
        state = (object_.get("status") or {}).get("state") or {}
        here = {request.id for request in requests_in(object_).values() if request}
        known = set(dismissed_in(state)) & here
        began_anew = bool(state) and state.get("attempt") != rollout.attempt
        return tuple(sorted(here if began_anew else known))

    async def _patch(self, name: str, patch: Sequence[Mapping[str, Any]]) -> None:
        written = await self._kube.patch(MODEL_CANARY, self._namespace, name, patch, subresource="status")
        self._canaries.put(written)


class StateUnreadable(ExternalError):  # noqa: N818 - what became of it
    """What a status holds is no state that this build knows."""


def stored_in(object_: Object) -> Stored | None:
    """The rollout in the status of a ModelCanary, if there is one. Raises `ExternalError` for a
    status that is broken.
    """
    status = object_.get("status") or {}
    if not status.get("version") or "state" not in status:
        return None
    try:
        return Stored(rollout_of(status["state"]), str(status.get("plan", "")), int(status["version"]))
    except Exception as error:
        name = object_["metadata"]["name"]
        raise StateUnreadable(
            f"The status of ModelCanary {name} cannot be read ({type(error).__name__}): a newer operator or somebody "
            "else wrote it. Traffic and status stay as they are. Run that operator again and the rollout goes on, or "
            "remove the status and it begins anew."
        ) from error


def tell_unreadable(error: ExternalError, object_: Object | None, events: Events) -> None:
    """An Event for whoever looks at the object, where it is its state that cannot be read."""
    if isinstance(error, StateUnreadable) and object_ is not None:
        version = object_["metadata"].get("resourceVersion", "")
        events.tell(object_, f"unreadable-{version}", "Warning", "StateUnreadable", str(error))


def _unchanged(object_: Object) -> Mapping[str, Any]:
    """The operation that lets a patch fail when somebody else wrote the status since."""
    status = object_.get("status") or {}
    if "version" in status:
        return {"op": "test", "path": "/status/version", "value": status["version"]}
    version = object_["metadata"]["resourceVersion"]
    return {"op": "test", "path": "/metadata/resourceVersion", "value": version}


def _done(object_: Object) -> set[str]:
    """Ids of requests that need no answer any more."""
    state = (object_.get("status") or {}).get("state") or {}
    return {*state.get("answered", ()), *dismissed_in(state)}


def _is_tidying(conditions: Sequence[Mapping[str, Any]]) -> bool:
    return any(each.get("reason") == TIDYING for each in conditions)
