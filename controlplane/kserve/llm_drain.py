"""How the loser leaves a routing group and takes no request with it: one step a call, each in force before the next.

Used by `llm.py` once no more than a millionth reaches the loser. KServe 0.20 gives every member an HTTPRoute of its own
that leads to the whole group, and a gateway takes the oldest one's word. Three things of it cost requests (seen):

* For about a second after each write, the member that was written is left out of the others' routes. So the route that
  answers must never give its own member nothing: the other's weight may be away, and then nobody is served.
* The route of a member that is being deleted may end without any backend, and answers 500 until it is gone.
* A route that answers and is deleted takes its clusters from the proxies before its matches.

So a loser whose route answers first steps aside: its route asks each request for a header that nobody sends. From then
on the winner's own route answers, which names the winner whatever happens; what becomes of the loser's is nobody's
business any more. Only its route is another by that: its pods stay as they are until they are deleted.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from canary.weights import WHOLE
from controlplane.kserve.caches import Caches
from controlplane.kserve.llm_router import SETTLED_S
from controlplane.kserve.llm_service import ROUTE, backend_names, weighed, weight_of
from controlplane.kubernetes.api import Object

LEAVING = "x-serinus-leaving"
"""A request header."""


@dataclass(frozen=True, slots=True)
class DrainStep:
    """What to do with one member next."""

    member: Object
    patch: Mapping[str, Any] | None
    """A merge patch; None: delete it."""


class LlmDrain:
    """Of either member of one group."""

    def __init__(self, caches: Caches, now: Callable[[], float]) -> None:
        self._caches = caches
        self._now = now
        self._since: dict[str, float] = {}
        """By what was waited for: since when it holds, as far as this process has seen."""

    def step(self, loser: Object, winner: Object) -> DrainStep | None:
        """The next one; None where the gateway has not taken the last one yet, or has only just."""
        ours, theirs = self._route(loser), self._route(winner)
        stands = self._for_a_moment("the winner's route stands", theirs is not None and _stands(theirs))
        apart = self._for_a_moment("the loser's is apart", ours is None or (_stands(ours) and _apart(ours, theirs)))
        nothing = self._for_a_moment("nothing for the loser", theirs is None or _gives_nothing(theirs, loser))
        if ours is not None and (leaves(loser) or _created(loser) <= _created(winner)):
            if not stands:
                return None
            if not leaves(loser):
                return DrainStep(loser, _aside(ours))
            if not apart:
                return None
        if weight_of(winner) != WHOLE:
            return DrainStep(winner, weighed(WHOLE))
        if weight_of(loser):
            return DrainStep(loser, weighed(0))
        return DrainStep(loser, None) if nothing else None

    def _for_a_moment(self, what: str, holds: bool) -> bool:
        """Whether it has held for as long as the proxies need to hear of it."""
        if not holds:
            self._since.pop(what, None)
            return False
        return self._now() - self._since.setdefault(what, self._now()) >= SETTLED_S

    def _route(self, member: Object) -> Object | None:
        meta = member["metadata"]
        return self._caches.routes.get(meta["namespace"], meta["name"] + ROUTE)


def leaves(member: Object) -> bool:
    """Whether it has stepped aside: nobody who asks for the model gets there any more."""
    http = ((member["spec"].get("router") or {}).get("route") or {}).get("http") or {}
    rules = (http.get("spec") or {}).get("rules") or ()
    matches = [match for rule in rules for match in rule.get("matches") or ()]
    return any(each.get("name") == LEAVING for match in matches for each in match.get("headers") or ())


def _aside(route: Object) -> Mapping[str, Any]:
    """A merge patch of the member: its route as it is, for requests with a header that nobody sends."""
    header = {"type": "Exact", "name": LEAVING, "value": "true"}
    rules = [
        {**rule, "matches": [{**match, "headers": [*match.get("headers", ()), header]} for match in rule["matches"]]}
        for rule in route["spec"]["rules"]
    ]
    return {"spec": {"router": {"route": {"http": {"spec": {"rules": rules}}}}}}


def _created(member: Object) -> str:
    return str(member["metadata"].get("creationTimestamp", ""))


def _stands(route: Object) -> bool:
    """Whether every gateway has accepted this very generation."""
    generation = int(route["metadata"].get("generation", 0))
    accepted = list(_accepted(route))
    return bool(accepted) and all(
        each.get("status") == "True" and int(each.get("observedGeneration", generation)) >= generation
        for each in accepted
    )


def _lags(route: Object) -> bool:
    """Whether a gateway may still serve what the route said before."""
    generation = int(route["metadata"].get("generation", 0))
    return any(int(each.get("observedGeneration", generation)) < generation for each in _accepted(route))


def _accepted(route: Object) -> Iterator[Mapping[str, Any]]:
    for parent in (route.get("status") or {}).get("parents") or ():
        yield from (each for each in parent.get("conditions") or () if each.get("type") == "Accepted")


def _apart(route: Object, other: Object | None) -> bool:
    """Whether no request fits both."""
    return not (_matches(route) & (set() if other is None else _matches(other)))


def _matches(route: Object) -> set[str]:
    rules = route["spec"].get("rules") or ()
    return {json.dumps(match, sort_keys=True) for rule in rules for match in rule.get("matches") or ()}


def _gives_nothing(route: Object, member: Object) -> bool:
    """Whether the route has no weight for the member, and its gateways have taken that, if they serve it at all."""
    names = backend_names(member["metadata"]["name"])
    rules = route["spec"].get("rules") or ()
    references = [each for rule in rules for each in rule.get("backendRefs") or ()]
    return not _lags(route) and not any(each["name"] in names and each.get("weight", 1) for each in references)
