"""Splits traffic between the arms by our own HTTPRoute. Implements `controlplane.ports.Router`.

One of these for each rollout of a cluster, made by the operator. A fall is one write, ahead of all others, and forced
over whatever somebody else has written meanwhile. A rise is written only over the very route that was looked at. What a
fall leaves to tidy up is done by `settle`, a step a call, from the route alone: a kill at any line heals. Reads the
cache, not the API server; never touches a route that is not ours, nor any of KServe's.
"""

from collections.abc import Mapping
from typing import Any

from canary.errors import Conflict, WorldError
from canary.observation import RouteSeen
from canary.spec.models import ModelCanary
from canary.weights import ALL_CANARY, ARMS, Arm, Weights
from controlplane.gateway.drift import changed_by
from controlplane.gateway.route import (
    RouteState,
    backends_of,
    differences,
    gateway_of,
    http_route,
    read_route,
)
from controlplane.gateway.slots import (
    Slots,
    all_on,
    in_millionths,
    millionths,
    named,
    next_step,
    place_of,
    rest,
    stamped,
    weights_in,
)
from controlplane.kubernetes.api import Exists, Kube, Object, Refused
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import HTTP_ROUTE
from controlplane.ports import Clock

PATIENCE_S = 4.0
"""Seconds that a rise may take, all of its steps: less than the loop's own patience."""
FALL_PATIENCE_S = 0.5
"""Seconds that a fall waits for the gateway's word after it is written. It is in force or not, whoever waits."""
POLL_S = 0.01
FRESH_S = 5.0
"""Seconds after which a slot's Service is known to the gateway even if nobody saw it say so."""


