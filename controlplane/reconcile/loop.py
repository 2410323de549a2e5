"""The loop of one rollout: look, decide, carry out, look again. Safety first in time.

Driven by `managed_rollout.py` alone. The order that everything rests on: **a weight that falls is set
first and saved after; a weight that rises is saved first and set after.** Variants, announcements and the rest come
last and in the background, so nothing slow ever stands before a rollback. Decides nothing itself.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from canary import baseline
from canary.action import Action, SetWeights
from canary.catch_up import can_resume, catch_up, judged_from, restart_judge
from canary.errors import BugError, Conflict, ExternalError
from canary.judge import Analysis, compile_gates
from canary.machine import LONGEST_WAIT, advance, begin
from canary.pass_context import EXPOSED
from canary.rollout import Decision, Rollout
from canary.snapshot import Counters, Snapshot
from canary.spec.models import CanarySpec
from canary.spec.stored import from_text
from canary.unwatched import not_counted
from canary.weights import Weights
from controlplane.ports import MetricHistory, Ports, Stored
from controlplane.reconcile import route_recheck
from controlplane.reconcile.baseline_history import history_before
from controlplane.reconcile.carry_out import carry_out
from controlplane.reconcile.observer import Observer
from controlplane.reconcile.recording import Recording

Say = Callable[[str], None]
Spawn = Callable[[Coroutine[Any, Any, None]], object]

SAVE_EVERY = 5.0
"""Seconds after which evidence alone is worth a write; losing it would only make one block longer."""
ROUTE_PATIENCE = 5.0
"""Seconds that a router may take for one change before the loop looks at the world again."""
RETRY = 0.5
"""Seconds until the next try when the world refused something."""
LATE = 30.0
"""Seconds by which a pass may be late, or the clock may be set, before that time counts as not watched."""
LEFT_OUT_INTERVALS = 2
"""Scrape intervals that the judge may have missed without a look into the past: the next totals say as much."""
REBUILT_READINGS = 120
"""Readings of a longer absence that the judge is shown: 0.1 s of work. With more, rollouts in need would wait."""
REBUILD_PATIENCE = 2.0
"""Seconds that the past may take, once; whoever takes over hundreds of rollouts gets as far as that. A rollback that
was decided does not wait for it at all."""
LESSON_PATIENCE = 10.0
"""Seconds that stable's history from before the rollout may take for one answer,"""
LESSON_TRIES = 10
"""and how often it is asked for, a second apart: a Prometheus of our own has just been started."""


