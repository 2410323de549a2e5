"""The operator on a page: what is followed, who leads, what runs, and in which order it ends.

Called by `serinus controller --cluster`. Followers keep their caches warm, so that the next leader begins at once. When
it stops, writes that have begun are finished, the lease is given back, and everything serves on as it is.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal

from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.http_listener import listen, serve
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Key
from controlplane.kubernetes.election import Election
from controlplane.operator.alert_dispatch import AlertDispatchers
from controlplane.operator.cluster_environments import ClusterEnvironments
from controlplane.operator.controller import RolloutController
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.events import Events
from controlplane.operator.health import Health
from controlplane.operator.informers import Informers, following
from controlplane.operator.leadership import Leadership
from controlplane.operator.metrics import Numbers, exposition
from controlplane.operator.metrics_profile import CachedDiscovery, look
from controlplane.operator.operator_rollout import OperatorRollout
from controlplane.operator.own_namespace import release
from controlplane.operator.predicates import Pokes, is_urgent
from controlplane.operator.request_policy import RequestPolicy
from controlplane.operator.rollout_log import RolloutLog
from controlplane.operator.scheduler import Priority, Scheduler
from controlplane.operator.settings import LEASE_NAME, Settings
from controlplane.operator.sweeping import swept
from controlplane.operator.ticker import Ticker
from controlplane.ports import Clock
from controlplane.profiles.identity import MOST_BYTES

Say = Callable[[Key | None, str], None]
Duty = Callable[[], Coroutine[object, object, None]]
"""Something that goes on until it is cancelled, and by itself never ends."""
GRACE = 0.5
"""Seconds that passes under way have to end in when the operator stops: nobody leads meanwhile. One that is cut off is
healed by the next leader's, as after a kill."""
LAST_EVENTS = 2.0
"""Seconds for Kubernetes Events that were not written yet."""
REPORT_EVERY = 10.0
"""Seconds between two sentences about what keeps the operator from beginning."""


