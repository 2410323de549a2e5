"""Splits traffic between the arms by our own HTTPRoute. Implements `controlplane.ports.Router`.

One of these for each rollout of a cluster, made by the operator. A fall is one write, ahead of all others, and forced
over whatever somebody else has written meanwhile. A rise is written only over the very route that was looked at. What a
fall leaves to tidy up is done by `settle`, a step a call, from the route alone: a kill at any line heals. Never touches
a route that is not ours, nor any of KServe's.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from canary.errors import Conflict, ExternalError
from canary.snapshot import RouteStatus
from canary.spec.models import ModelCanary
from canary.weights import ALL_CANARY, Arm, Weights
from controlplane.gateway.cached_route import CachedRoute
from controlplane.gateway.claims import Claims
from controlplane.gateway.route import RouteState
from controlplane.gateway.slots import Slots, all_on, in_millionths, named, next_step, rest, stamped
from controlplane.kubernetes.api import Exists, Kube, Object, Rejected
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import HTTP_ROUTE
from controlplane.ports import Clock

PATIENCE_S = 4.0
"""Seconds that a rise may take, all of its steps: less than the loop's own patience."""
FALL_PATIENCE_S = 0.5
"""Seconds that a fall waits for the gateway's word after it is written. It is in force or not, whoever waits."""
POLL_S = (0.01, 0.05)
"""Seconds between two looks at the cache while waiting, the first and the longest: two hundred may wait at once."""