class GatewayRouter:
    """The HTTPRoute of one rollout. Every method may raise `WorldError`; the route then stays as it is."""

    def __init__(self, kube: Kube, routes: Cache, plan: ModelCanary, *, namespace: str, clock: Clock) -> None:
        """`routes` is a cache of HTTPRoutes that a reflector keeps, at least of this namespace."""
        self._kube = kube
        self._routes = routes
        self._plan = plan
        self._namespace = namespace
        self._clock = clock
        self._name = plan.metadata.name
        self._gateway = gateway_of(plan, namespace)
        self._backends = backends_of(plan)
        self._wanted: Weights | None = None
        """What was asked for last in this process."""
        self._turn = 0
        """Counts what was asked for: whoever waits in an older turn gives up."""
        self._moving = False
        self._read_last: tuple[Object, RouteState] | None = None
        self._in_force: tuple[int, float] = (-1, 0.0)
        """The generation that was last seen in force, and since when."""

    async def set_weights(self, weights: Weights) -> None:
        """Make these weights the ones in force.

        Less for the canary is one write, and returns once it is written and the gateway has had half a second to take
        it. More may take several steps and seconds, and raises when the gateway does not take them. `Conflict` when
        somebody else changed the route meanwhile.
        """
        self._wanted, self._turn, self._moving = weights, self._turn + 1, True
        turn = self._turn
        try:
            await self._move(weights, turn)
        finally:
            self._moving = self._moving and turn != self._turn

    async def seen(self) -> RouteSeen:
        """The weights in force: those of the route, once its gateway serves them; one in a million counts as nothing.

        Without a route, or before the gateway's word, there are none, and `problem` says why.
        """
        now, where = self._clock.now(), f"HTTPRoute {self._namespace}/{self._name}"
        state = self._state()
        if state is None:
            unknown = f"{where} does not exist" if self._routes.synced else f"{where} has not been read yet"
            return RouteSeen(now, None, unknown)
        if not state.ours:
            return RouteSeen(now, None, self._not_ours())
        self._note_in_force(state)
        if not state.in_force:
            return RouteSeen(now, None, f"{where}: {state.problem}")
        weights = self._meant(state.slots)
        problem = state.problem if weights is not None else f"{self._shares(state.slots)} instead of the two variants"
        return RouteSeen(now, weights, f"{where}: {problem}" if problem else "")

    async def settle(self, free: Arm = "canary") -> bool:
        """Let the slot of an arm without traffic go to rest, one step a call; answers whether it is at rest.

        Call it at every pass: by default it completes a rollback. `"stable"` is for the time after a promotion, once
        there is no way back. It never waits, and never overwrites what somebody else has written meanwhile.
        """
        state = self._state()
        if state is None or not state.ours or self._moving or not self._is_free(free):
            return self.idle(free)
        self._note_in_force(state)
        step = rest(state.slots, self._backends, free)
        if step is None:
            return self.idle(free)
        serves_nothing = not (state.in_force or state.behind)
        if serves_nothing or self._in_force_for(state) >= step.after:
            await self._write(step.slots, over=state)
        return False

    def idle(self, arm: Arm) -> bool:
        """Whether nothing can reach the arm through the route any more, so that it may be deleted."""
        state = self._state()
        if state is None:
            return self._routes.synced
        named = place_of(state.slots, self._backends[arm].service) is not None
        return state.ours and not state.behind and not named

    def slots(self) -> Mapping[Arm, tuple[int, float]]:
        """Which slot each arm has, and since when (seconds since the epoch); an arm at rest is absent, and
        so is one whose slot somebody else has changed.
        """
        state = self._state()
        if state is None:
            return {}
        places = {arm: place_of(state.slots, self._backends[arm].service) for arm in ARMS}
        return {
            arm: (place, state.slots[place].since)
            for arm, place in places.items()
            if place is not None and state.slots[place].since
        }

    def drift(self) -> str:
        """One clause about what somebody else has changed on our route, with their name; empty when nobody has.

        `set_weights` with what is wanted anyway puts it right.
        """
        route, state = self._object(), self._state()
        if route is None or state is None or state.written is None:
            return ""
        return changed_by(route, http_route(self._plan, self._namespace, state.written))

    async def _move(self, weights: Weights, turn: int) -> None:
        deadline = self._clock.now() + (PATIENCE_S if weights.canary else FALL_PATIENCE_S)
        state = await self._present(weights)
        while (step := next_step(state.slots, self._backends, weights, self._fresh(state))) is not None:
            falls = self._canary(step.slots) < self._canary(state.slots)
            if step.after:
                deadline = max(deadline, self._clock.now() + step.after + FALL_PATIENCE_S)
                await self._wait_until_in_force(step.after, deadline, turn)
            await self._write(step.slots, over=None if falls else state)
            state = self._known()
            if falls and next_step(state.slots, self._backends, weights) is None:
                return await self._give_it_a_moment(turn)
        if self._differs(state):
            await self._write(in_millionths(state.slots), over=state if weights.canary else None)
        return await self._wait_until_in_force(0.0, deadline, turn)

    async def _present(self, weights: Weights) -> RouteState:
        """The route as it is known. Where there is none it is made, with everything on stable.

        Traffic that somebody took away with the route is not given back: raises where the canary is to have some.
        """
        if self._object() is None and (self._routes.synced or not await self._read_all()):
            await self._create()
            if weights.canary:
                raise WorldError(
                    f"HTTPRoute {self._namespace}/{self._name} was not there any more; "
                    f"it has been made again with everything on {self._backends['stable'].variant}"
                )
        state = self._known()
        if not state.ours:
            raise Refused(self._not_ours())
        return state

    async def _read_all(self) -> bool:
        """Ask the API server, for a cache that has not been filled yet; answers whether there is a route."""
        listing = await self._kube.list(HTTP_ROUTE, self._namespace)
        for each in listing.items:
            self._routes.put(each)
        return self._object() is not None

    async def _create(self) -> None:
        slots = stamped(all_on(self._backends["stable"]), None, self._clock.now())
        try:
            self._routes.put(await self._kube.create(HTTP_ROUTE, http_route(self._plan, self._namespace, slots)))
        except Exists as error:
            raise Conflict(f"HTTPRoute {self._namespace}/{self._name} has just been made by somebody else") from error

    async def _write(self, slots: Slots, *, over: RouteState | None) -> None:
        """Write these slots: over this very state, or (None) over whatever is there, ahead of all other writes."""
        before = self._state()
        slots = stamped(named(slots, self._backends), before.slots if before else None, self._clock.now())
        wanted = http_route(self._plan, self._namespace, slots)
        if over is None:
            answer = await self._kube.apply(HTTP_ROUTE, wanted, force=True, urgent=True)
        else:
            patch = _patch(self._object() or {"metadata": {}}, wanted, over.generation)
            answer = await self._kube.patch(HTTP_ROUTE, self._namespace, self._name, patch)
        self._routes.put(answer)

    async def _wait_until_in_force(self, seconds: float, deadline: float, turn: int) -> None:
        """Return once the present route has been in force for so long; raise at the deadline."""
        while True:
            self._give_up_if_overtaken(turn)
            state = self._known()
            self._note_in_force(state)
            if state.in_force and self._in_force_for(state) >= seconds:
                return
            if self._clock.now() >= deadline:
                why = state.problem or f"gateway {'/'.join(self._gateway)} has only just taken it"
                raise WorldError(f"HTTPRoute {self._namespace}/{self._name} is written and not in force: {why}")
            await self._clock.sleep(POLL_S)

    async def _give_it_a_moment(self, turn: int) -> None:
        """After a fall: let the gateway take it, so that the next look already sees it."""
        until = self._clock.now() + FALL_PATIENCE_S
        while turn == self._turn and not self._known().in_force and self._clock.now() < until:
            await self._clock.sleep(POLL_S)

    def _give_up_if_overtaken(self, turn: int) -> None:
        if turn != self._turn:
            raise WorldError("other weights were asked for meanwhile")

    def _differs(self, state: RouteState) -> bool:
        """Whether the route says anything else than its own weights under this plan."""
        route, slots = self._object() or {}, in_millionths(state.slots)
        wanted = http_route(self._plan, self._namespace, slots)
        spec = next(differences(wanted["spec"], route.get("spec", {}), "spec"), None)
        labels = next(differences(wanted["metadata"]["labels"], route["metadata"].get("labels", {}), ""), None)
        return spec is not None or labels is not None or state.written != slots

    def _is_free(self, free: Arm) -> bool:
        """Whether nobody in this process still wants traffic for this arm."""
        if self._wanted is None:
            return True
        return not self._wanted.canary if free == "canary" else self._wanted == ALL_CANARY

    def _meant(self, slots: Slots) -> Weights | None:
        """The split; a stage that itself asks for one in a million, or for all but that, is what it asks for."""
        weights = weights_in(slots, self._backends)
        if weights is not None and self._wanted is not None and self._canary(slots) == self._wanted.canary:
            return self._wanted
        return weights

    def _canary(self, slots: Slots) -> int:
        return millionths(slots, self._backends["canary"])

    def _fresh(self, state: RouteState) -> tuple[int, ...]:
        """Slots that have named their Service for so short a time that the gateway may not know it."""
        now = self._clock.now()
        return tuple(index for index, slot in enumerate(state.slots) if now - slot.since < FRESH_S)

    def _note_in_force(self, state: RouteState) -> None:
        if state.in_force and self._in_force[0] != state.generation:
            self._in_force = state.generation, self._clock.now()

    def _in_force_for(self, state: RouteState) -> float:
        """Seconds since this process first saw this generation in force; negative infinity when it has not."""
        generation, since = self._in_force
        return self._clock.now() - since if generation == state.generation else float("-inf")

    def _object(self) -> Object | None:
        return self._routes.get(self._namespace, self._name)

    def _state(self) -> RouteState | None:
        """What the route says; read once for each object that the cache has had."""
        route = self._object()
        if route is None:
            return None
        if self._read_last is None or self._read_last[0] is not route:
            self._read_last = route, read_route(route, self._gateway)
        return self._read_last[1]

    def _known(self) -> RouteState:
        state = self._state()
        if state is None:
            raise WorldError(f"HTTPRoute {self._namespace}/{self._name} was deleted meanwhile")
        return state

    def _not_ours(self) -> str:
        return (
            f"HTTPRoute {self._namespace}/{self._name} was not made by Serinus and is left as it is. "
            "Give the rollout another name, or delete that route."
        )

    def _shares(self, slots: Slots) -> str:
        shares = [f"{slot.service or 'nobody'} has weight {slot.weight}" for slot in slots]
        return " and ".join(shares)


def _patch(route: Object, wanted: Object, generation: int) -> list[dict[str, Any]]:
    """A JSON patch that makes the route what is wanted, if its spec is still of this generation."""
    metadata = route["metadata"]
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/generation", "value": generation},
        {"op": "replace", "path": "/spec", "value": wanted["spec"]},
    ]
    for field in ("annotations", "labels"):
        if field not in metadata:
            operations.append({"op": "add", "path": f"/metadata/{field}", "value": {}})
        operations += [
            {"op": "add", "path": f"/metadata/{field}/{key.replace('/', '~1')}", "value": value}
            for key, value in wanted["metadata"][field].items()
            if metadata.get(field, {}).get(key) != value
        ]
    return operations
