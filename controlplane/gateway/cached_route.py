"""What is known of a rollout's HTTPRoute without asking: its state, since when it is in force, who changed it.

Used by `router.py`, which does the writing. Looks only into caches, so two hundred rollouts may look every second.
"""

from collections.abc import Mapping
from dataclasses import replace

from canary.errors import ExternalError
from canary.snapshot import RouteStatus
from canary.spec.models import ModelCanary
from canary.weights import ARMS, Arm, Weights
from controlplane.gateway.claims import Claims
from controlplane.gateway.drift import changed_by
from controlplane.gateway.route import (
    RouteState,
    backends_of,
    differences,
    gateway_of,
    host_of,
    http_route,
    read_route,
    under_gateway,
)
from controlplane.gateway.slots import Slots, in_millionths, millionths, place_of, weights_in
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache
from controlplane.ports import Clock

FRESH_S = 5.0
"""Seconds after which a slot's Service is known to the gateway even if nobody saw it say so."""


class CachedRoute:
    """One route, as the caches have it."""

    def __init__(
        self,
        routes: Cache,
        gateways: Cache | None,
        plan: ModelCanary,
        *,
        namespace: str,
        clock: Clock,
        claims: Claims | None = None,
    ) -> None:
        """`claims`: who has which host name; None where nobody looks."""
        self.plan = plan
        self.namespace = namespace
        self.backends = backends_of(plan)
        self.gateway = gateway_of(plan, namespace)
        self.where = f"HTTPRoute {namespace}/{plan.metadata.name}"
        self._routes = routes
        self._gateways = gateways
        self._clock = clock
        self._claims = claims
        self._read_last: tuple[Object, RouteState] | None = None
        self._in_force: tuple[int, float] = (-1, 0.0)
        """The generation that was last seen in force, and since when."""

    @property
    def object(self) -> Object | None:
        """The route; None where there is none, or where it has not been read yet."""
        return self._routes.get(self.namespace, self.plan.metadata.name)

    @property
    def complete(self) -> bool:
        """Whether a route that is not in the cache does not exist either."""
        return self._routes.synced

    def yields(self) -> str:
        """To whom the route has to leave its host name, as a clause; empty where it may keep it."""
        host = host_of(self.plan)
        return self._claims.yields(self._key, self.gateway, host) if self._claims is not None and host else ""

    def contest(self) -> str:
        """Who else has the host name although our route had it first, as a sentence; empty where nobody has."""
        host = host_of(self.plan)
        return self._claims.contest(self._key, self.gateway, host) if self._claims is not None and host else ""

    def wanted(self, slots: Slots) -> Object:
        """The route for these slots, which hangs on no Gateway while its host name is another's."""
        return http_route(self.plan, self.namespace, slots, attached=not self.yields())

    @property
    def hangs_wrong(self) -> bool:
        """Whether the route hangs on its Gateway and must not, or does not and may: by our own hand, not another's."""
        route = self.object
        if route is None or (self._claims is None):
            return False
        hangs = bool(route.get("spec", {}).get("parentRefs"))
        return hangs if self.yields() else not hangs and not self.drift()

    @property
    def _key(self) -> tuple[str, str]:
        return self.namespace, self.plan.metadata.name

    def take(self, route: Object) -> None:
        """A newer state that the API server has just answered."""
        self._routes.put(route)

    def state(self) -> RouteState | None:
        """What the route says, read once for each object that the cache has had, and whether its gateway is there."""
        route = self.object
        if route is None:
            return None
        if self._read_last is None or self._read_last[0] is not route:
            self._read_last = route, read_route(route, self.gateway)
        state = self._read_last[1]
        if self._gateways is not None and self._gateways.synced:
            state = under_gateway(state, self.gateway, self._gateways.get(*self.gateway))
        if why := self.yields():
            state = replace(state, in_force=False, behind=False, refused=True, problem=why)
        if state.in_force and self._in_force[0] != state.generation:
            self._in_force = state.generation, self._clock.now()
        return state

    def known(self) -> RouteState:
        """The state of a route that was there a moment ago."""
        state = self.state()
        if state is None:
            raise ExternalError(f"{self.where} was deleted meanwhile")
        return state

    def in_force_for(self, state: RouteState) -> float:
        """Seconds since this process first saw this generation in force; negative infinity when it has not."""
        generation, since = self._in_force
        return self._clock.now() - since if generation == state.generation else float("-inf")

    def fresh(self, state: RouteState) -> tuple[int, ...]:
        """Slots that have named their Service for so short a time that the gateway may not know it."""
        now = self._clock.now()
        return tuple(index for index, slot in enumerate(state.slots) if now - slot.since < FRESH_S)

    def seen(self, wanted: Weights | None) -> RouteStatus:
        """The weights in force, or why there are none; see `GatewayRouter.seen`."""
        now, state = self._clock.now(), self.state()
        if state is None:
            unknown = "does not exist" if self.complete else "has not been read yet"
            return RouteStatus(now, None, f"{self.where} {unknown}")
        if not state.ours:
            return RouteStatus(now, None, self.not_ours)
        if not state.in_force:
            return RouteStatus(now, None, f"{self.where}: {state.problem}", self._meant(state.slots, wanted))
        weights = self._meant(state.slots, wanted)
        problem = state.problem if weights is not None else _shares(state.slots)
        return RouteStatus(now, weights, f"{self.where}: {problem}" if problem else "")

    def idle(self, arm: Arm) -> bool:
        """Whether nothing can reach the arm through the route any more; see `GatewayRouter.idle`."""
        state = self.state()
        if state is None:
            return self.complete
        named = place_of(state.slots, self.backends[arm].service) is not None
        return state.ours and not state.behind and not named

    def slots(self) -> Mapping[Arm, tuple[int, float]]:
        """Which slot each arm has, and since when; see `GatewayRouter.slots`."""
        state = self.state()
        if state is None:
            return {}
        places = {arm: place_of(state.slots, self.backends[arm].service) for arm in ARMS}
        return {
            arm: (place, state.slots[place].since)
            for arm, place in places.items()
            if place is not None and state.slots[place].since
        }

    def drift(self) -> str:
        """Who else changed what; see `GatewayRouter.drift`."""
        route, state = self.object, self.state()
        if route is None or state is None or state.written is None:
            return ""
        return changed_by(route, self.wanted(state.written))

    def differs(self, state: RouteState) -> bool:
        """Whether the route says anything else than its own weights under this plan."""
        route, slots = self.object or {}, in_millionths(state.slots)
        wanted = self.wanted(slots)
        spec, labels = route.get("spec", {}), route["metadata"].get("labels", {})
        return (
            any(differences(wanted["spec"], spec, "spec"))
            or any(differences(wanted["metadata"]["labels"], labels, "labels"))
            or not spec.keys() <= wanted["spec"].keys()  # host names of an older plan
            or state.written != slots
            or self.drift() != ""
        )

    def canary(self, slots: Slots) -> int:
        """The canary's millionths."""
        return millionths(slots, self.backends["canary"])

    @property
    def not_ours(self) -> str:
        """The sentence about somebody else's route of this name."""
        return (
            f"{self.where} was not made by Serinus and is left as it is. "
            "Give the rollout another name, or delete that route."
        )

    def _meant(self, slots: Slots, wanted: Weights | None) -> Weights | None:
        """The split; a stage that itself asks for one in a million, or for all but that, is what it asks for."""
        weights = weights_in(slots, self.backends)
        if weights is not None and wanted is not None and self.canary(slots) == wanted.canary:
            return wanted
        return weights


def _shares(slots: Slots) -> str:
    """A split that is none between the two variants."""
    shares = " and ".join(f"{slot.service or 'nobody'} has weight {slot.weight}" for slot in slots)
    return f"{shares} instead of the two variants"
