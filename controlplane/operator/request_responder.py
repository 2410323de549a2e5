"""Requests of people that no rollout is there to answer, and annotations that nobody understands: told, and removed.

Used by the controller. What a rollout under way answers is `canary.requests`' business.
"""

from collections.abc import Awaitable, Callable, Sequence

from canary.snapshot import OperatorRequest
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import key_of
from controlplane.operator.events import Events
from controlplane.operator.request_annotations import LONGEST_REQUEST, MOST_REQUESTS
from controlplane.operator.store import StatusStore

SHOWN = 3
"""Annotations that are named in one sentence."""
VERBS = "promote, pause, resume, abort, retry or approve"


class RequestResponder:
    """Answers for all namespaces."""

    def __init__(
        self, events: Events, store: Callable[[str], StatusStore], allow_retry: Callable[[Object], Awaitable[bool]]
    ) -> None:
        """`store`: the store of a namespace.

        `allow_retry` is asked where a retry has nothing to begin: whether whoever held it back now allows it.
        """
        self._events, self._store, self._allow_retry = events, store, allow_retry

    async def refuse(self, object_: Object, asked: Sequence[OperatorRequest], why: str) -> None:
        """Answer what nobody is there to answer: it is not possible while `why`."""
        for request in asked:
            if request.verb == "retry" and await self._allow_retry(object_):
                note = f"{request.who} lets it be tried again: it begins as soon as a commit brings it back."
                self._events.tell(object_, request.id, "Normal", "RequestGranted", note)
                continue
            note = f"{request.who} asked to {request.verb}, which is not possible while {why}: nothing was changed."
            self._events.tell(object_, request.id, "Warning", "RequestRefused", note)
        await self.put_away(object_, also=[request.id for request in asked])

    async def put_away(self, object_: Object, also: Sequence[str] = ()) -> None:
        """Remove what was answered, what is named besides, and what asks for nothing that is known."""
        namespace, name = key_of(object_)
        if strange := await self._store(namespace).put_away(name, also=also):
            self._events.tell(object_, f"strange-{strange[0]}", "Warning", "RequestRefused", refusal(strange))


def refusal(strange: Sequence[str]) -> str:
    """What is said of annotations that ask for nothing: once for all of them, for an object may have thousands."""
    named = ", ".join(strange[:SHOWN])
    more = f" and {len(strange) - SHOWN} more" if len(strange) > SHOWN else ""
    asked, gone = ("annotation", "asks"), "It was"
    if len(strange) > 1:
        asked, gone = ("annotations", "ask"), "They were"
    return (
        f"The {asked[0]} {named}{more} {asked[1]} for nothing that is known; expected {VERBS}, {MOST_REQUESTS} of them "
        f"at most and {LONGEST_REQUEST} characters in each. {gone} removed."
    )


async def nothing_to_allow(_object: Object) -> bool:
    """Where nobody holds anything back."""
    return False
