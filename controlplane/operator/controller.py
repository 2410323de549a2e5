"""The ModelCanary controller: which rollout a key wants carried out, taking it up, and one pass over it.

Run by `operator.py` while this replica leads. Driven by pokes: changes in the caches, ticks of the metrics, times that
rollouts asked for, requests of people. Nothing polls: a ModelCanary at rest costs the cache its object, and no more.
When a key's turn comes is `scheduler.py`'s business, what a rollout does in a pass is `operator_rollout.py`'s.
"""

import asyncio
import functools
import math
from collections.abc import Awaitable, Callable, Collection
from contextlib import nullcontext, suppress
from dataclasses import replace

from canary.errors import BadInput, ExternalError
from canary.rollout import Decision, Rollout
from canary.spec.resource import without_spec
from canary.spec.stored import to_text
from controlplane.fair_queue import Turns
from controlplane.kubernetes.api import Kube, NotFound, Object, Rejected
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.operator.alert_dispatch import AlertDispatchers, attend
from controlplane.operator.background import Background
from controlplane.operator.counters import OperatorCounters
from controlplane.operator.deletion import DeletionHandler
from controlplane.operator.drift import tell_drift
from controlplane.operator.environment import EnvironmentFactory, MissingDependency, RolloutEnvironment
from controlplane.operator.event_log_writer import EventLogWriter
from controlplane.operator.events import Events
from controlplane.operator.finalizer import hold, is_held, is_leaving
from controlplane.operator.leadership import Leadership
from controlplane.operator.limit import MOST_ROLLOUTS, RolloutLimit
from controlplane.operator.operator_rollout import OperatorRollout, SharedServices, WorkItem, unfinished
from controlplane.operator.request_annotations import requests_in
from controlplane.operator.request_responder import RequestResponder, nothing_to_allow
from controlplane.operator.rollout_log import RolloutLog
from controlplane.operator.scheduler import Scheduler
from controlplane.operator.spec_reader import ParsedSpec, held_back, is_at_rest, is_queued, is_refused, read
from controlplane.operator.status import StatusInputs, has_news
from controlplane.operator.store import StatusStore, stored_in, tell_unreadable
from controlplane.operator.stores import Stores
from controlplane.operator.warm_standby import PreparedRollout, Standby
from controlplane.ports import Clock, Stored
from controlplane.reconcile.loop import RETRY
from profiles.catalogue import Catalogue

CLAIMS_AT_A_TIME = 4
"""Rollouts that a new leader takes up together, those first whose numbers look worst: a write each, and the API server
has room left for the rollback that one of them finds to be due."""
LOOK_AGAIN = 10.0
"""Seconds until a plan is looked at again that the cluster lacks something for."""
ROOM_AGAIN = 60.0
"""Seconds until it is asked again whether there is room by now for a plan that its namespace had none for."""
AFTER_A_BUG = 5.0
"""Seconds until a rollout is looked at again whose pass ended in a bug of ours."""


