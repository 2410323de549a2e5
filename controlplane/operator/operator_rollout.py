"""One rollout in our charge: a managed rollout, the world around it, and what has to be done after its end.

Made by `controller.py` for a ModelCanary that has something to do, and dropped when it has not. Each pass looks at the
caches, decides, and acts; nothing in here asks the API server except to write.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from canary.rollout import Decision, Event, Phase, Rollout
from canary.snapshot import Counters, OperatorRequest
from canary.spec.models import ModelCanary
from canary.spec.stored import from_text
from canary.weights import Arm
from controlplane.kubernetes.api import Object
from controlplane.operator.environment import ObjectDrift, RolloutEnvironment
from controlplane.operator.spec_reader import ParsedSpec, is_tidying
from controlplane.operator.status import StatusInputs
from controlplane.operator.store import StatusStore
from controlplane.ports import Clock, Notifier, Ports, Stored
from controlplane.reconcile.loop import RETRY, Say, Spawn
from controlplane.reconcile.managed_rollout import ManagedRollout

SAVE_EVERY = 3600.0
"""Seconds after which evidence alone is worth a write: Prometheus remembers it for longer, and is read in a moment."""


MOST_OVERHEARD = 10
"""Readings that a standby keeps for the judge. Once there are so many the judge is shown one, for the older half: a
fifth of its work, while the newest, in which a canary may have broken, are all there when it counts."""


@dataclass(frozen=True, slots=True)
class WorkItem:
    """What is carried out."""

    plan: ModelCanary
    text: str
    """The plan as it is kept in the status."""
    revision: str
    ended: Rollout | None = None
    """Its last state, where it was decided and told before and only putting away is left."""


@dataclass(frozen=True, slots=True)
class SharedServices:
    """What every charge of an operator shares."""

    clock: Clock
    interval: float
    """Seconds between two readings of the numbers."""
    spawn: Spawn
    """Runs a coroutine in the background; never raises."""
    decided: Callable[[str, Rollout, Decision], None]
    """Hears of every decision, with the rollout's namespace."""


