"""A reconciler on a desk: in-memory ports, a clock that is set by hand, and every trouble that a test wants.

Used by the tests of the loop. The ports are the in-memory twins that pass the suites in `tests/contracts`.
"""

from canary.errors import ExternalError
from canary.invariants import broken
from canary.rollout import Decision, Event, Phase, Rollout
from canary.snapshot import PodCounters, Snapshot
from canary.spec.models import CanarySpec, Metadata, ModelCanary, Stage
from canary.weights import Weights
from controlplane.adapters.memory_store import MemoryStore
from controlplane.ports import Ports
from controlplane.reconcile.loop import Reconciler
from controlplane.reconcile.managed_rollout import ManagedRollout
from testing.memory_adapters import MemoryPlatform, MemoryRouter
from testing.memory_metrics import MemoryMetrics
from tests.canary.story import plan

QUICK = plan(Stage(traffic=0.05, hold=10), Stage(traffic=0.5, hold=10), Stage(traffic=1.0))


class Hand:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        """Where it was set to."""
        return self.time

    async def sleep(self, seconds: float) -> None:
        """Set it forward."""
        self.time += seconds


class Heard:
    """A notifier that remembers, and fails when told to."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.failure: ExternalError | None = None

    async def tell(self, event: Event) -> None:
        """Remember the event."""
        if self.failure:
            raise self.failure
        self.events.append(event)


class Log(MemoryRouter):
    """The in-memory router, noting its changes in a list that the store shares."""

    def __init__(self, clock: Hand, order: list[str]) -> None:
        super().__init__(clock.now)
        self._order = order

    async def set_weights(self, weights: Weights) -> None:
        """Set and note."""
        await super().set_weights(weights)
        self._order.append(f"route {weights}")


class Books(MemoryStore):
    """The in-memory store, noting its writes in the same list."""

    def __init__(self, order: list[str]) -> None:
        super().__init__()
        self._order = order

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Save and note."""
        version = await super().save(rollout, spec_text, version)
        self._order.append(f"save {rollout.weights}")
        return version


class Desk:
    """The world of one rollout; `restart` is a controller that was killed and started again."""

    def __init__(self, spec: CanarySpec = QUICK) -> None:
        self.spec = spec
        self.clock = Hand()
        self.order: list[str] = []
        self.store = Books(self.order)
        self.router = Log(self.clock, self.order)
        self.platform = MemoryPlatform(self.clock.now)
        self.metrics = MemoryMetrics(self.clock.now)
        self.heard = Heard()
        self.said: list[str] = []
        self.reconciler = self.restart()

    def restart(self, revision: str = "r1") -> Reconciler:
        """A new controller on the same world and store; with another revision it carries out another plan."""
        ports = Ports(self.clock, self.platform, self.router, self.metrics, self.store, self.heard)
        self.reconciler = Reconciler(
            name="desk",
            spec=self.spec,
            spec_text="-",
            revision=revision,
            ports=ports,
            say=self.said.append,
            on_decision=self._check,
        )
        return self.reconciler

    async def opened(self) -> Rollout:
        """What the controller has before its first pass."""
        await self.reconciler.start(await self.store.load("desk"))
        await self.reconciler.catch_up()
        return self.rollout

    def managed(self) -> ManagedRollout:
        """The same plan on the same world, driven as a program drives it."""
        plan = ModelCanary.model_construct(metadata=Metadata(name="desk"), spec=self.spec)
        ports = self.reconciler.ports
        managed = ManagedRollout(plan, text="-", revision="r1", ports=ports, interval=1.0, say=self.said.append)
        self.reconciler = managed.reconciler
        return managed

    @property
    def rollout(self) -> Rollout:
        """The controller's present state."""
        if self.reconciler.rollout is None:
            raise AssertionError("no pass yet")
        return self.reconciler.rollout

    async def passes(self, count: int, seconds: float = 1.0) -> None:
        """So many passes, with time between them and the addresses kept."""
        for _ in range(count):
            await self.router.set_endpoints(self.platform.addresses(), self.platform.endpoints())
            self._count()
            await self.reconciler.refresh()
            await self.reconciler.once()
            self.clock.time += seconds

    async def until(self, phase: Phase, stage: int | None = None) -> None:
        """Pass until the rollout is there."""
        for _ in range(100):
            await self.passes(1)
            if self.rollout.phase is phase and stage in {None, self.rollout.stage}:
                return
        raise AssertionError(f"it never was {phase}: {[event.message for event in self.rollout.history]}")

    def _count(self) -> None:
        for arm in ("stable", "canary"):
            total = (self.clock.time - 999) * 50
            self.metrics.put(arm, f"{arm}-0", PodCounters(requests=total, errors=0.0))

    def _check(self, before: Rollout, decision: Decision) -> None:
        seen: Snapshot = self.reconciler.board.seen()
        assert broken(self.spec, before, seen, decision) == []
