"""The virtual world of one rollout: the service, its ports and its people, all from one seed.

Made by `story.py` for each simulation. Every random number comes from generators spawned from the seed, one for each
part, so that a fault in one part does not change the weather in another.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from canary.rollout import Phase, Rollout
from canary.snapshot import OperatorRequest
from canary.spec.models import ModelCanary
from canary.weights import Arm
from controlplane.ports import Ports
from controlplane.simulation import levels
from controlplane.simulation.clock import VirtualClock
from controlplane.simulation.faults import Fate, Spell, Timeline, length_of
from controlplane.simulation.noise import NOISES
from controlplane.simulation.pace import SimulationPace
from controlplane.simulation.ports import VirtualMetrics, VirtualPlatform, VirtualRouter
from controlplane.simulation.regression import LEAK_SECONDS
from controlplane.simulation.rehearsal import VirtualRehearsal
from controlplane.simulation.scenarios import Scenario
from controlplane.simulation.service import Service
from controlplane.simulation.store import RecordingNotifier, VirtualStore
from controlplane.simulation.traffic import Fleet, Traffic

FEWEST_PODS = 3
"""Replicas of each arm at least: with fewer the judge could not tell one pod's noise from the canary's."""
WAVE = 6 * 3600.0
"""Seconds from one peak of the load to the next, in plans that are longer than two of them."""
APPROVAL = (300.0, 3600.0)
"""Seconds until somebody approves."""
DOWNTIME = (1.0, 30.0)
"""Seconds until a killed controller is back."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What a world is made from."""

    plan: ModelCanary
    scenario: Scenario
    seed: int
    rps: float = 200.0
    noise: str = "real"
    fatal: Collection[int] = ()
    """Lines of the controller's work, counted from 0, at which it is killed; besides what the scenario does."""
    rated: float = 1.0
    """Share of requests that KPIs are known of."""


class World:
    """Everything but the controller."""

    def __init__(self, setting: Setting, pace: SimulationPace) -> None:
        spec, faults, flaw = setting.plan.spec, setting.scenario.faults, setting.scenario.flaw
        noise = NOISES[setting.noise]
        length = length_of(spec)
        self._timeline = Timeline(length, pace.longest)
        users, pods, routes, scrapes, writes, fate, people, paired = np.random.default_rng(setting.seed).spawn(8)
        healthy = levels.healthy(spec, noise)
        replicas: dict[Arm, int] = {"stable": spec.stable.replicas, "canary": spec.canary.replicas}
        traffic = Traffic(
            users,
            noise,
            healthy,
            Fleet.of({arm: max(count, FEWEST_PODS) for arm, count in replicas.items()}),
            rps=0.0 if faults.no_traffic else setting.rps,
            rated=setting.rated,
            flaw=flaw,
            period=min(WAVE, length / 2),
            leak=min(LEAK_SECONDS, length / 2),
        )
        self.service = Service(
            pods, traffic, faults, self._timeline, warmup=spec.judge.warmup, deadline=spec.progress_deadline
        )
        self.fate = Fate(fate, faults.killed, setting.fatal)
        self.clock = VirtualClock(self._off)
        self.metrics = VirtualMetrics(self.service, self.clock, scrapes, faults, self._on(faults.silent))
        self.store = VirtualStore(
            writes, down=self._on(faults.store_down), conflicts=faults.conflicts, line=self.fate.line
        )
        self.router = VirtualRouter(
            self.service,
            self.clock,
            routes,
            refusals=faults.refusals,
            line=self.fate.line,
            saved=lambda: self.store.recorded(setting.plan.metadata.name),
        )
        self.told = RecordingNotifier()
        self.ports = Ports(
            clock=self.clock,
            platform=VirtualPlatform(self.service, self.clock),
            router=self.router,
            metrics=self.metrics,
            store=self.store,
            notifier=self.told,
            rehearsal=VirtualRehearsal(spec, healthy, flaw, self.clock, paired),
        )
        self._jumps = faults.jumps
        self._people = people
        self._asked: set[str] = set()
        self._approve_at = 0.0

    def downtime(self) -> float:
        """Seconds until a killed controller is back."""
        return float(self._people.uniform(*DOWNTIME))

    async def people(self, rollout: Rollout | None) -> None:
        """Somebody approves, a while after being asked."""
        if rollout is None or rollout.phase is not Phase.AWAITING_APPROVAL:
            return
        request = f"approve-{rollout.attempt}-{rollout.stage}"
        if request not in self._asked:
            self._asked.add(request)
            self._approve_at = self.clock.t + float(self._people.uniform(*APPROVAL))
        if self.clock.t >= self._approve_at:
            asked = OperatorRequest(request, "approve", "the approver", self.clock.now())
            await self.store.kept.ask(rollout.name, asked)

    def _off(self, t: float) -> float:
        """By how much the controller's clock is wrong at `t`."""
        first = self.service.first_traffic
        if first is None:
            return 0.0
        return sum(seconds for share, seconds in self._jumps if t >= first + share * self._timeline.length)

    def _on(self, spell: Spell | None) -> Callable[[], bool]:
        """A question that is answered with yes while the spell lasts."""
        return lambda: self._timeline.active(spell, self.service.first_traffic, self.clock.t)