class OperatorRollout(ManagedRollout):
    """One rollout of the cluster, from the first pass to the last thing put away."""

    def __init__(
        self,
        task: WorkItem,
        namespace: str,
        site: RolloutEnvironment,
        store: StatusStore,
        notifier: Notifier,
        means: SharedServices,
        say: Say,
    ) -> None:
        self.task = task
        self.namespace = namespace
        self.site = site
        self.generation = 0
        """Newest generation of the spec that says the same as the plan, or that has faults."""
        self.faults: tuple[str, ...] = ()
        """What is wrong with the present spec, while an earlier one is carried out."""
        self.tidied = False
        """Whether nothing is left to be put away."""
        self.evidence_due = True
        """Whether the numbers were read again since the last pass."""
        self.changed = True
        """Whether any of its objects changed since the last pass, so that it is worth comparing them."""
        self.found: Sequence[ObjectDrift] = ()
        """What somebody else changed, when it was compared last."""
        self.drifts: frozenset[str] = frozenset()
        """The same, as it was last told."""
        self.left_at: float | None = None
        """When its ModelCanary was first seen deleted (seconds); None while it is not."""
        self.notifier = NotifierMux(notifier)
        self._say = say
        self._spawn = means.spawn
        self._started = 0
        self._comparing = False
        self._decided = means.decided
        super().__init__(
            task.plan,
            text=task.text,
            revision=task.revision,
            ports=Ports(
                means.clock, site.platform, site.router, site.metrics, store, self.notifier, identity=site.identity
            ),
            interval=means.interval,
            say=say,
            spawn=self._start,
            save_every=SAVE_EVERY,
        )
        self.reconciler.rollout = task.ended
        self._asked: dict[str, OperatorRequest] = {}
        self._overheard: list[Counters] = []

    @property
    def over(self) -> bool:
        """Whether it is decided, saved and told."""
        return self.task.ended is not None or self.done

    @property
    def lowers(self) -> bool:
        """Whether traffic is on its way back, so that it goes before others."""
        rollout = self.rollout
        return rollout is not None and rollout.phase is Phase.ROLLING_BACK and not self._drains

    @property
    def _drains(self) -> bool:
        """Whether its traffic is back, and its canary still answers what it had begun."""
        rollout = self.rollout
        back = rollout is not None and rollout.phase is Phase.ROLLING_BACK and rollout.drain is not None
        return back and rollout is not None and rollout.drain is not None and rollout.drain.arm == "canary"

    async def once(self) -> float:
        """One pass; answers in how many seconds the next is due at the latest."""
        if not self.over:
            await self._look()
            await self.read(self._look_at_drift)  # before this pass puts it right, or nobody would be named
            wake_at = self.clock.now() + await self.decide()
            if not self._drains:  # a slot that goes to rest is counted no more
                await self.read(self.site.tend)
            await self.read(self._mend_route)
            if not self.over:
                return wake_at - self.clock.now()
        self.tidied = self.tidied or (not self._started and await self._put_away())
        return math.inf if self.tidied else RETRY

    def facts(self, fence: int) -> StatusInputs:
        """What the status says besides the state; `fence` is the number of the operator's term."""
        return StatusInputs(
            generation=self.generation,
            fence=fence,
            faults=self.faults,
            stages=len(self.task.plan.spec.stages),
            seen=self.board.seen(),
            slots=self.site.slots(),
            tidied=self.tidied,
            drifts=tuple(sorted(self.drifts)),
        )

    # While somebody else leads

    async def resume(self, stored: Stored) -> None:
        """Be ready to go on from this state."""
        await self.reconciler.start(stored)

    async def catch_up(self) -> None:
        """Read what was counted since that state was saved."""
        await self.reconciler.catch_up()

    async def overhear(self) -> None:
        """Keep the newest numbers for the judge."""
        await self.listen()
        counters, kept = self.board.counters, self._overheard
        if counters is not None and (not kept or counters.at > kept[-1].at):
            kept.append(counters)
        if len(kept) >= MOST_OVERHEARD:
            half = MOST_OVERHEARD // 2
            self.reconciler.ingest(kept[half - 1 : half])
            del kept[:half]

    def take_over(self, version: int) -> None:
        """The state is claimed, and has this version by that: from now on it is ours to carry on."""
        self.reconciler.set_version(version)
        self.reconciler.ingest(self._overheard)
        self._overheard = []
        self.evidence_due = True

    # In our charge

    def ask(self, request: OperatorRequest) -> None:
        """Ask on behalf of the operator itself; the same id is asked once."""
        self._asked.setdefault(request.id, request)

    def close(self) -> None:
        """Let go of it; what serves, serves on."""
        self.notifier.desk_over.set()
        self.site.close()

    async def _look(self) -> None:
        """Read the caches. A bug in one reader must not leave the canary unwatched."""
        board = self.board
        await self.read(board.look_at_variants)
        await self.read(board.look_at_route)
        await self.read(board.look_at_requests)
        if self.evidence_due:
            await self.listen()
        self._compare()
        board.requests = tuple({each.id: each for each in (*board.requests, *self._asked.values())}.values())

    async def listen(self) -> None:
        """Look at the numbers of the last tick."""
        self.evidence_due = False
        await self.read(self.board.look_at_evidence)

    def _compare(self) -> None:
        """Ask the variants what they are, in the background, until what they say was told once."""
        told = self.rollout is not None and self.rollout.compared
        if self.site.identity is not None and not told and not self._comparing:
            self._comparing = True
            self._spawn(self._compared())

    async def _compared(self) -> None:
        try:
            await self.read(self.board.look_at_fingerprint)
        finally:
            self._comparing = False

    async def _look_at_drift(self) -> None:
        """Compare what changed."""
        if self.changed or self.found:
            self.changed = False
            self.found = self.site.drift()

    async def _mend_route(self) -> None:
        """Put the route right where its weights themselves are as they should be."""
        rollout, board = self.rollout, self.board
        mends = any(drift.of_route for drift in self.found)
        if mends and rollout is not None and board.route.weights == rollout.weights:
            await self.site.router.set_weights(rollout.weights)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Carry an action out in the background; nothing is put away while one is under way that might make it."""
        self._started += 1
        self._spawn(self._counted(work))

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        finally:
            self._started -= 1

    async def _put_away(self) -> bool:
        """After the end: what does not serve any more leaves the route, and then the cluster."""
        return await self.site.put_away(self._loser())

    def _loser(self) -> Arm:
        rollout = self.rollout
        promoted = rollout is not None and rollout.phase is Phase.SUCCEEDED
        return "stable" if promoted else "canary"

    def on_decision(self, before: Rollout, decision: Decision) -> None:
        """Each is counted."""
        self._decided(self.namespace, before, decision)


def unfinished(object_: Object, stored: Stored | None, reading: ParsedSpec) -> WorkItem | None:
    """What was begun and is not over: the plan that the status keeps, whatever the spec says by now."""
    if stored is None:
        return None
    rollout = stored.rollout
    told = rollout.finished and rollout.announced == rollout.events
    same = reading.plan is not None and reading.revision == rollout.revision
    plan: ModelCanary = reading.plan if same and reading.plan is not None else from_text(stored.spec_text)
    if not told:
        return WorkItem(plan, stored.spec_text, rollout.revision)
    if is_tidying(object_):
        return WorkItem(plan, stored.spec_text, rollout.revision, ended=rollout)
    return None


class NotifierMux:
    """Whoever listens here and, once it is open, the desk of the alert channels; both are told even if one fails."""

    def __init__(self, listener: Notifier) -> None:
        self._listener = listener
        self.desk: Notifier | None = None
        """Exchanged while the rollout goes on: who is told is no part of the plan."""
        self.desk_over = asyncio.Event()
        """Set when the present desk has nothing more to expect."""

    def exchange(self) -> asyncio.Event:
        """End the present desk; answers what will be set when the next one is over."""
        self.desk_over.set()
        self.desk, self.desk_over = None, asyncio.Event()
        return self.desk_over

    async def tell(self, event: Event) -> None:
        """Tell both."""
        try:
            await self._listener.tell(event)
        finally:
            if self.desk is not None:
                await self.desk.tell(event)
