"""One simulated rollout from its first event to its last: the real loop, machine and judge in a virtual world.

Called by `serinus simulate` and by the tests. Steps the loop at every scrape and whenever it asks to be woken, kills it
where the scenario says so, and checks the invariants of `canary.invariants` after every pass.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from canary.errors import BugError
from canary.frame import Frame
from canary.rollout import Decision, Event, Phase, Rollout
from canary.spec.models import CanarySpec, ModelCanary
from canary.spec.parse import revision
from canary.spec.stored import to_text
from canary.weights import ALL_STABLE, Arm
from controlplane.reconcile.managed_rollout import ManagedRollout
from controlplane.simulation.clock import play
from controlplane.simulation.faults import Killed, length_of
from controlplane.simulation.pace import SimulationPace
from controlplane.simulation.ports import Shift
from controlplane.simulation.scenarios import Scenario
from controlplane.simulation.service import SAME_MOMENT
from controlplane.simulation.traffic import REQUESTS
from controlplane.simulation.world import Setting, World

HORIZON = 3.0
"""Times a plan's length after which a simulation that has not ended is given up."""
PATIENCE = 7200.0
"""Seconds that come on top, for variants to start, evaluations to run and people to answer."""


@dataclass(frozen=True, slots=True)
class Story:
    """What happened, and what was true besides."""

    rollout: Rollout | None
    """The last state; None if nothing could ever be saved."""
    events: Sequence[Event]
    """The history as its store has it."""
    seconds: float
    """Virtual seconds that went by."""
    passes: int
    interval: float
    """Seconds between two scrapes in the longest stage."""
    horizon: float
    deaths: int
    """How often the controller was killed."""
    lines: Sequence[str]
    """The lines of its work at which the controller could have been killed, in order."""
    requests: Mapping[Arm, int]
    """Requests that really reached each arm since the canary's first traffic was possible, whatever was counted."""
    misrouted: int
    """Requests that a change of weights sent to an arm that could not serve."""
    shifts: Sequence[Shift]
    """Weights as they really came into force."""
    frames: Sequence[Frame]
    """The recording as its store has it, for `canary.replay`."""

    @property
    def result(self) -> str:
        """How it ended; `timed_out` if it did not."""
        ended = self.rollout is not None and self.rollout.finished and self.rollout.result is not None
        return str(self.rollout.result) if ended and self.rollout else "timed_out"


def simulate(
    plan: ModelCanary,
    scenario: Scenario,
    *,
    seed: int = 0,
    rps: float = 200.0,
    noise: str = "real",
    rated: float = 1.0,
    interval: float | None = None,
    horizon: float | None = None,
    fatal: Collection[int] = (),
    watch: Callable[[Rollout, Decision], None] | None = None,
) -> Story:
    """Play one rollout. The same arguments give the same story.

    `rated`: the share of requests that KPIs are known of, as where few users rate an answer.
    `interval` fixes the seconds between scrapes, `horizon` the virtual seconds after which it is given up; `fatal`
    lines of the controller's work end it there (see `Story.lines`); `watch` sees every pass. Raises `BugError` when an
    invariant breaks.
    """
    setting = Setting(plan, scenario, seed, rps, noise, fatal, rated)
    pace = SimulationPace(plan.spec, interval)
    limit = horizon if horizon is not None else usual_horizon(plan.spec)
    return play(_Player(setting, pace, limit, watch).play())


def usual_horizon(spec: CanarySpec) -> float:
    """Virtual seconds after which a rollout of this plan is given up, where nobody says otherwise."""
    shadow = spec.shadow.for_ if spec.shadow else 0.0
    return HORIZON * (length_of(spec) + shadow) + spec.progress_deadline + PATIENCE


