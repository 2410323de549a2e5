"""What happens when a ModelCanary is deleted: its traffic goes back to stable, its canary goes, stable and route stay.

Asked by the controller while an object waits for our finalizer. The way back is the machine's own (an abort), with all
of its care; only when that comes to no end, or the whole namespace goes, is the object let go without it.
"""

import asyncio
from collections.abc import Awaitable, Callable

from canary.errors import ExternalError
from canary.rollout import Phase, Rollout
from canary.snapshot import OperatorRequest
from canary.weights import ALL_STABLE
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Key, key_of
from controlplane.operator.events import Events
from controlplane.operator.finalizer import is_held, is_namespace_leaving, let_go, what_is_left, what_serves_on
from controlplane.operator.operator_rollout import OperatorRollout
from controlplane.operator.spec_reader import ParsedSpec
from controlplane.ports import Clock, Stored

PATIENCE = 30.0
"""Seconds that a deleted ModelCanary waits for the way back in order; the time that its canary drains is its plan's."""
AWAY_PATIENCE = 120.0
"""The same once its traffic is where it belongs: KServe's slower modes let go of a variant in several steps."""
LAST_TRY = 5.0
"""Seconds for each thing that is tried at last all the same."""


class DeletionHandler:
    """Ends rollouts whose ModelCanary was deleted."""

    def __init__(self, kube: Kube, events: Events, clock: Clock, say: Callable[[Key | None, str], None]) -> None:
        self._kube, self._events, self._clock, self._say = kube, events, clock, say

    async def is_over(self, charge: OperatorRollout, object_: Object) -> bool:
        """Ask a rollout under way to end; answers True where it was let go without waiting for that."""
        if not is_held(object_):
            return True
        now = self._clock.now()
        if charge.left_at is None:
            if await self._namespace_goes(object_):
                await let_go(self._kube, object_)
                return True
            charge.left_at = now
            charge.ask(OperatorRequest("deleted", "abort", "Whoever deleted the ModelCanary", now))
        if now - charge.left_at - _drained(charge.rollout, now) < (AWAY_PATIENCE if charge.over else PATIENCE):
            return False
        await self._break_off(charge, object_)
        return True

    async def finish(self, charge: OperatorRollout, object_: Object) -> None:
        """Everything is back and put away: say what serves on, and let the object go."""
        note = what_serves_on(charge.task.plan, charge.rollout, charge.namespace)
        self._events.tell(object_, "farewell", "Normal", "Deleted", note)
        self._say(key_of(object_), note)
        await let_go(self._kube, object_)

    async def nothing_to_give_back(self, object_: Object, reading: ParsedSpec, stored: Stored | None) -> None:
        """A deleted ModelCanary with nothing under way: its traffic is where it belongs."""
        if not is_held(object_):
            return
        if reading.plan is not None and stored is not None:
            note = what_serves_on(reading.plan, stored.rollout, object_["metadata"]["namespace"])
            self._events.tell(object_, "farewell", "Normal", "Deleted", note)
        await let_go(self._kube, object_)

    async def _namespace_goes(self, object_: Object) -> bool:
        """Whether its namespace is being deleted, so that nothing in it can be mended any more."""
        namespace = object_["metadata"]["namespace"]
        try:
            goes = await is_namespace_leaving(self._kube, namespace)
        except ExternalError:  # we may not read namespaces: then the way in order is tried
            return False
        if goes:
            self._say(
                key_of(object_), f"Namespace {namespace} is being deleted with all that is in it: nothing serves on."
            )
        return goes

    async def _break_off(self, charge: OperatorRollout, object_: Object) -> None:
        """It came to no end: try each thing once more, and let go whatever comes of it. Who was promoted stays so."""
        plan, rollout, namespace = charge.task.plan, charge.rollout, charge.namespace
        promoted = rollout is not None and rollout.phase is Phase.SUCCEEDED
        if not promoted:
            await self._try(object_, charge.site.router.set_weights(ALL_STABLE))
        gone = await self._try(object_, charge.site.put_away("stable" if promoted else "canary", force=True))
        if charge.over:
            note = f"Not everything was put away in order within {AWAY_PATIENCE:g} s: the rest was removed at once."
        else:
            note = f"The way back did not end within {PATIENCE:g} s: the route was set to stable as far as it let us."
        left = "" if gone else f" {what_is_left(plan, promoted=promoted, namespace=namespace)}"
        note = f"{note}{left} {what_serves_on(plan, rollout, namespace)}"
        self._events.tell(object_, "farewell", "Warning", "Deleted", note)
        self._say(key_of(object_), note)
        await let_go(self._kube, object_)

    async def _try(self, object_: Object, attempt: Awaitable[bool | None]) -> bool:
        """Whether it was done; what stood in the way is said."""
        try:
            async with asyncio.timeout(LAST_TRY):
                return bool(await attempt)
        except (ExternalError, TimeoutError) as error:
            self._say(key_of(object_), f"After the deletion: {str(error) or 'no answer'}. It is left as it is.")
            return False


def _drained(rollout: Rollout | None, now: float) -> float:
    """Seconds in which its traffic was back, and its canary had what it had begun to answer."""
    if rollout is None or rollout.drain is None or rollout.drain.arm != "canary":
        return 0.0
    return (rollout.since if rollout.finished else now) - rollout.drain.since