class Operator:
    """One replica."""

    def __init__(
        self,
        settings: Settings,
        kube: Kube,
        *,
        clock: Clock,
        say: Say,
        world: Callable[[Caches], ClusterEnvironments] | None = None,
    ) -> None:
        """`say` hears sentences for the log, with the rollout that they are about; `world` is made of the caches."""
        self.tally = OperatorCounters()
        self.following: Informers = following(kube, settings.namespace, clock, self._note, most=settings.most_memory)
        for each in self.following.reflectors:
            each.cache.complain = self._complain
        self.leading = False
        self.beside: list[Duty] = []
        """What every replica does besides, for as long as it runs."""
        self.duties: list[Duty] = []
        """What the replica that leads does besides; nothing in them may keep a rollout waiting."""
        self._settings, self._kube, self._clock, self._say = settings, kube, clock, say
        self._world = (world or self._real_world)(self.following.caches)
        self._period = self._world.period
        self.events = Events(kube, instance=settings.identity, now=clock.now, say=self._note)
        self._world.tell, self._world.say = self._told, self._note
        self.policy = RequestPolicy(kube, clock, self._note)
        self.retry_holders: list[Callable[[Object], Awaitable[bool]]] = []
        """Asked whether they held a rollout back that now may be tried again."""
        self._election = Election(
            kube, settings.home, LEASE_NAME, settings.identity, clock=clock, tell=lambda words: say(None, f"{words}.")
        )
        self.leadership = Leadership(lease_valid=self._is_lease_valid)
        log, rollouts = RolloutLog(say, self.tally), dict[Key, OperatorRollout]()
        caches, canaries = self.following.caches, self.following.canaries
        self.scheduler = Scheduler(
            Priority(
                is_urgent=functools.partial(is_urgent, canaries, rollouts),
                order=self._world.in_order,
                is_alarming=self._world.is_alarming,
                promote=getattr(kube, "hasten", lambda _key: None),
            ),
            Ticker(self._world.tick, period=self._period, tally=self.tally, say=self._note),
            log.bug,
        )
        pokes = Pokes(
            canaries,
            rollouts,
            self.scheduler.add,
            related=(
                caches.routes,
                caches.services,
                caches.runtimes,
                caches.deployments,
                caches.pods,
                caches.llm_services,
            ),
            gateways=caches.gateways,
        )
        self.controller = RolloutController(
            kube,
            canaries,
            self._world,
            clock=clock,
            interval=self._period,
            events=self.events,
            desks=AlertDispatchers(
                kube,
                clock=clock,
                networks=settings.networks,
                address=settings.dashboard,
                listed=settings.listed,
                counted=self.tally.told,
                warn=lambda about, said: self.events.tell(about, said, "Warning", "AlertsNotSent", said),
            ),
            tally=self.tally,
            log=log,
            scheduler=self.scheduler,
            charges=rollouts,
            leadership=self.leadership,
            known=settings.known,
            most=settings.most_rollouts,
            allow_retry=self._allow_retry,
            verified=lambda: self.policy.in_force,
            earlier_histories=settings.earlier_histories,
        )
        self._world.claims.concerns, self._world.news = pokes.touch, self.controller.metrics_read

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set. Raises `BadInput` before anything starts, for an address that cannot be had."""
        listening = listen(self._settings.listen) if self._settings.listen else None
        try:
            async with asyncio.TaskGroup() as tasks:
                helpers = [
                    tasks.create_task(self.following.run(), name="reflectors"),
                    tasks.create_task(self.events.run(), name="writer of Events"),
                    tasks.create_task(self._world.run(), name="queries and what is found out"),
                    tasks.create_task(self.policy.run(), name="look whether requests are verified"),
                ]
                helpers.append(tasks.create_task(self._release_home(), name="what waits in a namespace that goes"))
                helpers += [tasks.create_task(each()) for each in self.beside]
                if listening is not None:
                    helpers.append(tasks.create_task(serve(self._health(), listening), name="metrics and health"))
                stopping = tasks.create_task(stop.wait())
                working = tasks.create_task(self._work(stop), name="leader or standby")
                await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
                await self._end(working)
                await self.events.empty(LAST_EVENTS)
                for task in (*helpers, stopping):
                    task.cancel()
        finally:
            await self._world.close()

    async def _release_home(self) -> None:
        home, canaries = self._settings.home, self.following.canaries
        await release(self._kube, canaries, home, leads=lambda: self.leading, clock=self._clock, say=self._note)

    async def _work(self, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            reporter = tasks.create_task(self._report_missing())
            await self.following.synced()
            await self.policy.known()
            reporter.cancel()
        if not self._settings.elect:
            await self._lead(0, stop)
            return
        async with asyncio.TaskGroup() as tasks:
            standby = tasks.create_task(self.controller.standby.run(), name="standby")
            try:
                await self._election.lead(lambda fence: self._lead(fence, stop))
            finally:
                standby.cancel()
                self.controller.standby.clear()

    async def _lead(self, fence: int, stop: asyncio.Event) -> None:
        """Carry out all rollouts until `stop`, or until cancelled because the lease is lost."""
        await self.controller.standby.relieve()
        self.leadership.begin(fence)
        self.leading = True
        under_way, ready = len(self.following.canaries), self.controller.standby.ready
        self._say(None, f"Carrying out the rollouts of {under_way} ModelCanaries, {ready} of which were kept ready.")
        try:
            with swept() as sweep:
                await self._serve(stop, sweep)
        finally:
            self.leading = False
            self.controller.standby.resume()

    async def _serve(self, stop: asyncio.Event, sweep: Callable[[], None]) -> None:
        """What the leader does; `sweep` is called when nobody waits for anything."""
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self.controller.run(), name="controller"),
                tasks.create_task(self.scheduler.ticker.run(self.controller.tick, sweep), name="ticker"),
                *(tasks.create_task(each()) for each in self.duties),
            ]
            await stop.wait()
            for each in running[1:]:
                each.cancel()
            await self.controller.drain(GRACE)
            running[0].cancel()

    async def _end(self, working: "asyncio.Task[None]") -> None:
        """Let the leader end in order; a standby has nothing to end."""
        if not self.leading:
            working.cancel()
        await asyncio.wait({working})

    async def _report_missing(self) -> None:
        """Say now and then what is still awaited."""
        while True:
            await self._clock.sleep(REPORT_EVERY)
            self._say(None, f"Not begun yet: {'; '.join(self.following.missing)}.")

    def _real_world(self, caches: Caches) -> ClusterEnvironments:
        settings = self._settings
        return ClusterEnvironments(
            self._kube,
            caches,
            clock=self._clock,
            prometheus=settings.prometheus,
            queries=settings.queries,
            interval=settings.interval,
            find=CachedDiscovery(look, self._clock),
            ask=BoundedHttp(most_bytes=MOST_BYTES),
            known=settings.known,
            allowed=settings.hosts,
        )

    def _health(self) -> Health:
        return Health(lambda: exposition(self._numbers()), lambda: "; ".join(self.following.missing))

    def _numbers(self) -> Numbers:
        return Numbers(
            canaries=self.following.canaries,
            tally=self.tally,
            leading=self.leading,
            under_way=[
                (key[0], charge.rollout)
                for key, charge in self.controller.charges.items()
                if charge.rollout is not None
            ],
            queued=len(self.scheduler),
            events_lost=self.events.lost,
            requests=getattr(self._kube, "counts", {}),
            ready=self.controller.standby.ready,
        )

    def _told(self, key: Key, kind: Literal["Normal", "Warning"], reason: str, sentence: str) -> None:
        """What the world found out about a rollout; on a standby that is the leader's to say."""
        if not self.leading:
            return
        self._say(key, sentence)
        if (object_ := self.following.canaries.get(*key)) is not None:
            self.events.tell(object_, f"{reason}-{sentence}", kind, reason, sentence)

    def _is_lease_valid(self) -> bool:
        return not self._settings.elect or self._election.certain

    async def _allow_retry(self, object_: Object) -> bool:
        return any([await holds(object_) for holds in self.retry_holders])

    def _complain(self, sentence: str) -> None:
        """Of one object that cannot be dealt with."""
        self.tally.bugs += 1
        self._note(sentence)

    def _note(self, sentence: str) -> None:
        self._say(None, sentence)