class GatewayRouter:
    """The HTTPRoute of one rollout. Every method may raise `ExternalError`; the route then stays as it is."""

    def __init__(
        self,
        kube: Kube,
        routes: Cache,
        plan: ModelCanary,
        *,
        namespace: str,
        clock: Clock,
        gateways: Cache | None = None,
        claims: Claims | None = None,
    ) -> None:
        """`routes` is a cache of HTTPRoutes that a reflector keeps, at least of this namespace.

        `gateways` is one of Gateways in all namespaces; without it nobody notices a Gateway that is deleted, because
        its controller leaves the routes' status as it was. `claims`: who has which host name.
        """
        self._kube = kube
        self._clock = clock
        self._sight = CachedRoute(routes, gateways, plan, namespace=namespace, clock=clock, claims=claims)
        self._wanted: Weights | None = None
        """What was asked for last in this process."""
        self._turn = 0
        """Counts what was asked for: whoever waits in an older turn gives up."""
        self._moving = False

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
            if turn == self._turn:
                self._moving = False

    async def seen(self) -> RouteStatus:
        """The weights in force: those of the route, once its gateway serves them; one in a million counts as nothing.

        Without a route, or before the gateway's word, there are none, and `problem` says why.
        """
        return self._sight.seen(self._wanted)

    async def confirm(self) -> None:
        """Read the route from the API server: a cache may be behind, that of a new process above all."""
        await self._read_all()

    async def settle(self, free: Arm = "canary") -> bool:
        """Let the slot of an arm without traffic go to rest, one step a call; answers whether it is at rest.

        Call it at every pass: by default it completes a rollback. `"stable"` is for the time after a promotion, once
        there is no way back. It never waits, and never overwrites what somebody else has written meanwhile.
        """
        state = self._sight.state()
        if state is None or not state.ours or self._moving or not self._is_free(free):
            return self.idle(free)
        step = rest(state.slots, self._sight.backends, free)
        if step is None:
            return self.idle(free)
        serves_nothing = not (state.in_force or state.behind)
        if serves_nothing or self._sight.in_force_for(state) >= step.after:
            await self._write(step.slots, over=state)
        return False

    async def attach(self) -> None:
        """Let the route hang on its Gateway, and on none while its host name is another's. Call it at every pass."""
        state = self._sight.state()
        if state is not None and state.ours and not self._moving and self._sight.hangs_wrong:
            await self._write(in_millionths(state.slots), over=state)

    async def retire(self, arm: Arm) -> bool:
        """A step towards sending nobody to an arm without traffic any more; answers whether that is so."""
        return await self.settle(arm)

    def idle(self, arm: Arm) -> bool:
        """Whether nothing can reach the arm through the route any more, so that it may be deleted."""
        return self._sight.idle(arm)

    def slots(self) -> Mapping[Arm, tuple[int, float]]:
        """Which slot each arm has, and since when (seconds since the epoch).

        An arm at rest is absent, and so is one whose slot somebody else has changed.
        """
        return self._sight.slots()

    def drift(self) -> str:
        """One clause about what somebody else has changed on our route, with their name; empty when nobody has.

        `set_weights` with what is wanted anyway puts it right.
        """
        return self._sight.drift()

    def contest(self) -> str:
        """Who else has the route's host name although it had it first, as a sentence; empty where nobody has."""
        return self._sight.contest()

    def refused(self) -> str:
        """Why the gateway does not serve the route, as a clause; empty while it does, or has not answered yet."""
        state = self._sight.state()
        return f"{self._sight.where}: {state.problem}" if state is not None and state.refused else ""

    async def _move(self, weights: Weights, turn: int) -> None:
        sight, deadline = self._sight, self._clock.now() + (PATIENCE_S if weights.canary else FALL_PATIENCE_S)
        state = await self._present(weights)
        while (step := next_step(state.slots, sight.backends, weights, sight.fresh(state))) is not None:
            falls = sight.canary(step.slots) < sight.canary(state.slots)
            if step.after:
                deadline = max(deadline, self._clock.now() + step.after + FALL_PATIENCE_S)
                await self._wait_until_in_force(step.after, deadline, turn)
            await self._write(step.slots, over=None if falls else state)
            state = sight.known()
            if falls and next_step(state.slots, sight.backends, weights) is None:
                return await self._give_it_a_moment(turn)
        if sight.differs(state):
            await self._write(in_millionths(state.slots), over=state)
        return await self._wait_until_in_force(0.0, deadline, turn)

    async def _present(self, weights: Weights) -> RouteState:
        """The route as it is known. Where there is none it is made, with everything on stable.

        Traffic that somebody took away with the route is not given back: raises where the canary is to have some.
        """
        sight = self._sight
        if sight.object is None and (sight.complete or not await self._read_all()):
            await self._create()
            if weights.canary:
                raise ExternalError(
                    f"{sight.where} was not there any more; "
                    f"it has been made again with everything on {sight.backends['stable'].variant}"
                )
        state = sight.known()
        if not state.ours:
            raise Rejected(sight.not_ours)
        return state

    async def _read_all(self) -> bool:
        """Ask the API server, for a cache that is not filled yet or may be behind; answers whether there is a route."""
        listing = await self._kube.list(HTTP_ROUTE, self._sight.namespace)
        for each in listing.items:
            self._sight.take(each)
        return self._sight.object is not None

    async def _create(self) -> None:
        sight = self._sight
        slots = stamped(all_on(sight.backends["stable"]), None, self._clock.now())
        try:
            sight.take(await self._kube.create(HTTP_ROUTE, sight.wanted(slots)))
        except Exists as error:
            raise Conflict(f"{sight.where} has just been made by somebody else") from error

    async def _write(self, slots: Slots, *, over: RouteState | None) -> None:
        """Write these slots: over this very state, or (None) over whatever is there, ahead of all other writes."""
        sight, before = self._sight, self._sight.state()
        slots = stamped(named(slots, sight.backends), before.slots if before else None, self._clock.now())
        wanted = sight.wanted(slots)
        if over is None:
            answer = await self._kube.apply(HTTP_ROUTE, wanted, force=True, urgent=True)
        else:
            patch = _patch(sight.object or {"metadata": {}}, wanted, over.generation)
            answer = await self._kube.patch(HTTP_ROUTE, sight.namespace, sight.plan.metadata.name, patch)
        sight.take(answer)

    async def _wait_until_in_force(self, seconds: float, deadline: float, turn: int) -> None:
        """Return once the present route has been in force for so long; raise at the deadline."""
        for pause in _pauses():
            if turn != self._turn:
                raise ExternalError("other weights were asked for meanwhile")
            state = self._sight.known()
            if state.in_force and self._sight.in_force_for(state) >= seconds:
                return
            if self._clock.now() >= deadline:
                why = state.problem or f"gateway {'/'.join(self._sight.gateway)} has only just taken it"
                raise ExternalError(f"{self._sight.where} is written and not in force: {why}")
            await self._clock.sleep(pause)

    async def _give_it_a_moment(self, turn: int) -> None:
        """After a fall: let the gateway take it, so that the next look already sees it."""
        until = self._clock.now() + FALL_PATIENCE_S
        for pause in _pauses():
            if turn != self._turn or self._sight.known().in_force or self._clock.now() >= until:
                return
            await self._clock.sleep(pause)

    def _is_free(self, free: Arm) -> bool:
        """Whether nobody in this process still wants traffic for this arm."""
        if self._wanted is None:
            return True
        return not self._wanted.canary if free == "canary" else self._wanted == ALL_CANARY


def _pauses() -> Iterator[float]:
    """Growing pauses, for ever."""
    pause, longest = POLL_S
    while True:
        yield pause
        pause = min(1.5 * pause, longest)


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