class Reconciler:
    """Moves one rollout on, pass by pass."""

    def __init__(
        self,
        *,
        name: str,
        spec: CanarySpec,
        spec_text: str,
        revision: str,
        ports: Ports,
        scrape_interval: float = 1.0,
        say: Say | None = None,
        spawn: Spawn | None = None,
        save_every: float = SAVE_EVERY,
        on_decision: Callable[[Rollout, Decision], None] = lambda _before, _decision: None,
    ) -> None:
        """`spawn` starts a coroutine in the background; None waits for each instead, as simulations want it.

        `save_every`: seconds after which evidence alone is saved; infinite where it can be read again after a restart.
        `on_decision` is called in each pass, with the state before it.
        """
        self.spec = spec
        self.config = compile_gates(spec)
        self.revision = revision
        self.ports = ports
        self.board = Observer(ports, name, scrape_interval)
        self.rollout: Rollout | None = None
        self.decision: Decision | None = None
        self._name = name
        self._spec_text = spec_text
        self._say = say
        self._spawn = spawn
        self._save_every = save_every
        self._on_decision = on_decision
        self._version = 0
        self._saved: Rollout | None = None
        self._saved_at = float("-inf")
        self._busy: set[Action] = set()
        self._said: dict[str, str] = {}
        self._recording = Recording(ports.store)
        self._analysis: Analysis | None = None
        """The judge's last, so that a pass over nothing new costs next to nothing."""
        self._lesson: Sequence[Counters] = ()
        """Stable's history from before this rollout, until the judge has seen it."""
        self._passed: tuple[float, float] | None = None
        """Time of the last pass by the wall clock and by the event loop's, which stops while the machine sleeps."""
        self._due = 0.0
        """Seconds from that pass to the next one at the latest."""

    async def start(self, stored: Stored | None) -> None:
        """Go on from what the store has, or begin a new attempt. Asks the world nothing; see `catch_up`."""
        if stored is not None and not (stored.rollout.finished and stored.rollout.announced == stored.rollout.events):
            self._adopt(stored)
        else:
            await self._begin(stored)

    def _adopt(self, stored: Stored) -> None:
        """An unfinished state, which the store is known to have."""
        if stored.rollout.revision != self.revision:
            raise BugError(f"{self._name}: an unfinished rollout of another plan has to be ended first")
        self._version, self._saved, self.rollout = stored.version, stored.rollout, stored.rollout
        looked = stored.rollout.judge.previous
        self._saved_at = stored.rollout.since if looked is None else looked.at

    async def _begin(self, stored: Stored | None) -> None:
        """A new attempt after this finished one."""
        now, attempt = self.ports.clock.now(), stored.rollout.attempt + 1 if stored else 1
        self._version, self._saved = stored.version if stored else 0, None
        self.rollout = begin(self.config, name=self._name, revision=self.revision, attempt=attempt, now=now)
        self._recording.begun(self.rollout, self._spec_text)
        if stored is not None and isinstance(self.ports.metrics, MetricHistory) and self._known_before(stored):
            await self._start(self._look_back(self.ports.metrics, now))

    def _known_before(self, earlier: Stored) -> bool:
        """Whether stable is the variant that the rollout before this one left serving."""
        try:
            plan = from_text(earlier.spec_text)
        except ExternalError:  # then there is nothing to be learnt from it
            return False
        return baseline.ran_before(self.spec, earlier.rollout, plan.spec)

    async def _look_back(self, source: MetricHistory, began: float) -> None:
        """Read what stable did before this rollout. Nothing waits for it, and nothing fails without it."""
        interval = self.board.scrape_interval
        for _ in range(LESSON_TRIES):
            try:
                async with asyncio.timeout(LESSON_PATIENCE):
                    self._lesson = await history_before(source, began, interval)
            except (ExternalError, TimeoutError):
                await self.ports.clock.sleep(2 * RETRY)
            else:
                return

    async def _caught_up(self, rollout: Rollout, now: float) -> Rollout:
        """The rollout with the evidence of the time since its judge looked last, where the source remembers it."""
        if not can_resume(self.config, rollout):
            return await self._judged_anew(rollout, now)
        known, source, interval = rollout.judge.previous, self.ports.metrics, self.board.scrape_interval
        if rollout.phase not in EXPOSED or known is None or not isinstance(source, MetricHistory):
            return rollout
        if now - known.at <= LEFT_OUT_INTERVALS * interval:
            return rollout
        try:
            async with asyncio.timeout(REBUILD_PATIENCE):
                history = await source.between(known.at, now, REBUILT_READINGS)
        except (ExternalError, TimeoutError) as error:
            why = str(error) or f"no answer within {REBUILD_PATIENCE:g} s"
            self.tell("history", f"What happened meanwhile cannot be read again: {why} It counts as one long interval.")
            return rollout
        self._recording.rebuilt(history, now)
        return catch_up(self.config, rollout, history)

    async def _judged_anew(self, rollout: Rollout, now: float) -> Rollout:
        """The rollout whose judge has seen nothing, or remembers in another release's way: what the source knows."""
        source, since = self.ports.metrics, judged_from(rollout)
        lesson: Sequence[Counters] = ()
        history: Sequence[Counters] = ()
        looked = rollout.judge.previous is not None or rollout.steady_since is not None
        if looked and rollout.phase in EXPOSED and isinstance(source, MetricHistory):
            try:
                async with asyncio.timeout(REBUILD_PATIENCE):
                    history = await source.between(since, now, REBUILT_READINGS)
                async with asyncio.timeout(REBUILD_PATIENCE):
                    lesson = await history_before(source, since, self.board.scrape_interval)
            except (ExternalError, TimeoutError) as error:
                why = str(error) or f"no answer within {REBUILD_PATIENCE:g} s"
                self.tell("history", f"What the judge could learn from the past cannot be read: {why}")
        anew = restart_judge(self.config, rollout, lesson, history, now)
        if anew is not rollout:
            self._recording.broken_off()
        return anew

    async def catch_up(self) -> None:
        """After `start`: read what was counted since the judge of an adopted rollout looked last."""
        if self.rollout is not None and self._saved is not None:
            self.rollout = await self._caught_up(self.rollout, self.ports.clock.now())

    def ingest(self, history: Sequence[Counters]) -> None:
        """After `start`: let the judge take these in (oldest first), and decide nothing yet."""
        rollout = self.rollout
        if rollout is not None and rollout.phase in EXPOSED and can_resume(self.config, rollout):
            self._recording.rebuilt(history, self.ports.clock.now())
            self.rollout = catch_up(self.config, rollout, history)

    def set_version(self, version: int) -> None:
        """After `start`: the store has the same state, and calls it this version by now."""
        self._version = version

    async def refresh(self) -> None:
        """Look at the whole world, now."""
        await self.board.look()

    async def once(self) -> float:
        """One pass; answers when to look again at the latest (seconds on the clock, infinite when finished)."""
        if self.rollout is None:
            try:
                await self.start(await self.ports.store.load(self._name))
                await self.catch_up()
            except ExternalError as error:
                self.tell("store", f"{error} The rollout does not begin before its state can be read.")
                return self.ports.clock.now() + RETRY
        before = self.rollout
        if before is None:
            raise BugError(f"{self._name}: a rollout that was started has no state")
        now = self.ports.clock.now()
        if seconds := self._not_watched(now):
            self._recording.not_watched(seconds, now)
            before = self.rollout = not_counted(before, seconds, now)
        if self._lesson:
            self._recording.taught(self._lesson, now)
            before, self._lesson = baseline.learn_noise(self.config, before, self._lesson, now), ()
        decided = await self._decide(before, now)
        if decided is None:
            return now + RETRY
        seen, decision = decided
        self._recording.looked(before, seen, decision, now)
        self._analysis = decision.analysis
        self._on_decision(before, decision)
        settled = await self._carry_out_safely(before, decision, now)
        self.decision = decision
        if settled or (self._saved is not None and self._saved.finished):
            await self._announce()  # what is over was seen to be, and is told even if the route is gone by now
        wake_at = decision.wake_at if settled else now + RETRY
        self._due = min(wake_at - now, LONGEST_WAIT)
        return wake_at

    def waits(self, seconds: float) -> None:
        """The next pass is meant to come in so many seconds, whatever the last one asked for: all of it is watched."""
        self._due = seconds

    def _not_watched(self, now: float) -> float:
        """Seconds by which the clock moved beyond what was watched since the last pass; 0 for `LATE` or less."""
        seen, self._passed = self._passed, (now, asyncio.get_running_loop().time())
        if seen is None:
            return 0.0
        watched = min(self._passed[1] - seen[1], max(self._due, 0.0) + LATE)
        seconds = now - seen[0] - watched
        return seconds if abs(seconds) > LATE else 0.0

    async def _decide(self, before: Rollout, now: float) -> tuple[Snapshot, Decision] | None:
        """What is seen and what follows; None where that is not certain, and nothing may follow from it.

        Nobody is accused of having lowered the route on the word of an old copy of it.
        """
        seen = self.board.seen()
        decision = advance(self.config, before, seen, now, self._analysis)
        if not route_recheck.is_needed(before, decision, self.ports.router):
            return seen, decision
        if why := await route_recheck.recheck(self.ports.router):
            self.tell("route", f"The route looks lowered, and cannot be read anew: {why} Nothing is moved before that.")
            return None
        await self.board.look_at_route()
        seen = self.board.seen()
        return seen, advance(self.config, before, seen, now, self._analysis)

    @property
    def done(self) -> bool:
        """Whether the rollout is finished, its end is saved, and everybody was told."""
        saved = self._saved
        return saved is not None and saved.finished and saved.announced == saved.events

    async def _carry_out_safely(self, before: Rollout, decision: Decision, now: float) -> bool:
        """Route and state in the safe order, then the rest. Answers whether the world took everything."""
        self.rollout = decision.rollout
        in_force, target = self.board.route.weights, _target(decision)
        if target is None:
            routed = True
            saved = await self._save(now)
        elif not target.canary or (in_force is not None and target < in_force):
            routed = await self._route(target)
            saved = await self._save(now)
        else:
            saved = await self._save(now)
            if not saved and target > before.weights:
                self._take_back(before, decision.rollout)
                return False
            approved = self._saved is not None and target <= self._saved.weights
            routed = approved and await self._route(target)
        for action in decision.actions:
            if not isinstance(action, SetWeights):
                await self._do(action)
        return routed and saved

    def _take_back(self, before: Rollout, decided: Rollout) -> None:
        """A rise that could not be saved was never decided; what somebody else saved meanwhile stands."""
        self._recording.broken_off()
        if self.rollout is decided:
            self.rollout = before

    async def _route(self, weights: Weights) -> bool:
        """Make these weights the ones in force; the route is looked at again at once."""
        if self.board.route.weights == weights:
            return True
        try:
            async with asyncio.timeout(ROUTE_PATIENCE):
                await carry_out(SetWeights(weights), self.spec, self.ports)
        except (ExternalError, TimeoutError) as error:
            why = str(error) or "no answer"
            stable = self.board.variants.get("stable")
            if stable is not None and stable.usable:  # before that, a route has nowhere to lead to
                self.tell("route", f"The route could not be set to {weights}: {why}. It is tried again.")
            await self.board.look_at_route()
            return False
        self._said.pop("route", None)
        await self.board.look_at_route()
        return True

    async def _save(self, now: float, *, always: bool = False) -> bool:
        """Write the state if it changed in what matters, or if its evidence has grown old."""
        rollout = self.rollout
        if rollout is None:
            return False
        if not always and self._saved is not None and not self._worth_saving(rollout, now):
            return True
        try:
            self._version = await self.ports.store.save(rollout, self._spec_text, self._version)
        except Conflict:
            self.tell("store", "Somebody else wrote this rollout's state: reading it again and deciding again.")
            await self._reload()
            return False
        except ExternalError as error:
            self.tell("store", f"{error} The rollout goes on watching; its traffic does not rise until that is saved.")
            return False
        self._said.pop("store", None)
        self._saved, self._saved_at = rollout, now
        return True

    def _worth_saving(self, rollout: Rollout, now: float) -> bool:
        saved = self._saved
        if saved is None or (rollout.events, rollout.phase, rollout.answered, rollout.reason) != (
            saved.events,
            saved.phase,
            saved.answered,
            saved.reason,
        ):
            return True
        return rollout.judge != saved.judge and now - self._saved_at >= self._save_every

    async def _reload(self) -> None:
        try:
            stored = await self.ports.store.load(self._name)
        except ExternalError:
            return
        if stored is not None:
            self._recording.broken_off()
            self.rollout = self._saved = stored.rollout
            self._version = stored.version
            if not can_resume(self.config, stored.rollout):
                self.rollout = await self._judged_anew(stored.rollout, self.ports.clock.now())

    async def _do(self, action: Action) -> None:
        """Carry out an action that no safety depends on, at most once at a time."""
        if action in self._busy:
            return
        self._busy.add(action)
        await self._start(self._try(action))

    async def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """In the background, where there is one."""
        if self._spawn is None:
            await work
        else:
            self._spawn(work)

    async def _try(self, action: Action) -> None:
        try:
            await carry_out(action, self.spec, self.ports)
        except ExternalError as error:
            self.tell(repr(action), f"{error} It is tried again.")
        else:
            self._said.pop(repr(action), None)
        finally:
            self._busy.discard(action)

    async def _announce(self) -> None:
        """Tell what has been saved and not been told; the cursor is saved with the state."""
        rollout = self._saved
        if rollout is None or self.rollout is None or rollout.announced >= rollout.events:
            return
        told = rollout.announced
        for event in rollout.history:
            if event.seq > told:
                try:
                    await self.ports.notifier.tell(event)
                except ExternalError as error:
                    self.tell("notifier", f"{error} The announcement is tried again.")
                    break
                told = event.seq
        self.rollout = replace(self.rollout, announced=told)
        if self.rollout.finished:
            await self._save(self.ports.clock.now(), always=True)  # a start after this begins a new attempt
        else:
            self._saved = replace(rollout, announced=told)

    def tell(self, about: str, sentence: str) -> None:
        """Say a sentence once, until it changes."""
        if self._said.get(about) != sentence:
            self._said[about] = sentence
            if self._say:
                self._say(sentence)


def _target(decision: Decision) -> Weights | None:
    """The weights that the decision asks for; None where traffic is to stay as it is found."""
    return next((action.weights for action in decision.actions if isinstance(action, SetWeights)), None)