class RolloutController:
    """The rollouts in our charge, by namespace and name."""

    def __init__(
        self,
        kube: Kube,
        canaries: Cache,
        sites: EnvironmentFactory,
        *,
        clock: Clock,
        interval: float,
        events: Events,
        desks: AlertDispatchers,
        tally: OperatorCounters,
        log: RolloutLog,
        scheduler: Scheduler[Key],
        charges: dict[Key, OperatorRollout],
        leadership: Leadership,
        known: Catalogue | None = None,
        most: int = MOST_ROLLOUTS,
        allow_retry: Callable[[Object], Awaitable[bool]] = nothing_to_allow,
        verified: Callable[[], bool | None] = lambda: None,
        earlier_histories: bool = False,
    ) -> None:
        """`canaries`: every ModelCanary; `charges`: filled here, with the rollouts under way.

        `known`: what plans may name, None for the package's own; `most`: rollouts of a namespace; `allow_retry`: see
        `RequestResponder`; `verified`, `earlier_histories`: see `Stores`.
        """
        self.charges = charges
        self._scheduler, self._leadership, self._log = scheduler, leadership, log
        self._kube, self._canaries, self._sites, self._known = kube, canaries, sites, known
        self._clock, self._events, self._desks, self._tally, self._say = clock, events, desks, tally, log.say
        say = functools.partial(log.say, None)
        self._background = Background(say, log.count_bug)
        self._means = SharedServices(clock, interval, self._background.spawn, self._decided)
        self._responder = RequestResponder(events, self.store, allow_retry)
        self._turns: Turns[Key] = Turns(CLAIMS_AT_A_TIME, scheduler.priority.order)
        self.standby = Standby(canaries, self._prepare, sites.tick, period=interval, say=say)
        """Runs while another replica leads."""
        self._farewell = DeletionHandler(kube, events, clock, log.say)
        self._stores = Stores(
            kube,
            canaries,
            clock.now,
            leadership=leadership,
            facts=self._facts,
            verified=verified,
            earlier_histories=earlier_histories,
        )
        self._readings: dict[Key, ParsedSpec] = {}
        self._scribe = EventLogWriter(clock, self._background.spawn)
        self._waiting: dict[Key, float] = {}
        """Those that something is lacking for, and in how many seconds at the latest each is looked at again."""
        self.limit = RolloutLimit(most, scheduler.add)

    async def run(self) -> None:
        """Carry all of them out until cancelled; everything serves on then, and the next to run goes on from there."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._background.open(tasks)
                self._turns.open()
                here = list(self._canaries.items())
                # A refused one perhaps only for what the cluster lacked then.
                self._waiting.update((key_of(each), LOOK_AGAIN) for each in here if is_refused(each) or is_queued(each))
                self.limit.begin(here)
                try:
                    await self._scheduler.run(
                        self.reconcile, self._scheduler.priority.order([key_of(each) for each in here])
                    )
                finally:
                    self._background.close()
        finally:
            for key in list(self.charges):
                self._drop(key)
            self._scribe = EventLogWriter(self._clock, self._background.spawn)

    async def drain(self, seconds: float) -> None:
        """Begin nothing new, and wait for so long at most until what has begun is done."""
        self._turns.close()
        try:
            async with asyncio.timeout(seconds):
                await self._scheduler.drain()
        except TimeoutError:
            self._say(None, "Some writes were under way when the operator stopped: the next pass makes them good.")

    async def tick(self) -> None:
        """The numbers were read, or not in time: every rollout under way looks at them, the worst first.

        Those that look broken have a head start. May be cancelled and called again, with newer numbers.
        """
        for charge in self.charges.values():
            charge.evidence_due = True
        await self._scheduler.dispatch(tuple(self.charges))

    def metrics_read(self, keys: Collection[Key]) -> None:
        """The numbers of these were read beside the tick."""
        for key in self.charges.keys() & set(keys):
            self.charges[key].evidence_due = True
            self._scheduler.add(key)

    def store(self, namespace: str) -> StatusStore:
        """Of a namespace."""
        return self._stores.of(namespace)

    # One pass

    async def reconcile(self, key: Key) -> float:
        """One pass over a ModelCanary; answers in how many seconds it is due again at the latest. Never raises."""
        try:
            with self._tally.passing():
                wait = await self._pass(key)
        except ExternalError as error:
            tell_unreadable(error, self._canaries.get(*key), self._events)
            self._log.once(key, f"{error} It is tried again.")
            return RETRY
        except Exception as error:  # noqa: BLE001 - a bug met by one rollout must not end the others
            self._log.bug(key, error)
            return AFTER_A_BUG
        self._log.forget(key)
        return wait

    async def _pass(self, key: Key) -> float:
        object_ = self._canaries.get(*key)
        charge = self.charges.get(key)
        if object_ is None:
            self._drop(key)
            return math.inf
        if charge is None:
            again = ROOM_AGAIN if self._canaries.is_omitted(key) else math.inf
            if is_at_rest(object_) and key not in self._waiting and not self._canaries.may_have(key):
                self._readings.pop(key, None)
                return again
            self._waiting.pop(key, None)
            if (charge := await self._take_up(key)) is None:
                return self._waiting.get(key, again)
            self.charges[key] = charge
        elif not is_leaving(object_):
            await self._reread(key, charge, object_)
        if is_leaving(object_) and await self._farewell.is_over(charge, object_):
            self._drop(key)
            return math.inf
        wait = await charge.once()
        if tell_drift(charge, object_, self._events, self._clock.now()):
            self._background.spawn(self._note(key))
        self._after(key, charge)
        if charge.tidied:
            await self._finish(key, charge)
        return wait

    async def _take_up(self, key: Key) -> OperatorRollout | None:
        """Find out what a ModelCanary wants done; None where that is nothing, which is noted."""
        namespace, name = key
        store = self.store(namespace)
        # What is new, or ours already, is in nobody's way.
        async with self._turns.taken(key) if store.is_of_earlier_term(name) else nullcontext(True) as has_turn:
            if not has_turn:  # we are about to stop
                return None
            try:
                newest = await store.claim(name)
            except NotFound:
                self._canaries.drop(key)
        object_, ready = self._canaries.get(*key), self.standby.take(key)
        if ready is not None:
            if object_ is not None and newest and ready.is_claimed_by(object_):
                return self._taken_over(key, object_, ready)
            ready.charge.close()
        if object_ is None:
            return None
        stored = stored_in(object_)
        reading = self._readings[key] = read(object_, self._known)
        if stored is not None:  # the process before this one may have died between status and history
            store.books.note(name, stored.rollout.attempt, stored.rollout.history)
        task = unfinished(object_, stored, reading)
        going_on = newest and task is not None and task.ended is None
        if task is None and is_leaving(object_):
            self.limit.leave(key)
            await self._farewell.nothing_to_give_back(object_, reading, stored)
            return None
        if task is None:
            task = await self._next(key, object_, reading, stored)
            if task is None:
                self._keep_less(key, reading)
                await self._refuse(key, object_, self._readings[key])
                return None
            if why := self.limit.refusal(object_):
                self._waiting[key] = math.inf  # until it is poked
                self._readings[key] = replace(reading, queued=why)
                await store.note(name)
                return None
        try:
            site = self._sites.open(task.plan, namespace)
        except BadInput as error:  # only this cluster makes it impossible, so no spec could say so before
            if isinstance(error, MissingDependency):
                self._waiting[key] = LOOK_AGAIN
            await self._refuse(key, object_, replace(reading, plan=None, faults=(str(error),)))
            return None
        if not is_held(object_) and not is_leaving(object_):
            self._canaries.put(await hold(self._kube, object_))
        charge = self._charge(key, task, site, object_)
        self._note_reading(charge, reading)
        self._tell_faults(object_, reading)
        if stored is not None and going_on:  # the claim has just read it
            await charge.resume(stored)
            await charge.catch_up()
        if task.ended is None:
            self._open_desk(key, charge, object_)
        return charge

    async def _refuse(self, key: Key, object_: Object, reading: ParsedSpec) -> None:
        """Nothing is begun: say why, where anything is wrong."""
        self._readings[key] = reading
        self.limit.leave(key)
        self._tell_faults(object_, reading)
        await self.store(key[0]).note(key[1])

    def _keep_less(self, key: Key, reading: ParsedSpec) -> None:
        """Of a spec that cannot be carried out, no more is kept than what is wrong with it."""
        if reading.faults and not self._canaries.is_omitted(key):
            self._canaries.lighten(key, lambda kept: without_spec(kept, reading.faults))

    def _prepare(self, key: Key, object_: Object) -> tuple[OperatorRollout, ParsedSpec] | None:
        """An unfinished rollout, opened for the standby: nothing is written or told."""
        reading = read(object_, self._known)
        task = unfinished(object_, stored_in(object_), reading)
        if task is None or task.ended is not None or not is_held(object_):
            return None
        return self._charge(key, task, self._sites.open(task.plan, key[0]), object_), reading

    def _taken_over(self, key: Key, object_: Object, ready: PreparedRollout) -> OperatorRollout:
        """What the standby kept ready, now that the claim has shown that it is the newest."""
        charge, reading = ready.charge, ready.reading
        charge.take_over(ready.version + 1)
        if (rollout := charge.rollout) is not None:
            self.store(key[0]).books.note(key[1], rollout.attempt, rollout.history)
        self._readings[key] = reading
        self._note_reading(charge, reading)
        if object_["status"].get("observedGeneration") != reading.generation:
            self._tell_faults(object_, reading)
        self._open_desk(key, charge, object_)
        return charge

    def _charge(self, key: Key, task: WorkItem, site: RolloutEnvironment, object_: Object) -> OperatorRollout:
        return OperatorRollout(
            task,
            key[0],
            site,
            self.store(key[0]),
            self._events.listener(lambda: self._canaries.get(*key) or object_),
            self._means,
            lambda sentence: self._say(key, sentence),
        )

    async def _next(self, key: Key, object_: Object, reading: ParsedSpec, stored: Stored | None) -> WorkItem | None:
        """What to begin, where nothing is under way: a new plan, or the same one again because somebody asked."""
        before = stored.rollout if stored else None
        same = before is not None and before.result != "superseded" and before.revision == reading.revision
        asked = self.store(key[0]).asked(object_)
        again = before is not None and before.result != "promoted" and any(each.verb == "retry" for each in asked)
        if reading.plan is not None and (again or not same):
            retry = f"kubectl canary retry {key[1]} -n {key[0]}"
            if again or not (why := held_back(stored, reading.plan, retry)):
                return WorkItem(reading.plan, to_text(reading.plan), reading.revision)
            self._readings[key] = replace(reading, plan=None, faults=(why,))
        await self._responder.refuse(object_, asked, "nothing is under way")
        return None

    async def _reread(self, key: Key, charge: OperatorRollout, object_: Object) -> None:
        """Take notice of an edited spec while an earlier one is carried out."""
        known = self._readings.get(key)
        if known is not None and known.generation == object_["metadata"].get("generation", 0):
            return
        reading = self._readings[key] = read(object_, self._known)
        self._keep_less(key, reading)
        self._note_reading(charge, reading)
        self._tell_faults(object_, reading)
        if reading.faults or (known is not None and known.faults):
            await self.store(key[0]).note(key[1])
        same = reading.plan is not None and reading.revision == charge.task.revision
        if same and reading.plan is not None and reading.plan.spec.alerts != charge.task.plan.spec.alerts:
            charge.task = replace(charge.task, plan=reading.plan)
            self._open_desk(key, charge, object_)

    def _open_desk(self, key: Key, charge: OperatorRollout, object_: Object) -> None:
        """Let alerts go out by the charge's present plan, in the background."""
        over = charge.notifier.exchange()
        if charge.task.plan.spec.alerts:
            say = functools.partial(self._say, key)
            opening = functools.partial(self._desks.open, charge.task.plan, self.store(key[0]), object_, say)
            self._background.spawn(attend(charge.notifier, opening, over, self._clock, say))

    def _note_reading(self, charge: OperatorRollout, reading: ParsedSpec) -> None:
        charge.faults = reading.faults
        newer = reading.resting or (reading.plan is not None and reading.revision != charge.task.revision)
        charge.supersede((reading.revision or "at rest") if newer else "")
        if not newer:
            charge.generation = reading.generation

    def _after(self, key: Key, charge: OperatorRollout) -> None:
        """What follows a pass, in the background: answered requests go, and the history is written."""
        object_ = self._canaries.get(*key)
        rollout = charge.rollout
        if object_ is None or rollout is None:
            return
        shown = (object_.get("status") or {}).get("gates") or ()
        if not charge.over and has_news(shown, rollout.verdicts):
            self._background.spawn(self.store(key[0]).show(rollout))
        if any(not each or each.id in rollout.answered for each in requests_in(object_).values()):
            self._background.spawn(self._responder.put_away(object_))
        self._scribe.write(self.store(key[0]).books, object_, at_once=charge.over)

    async def _note(self, key: Key) -> None:
        await self.store(key[0]).note(key[1])

    async def _finish(self, key: Key, charge: OperatorRollout) -> None:
        """Everything is put away: say so, and look whether something else is wanted by now."""
        object_ = self._canaries.get(*key)
        if object_ is None:
            return
        if is_leaving(object_):
            await self._farewell.finish(charge, object_)
            self._canaries.drop(key)  # it is gone, or waits for others; the watch says which
        else:
            with suppress(Rejected, NotFound):  # whoever may keep no history may roll out all the same
                await self.store(key[0]).books.flush(key[1], object_)
            await self.store(key[0]).note(key[1])
        self._drop(key)
        self._scheduler.add(key)

    def _drop(self, key: Key) -> None:
        """Have nothing to do with it any more."""
        charge = self.charges.pop(key, None)
        self._readings.pop(key, None)
        self._waiting.pop(key, None)
        self.limit.leave(key)
        if charge is not None:
            charge.close()
        if self._canaries.get(*key) is None:
            self._log.forget(key)
            self.store(key[0]).books.forget(key[1])

    # What is said

    def _facts(self, namespace: str, name: str) -> StatusInputs:
        """What the status says besides the state."""
        key, token = (namespace, name), self._leadership.fencing_token
        charge, reading = self.charges.get(key), self._readings.get(key)
        if charge is not None:
            return charge.facts(token)
        reading = reading or ParsedSpec(0, None)
        return StatusInputs(reading.generation, token, reading.faults, queued=reading.queued)

    def _decided(self, namespace: str, before: Rollout, decision: Decision) -> None:
        """Count what is new in a decision, and log its changes of phase."""
        for event in self._tally.decided(before, decision, namespace):
            if event.event == "phase":
                self._say((namespace, event.rollout), f"{event.phase}: {event.message}")

    def _tell_faults(self, object_: Object, reading: ParsedSpec) -> None:
        if reading.faults:
            note = f"{' '.join(reading.faults)} What runs goes on unchanged."
            self._events.tell(object_, f"invalid-{reading.generation}", "Warning", "InvalidSpec", note)
        for note in reading.notes:
            self._events.tell(object_, f"note-{reading.generation}-{note}", "Normal", "Note", note)