class _Simulated(ManagedRollout):
    """A rollout whose broken invariants end the simulation."""

    def __init__(
        self,
        setting: Setting,
        world: World,
        text: str,
        interval: float,
        watch: Callable[[Rollout, Decision], None] | None,
    ) -> None:
        self._setting, self._world, self._watch = setting, world, watch
        plan = setting.plan
        super().__init__(plan, text=text, revision=revision(plan), ports=world.ports, interval=interval)

    def on_broken(self, wrong: Sequence[str]) -> None:
        """Raise."""
        where = f"{self._setting.scenario.name}, seed {self._setting.seed}, t = {self._world.clock.t:.1f} s"
        raise BugError(f"An invariant broke in a simulation ({where}): {'; '.join(wrong)}.")

    def on_decision(self, before: Rollout, decision: Decision) -> None:
        """Whoever watches sees it."""
        if self._watch:
            self._watch(before, decision)


class _Player:
    """Steps one controller after the other through one world."""

    def __init__(
        self, setting: Setting, pace: SimulationPace, horizon: float, watch: Callable[[Rollout, Decision], None] | None
    ) -> None:
        self._plan, self._pace, self._horizon, self._watch = setting.plan, pace, horizon, watch
        self._setting = setting
        self._world = World(setting, pace)
        self._text = to_text(setting.plan)
        self._passes = 0
        self._controller = self._start()

    async def play(self) -> Story:
        """Pass after pass, to the end or to the horizon."""
        clock, metrics = self._world.clock, self._world.metrics
        next_scrape = 0.0
        while clock.t <= self._horizon:
            if clock.t >= next_scrape - SAME_MOMENT:
                metrics.scrape()
                next_scrape = clock.t + self._interval()
            try:
                asked = await self._step()
            except Killed:
                await clock.sleep(self._world.downtime())
                if await self._over():
                    break
                self._controller = self._start()
                continue
            rollout = self._controller.rollout
            if self._controller.done:
                break
            await self._world.people(rollout)
            replicas = self._world.service.next_change() - clock.t  # a platform says at once when one comes or goes
            pause = max(min(next_scrape - clock.t, replicas, self._pace.wait(rollout, asked)), SAME_MOMENT)
            self._controller.reconciler.waits(pause)  # long holds are scraped less often than the loop would look
            await clock.sleep(pause)
        return await self._story()

    async def _over(self) -> bool:
        """Whether the store has the end already: whoever starts a controller then asks for another rollout."""
        stored = await self._world.store.kept.load(self._plan.metadata.name)
        return stored is not None and stored.rollout.finished

    async def _step(self) -> float:
        """One pass; answers in how many seconds the loop asks for the next."""
        controller = self._controller
        controller.board.scrape_interval = self._interval()
        if not self._just_rolled_back():
            await controller.read_everything()
        self._passes += 1
        return await controller.decide()

    def _just_rolled_back(self) -> bool:
        """Whether the loop has seen the route at zero itself: another look would only make that fact younger.

        Once that moment is noted, the open requests of the canary are to be counted, which only another look does.
        """
        rollout, route = self._controller.rollout, self._controller.board.route
        if rollout is None or rollout.phase is not Phase.ROLLING_BACK or rollout.decided is None or rollout.drain:
            return False
        return route.weights == ALL_STABLE and route.at >= rollout.decided

    def _interval(self) -> float:
        """Seconds from one scrape to the next, now."""
        return self._pace.interval(self._controller.rollout, self._world.clock.now())

    def _start(self) -> "_Simulated":
        """A controller that knows nothing but what the store has."""
        self._world.store.kept.pending.forget()
        return _Simulated(self._setting, self._world, self._text, self._pace.interval(None, 0.0), self._watch)

    async def _story(self) -> Story:
        """What there is to tell."""
        world, name = self._world, self._plan.metadata.name
        world.service.flow(world.clock.t)
        stored = await world.store.kept.load(name)
        return Story(
            rollout=stored.rollout if stored else None,
            events=await world.store.kept.history(name),
            seconds=world.clock.t,
            passes=self._passes,
            interval=self._pace.longest,
            horizon=self._horizon,
            deaths=world.fate.deaths,
            lines=world.fate.lines,
            requests={arm: int(totals[REQUESTS]) for arm, totals in world.service.answered.items()},
            misrouted=world.service.misrouted,
            shifts=world.router.shifts,
            frames=await world.store.kept.frames(name),
        )
