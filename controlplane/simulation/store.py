"""The store of the virtual world: the in-memory one, behind faults. And whoever is told about events.

Used by `world.py`. Each write is a line at which a controller can die, before it and after it: see `faults.Fate`.
"""

from collections.abc import Callable, Sequence

from numpy.random import Generator

from canary.errors import Unavailable
from canary.frame import Frame
from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest
from canary.weights import ALL_STABLE, Weights
from controlplane.adapters.memory_store import MemoryStore
from controlplane.adapters.pending_frames import PendingFrames
from controlplane.ports import Stored

Line = Callable[[str], None]
"""Called with the name of a line of the controller's work; may end the controller there."""


class VirtualStore:
    """Compare-and-swap as everywhere, with the faults of real ones."""

    def __init__(self, rng: Generator, *, down: Callable[[], bool], conflicts: float, line: Line) -> None:
        """`conflicts` is the chance that somebody else has written just before a write."""
        self.kept = MemoryStore()
        self._rng, self._down, self._conflicts, self._line = rng, down, conflicts, line
        self._recorded: dict[str, Weights] = {}

    def recorded(self, name: str) -> Weights:
        """The weights on record under this name, whether or not the store answers."""
        return self._recorded.get(name, ALL_STABLE)

    async def load(self, name: str) -> Stored | None:
        """The newest state under this name, or None."""
        self._answer()
        return await self.kept.load(name)

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Write if the stored version is still `version`."""
        self._answer()
        if self._conflicts and self._rng.random() < self._conflicts:
            await self._touch(rollout.name)
        self._line("before save")
        version = await self.kept.save(rollout, spec_text, version)
        self._recorded[rollout.name] = rollout.weights
        self._line("after save")
        return version

    def record(self, frame: Frame) -> None:
        """Keep this frame with the next save."""
        self.kept.record(frame)

    def break_off(self) -> None:
        """The next save restates the state instead."""
        self.kept.break_off()

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt."""
        self._answer()
        return await self.kept.history(name, attempt)

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """What people have asked for."""
        self._answer()
        return await self.kept.requests(name)

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Put a person's request where the loop will find it."""
        self._answer()
        await self.kept.ask(name, request)

    def _answer(self) -> None:
        if self._down():
            raise Unavailable("The store does not answer (disk full).")

    async def _touch(self, name: str) -> None:
        """Somebody else writes: the same state under a new version, as a label on a resource would make it."""
        stored = await self.kept.load(name)
        if stored:
            ours, self.kept.pending = self.kept.pending, PendingFrames()  # they know nothing of what we recorded
            await self.kept.save(stored.rollout, stored.spec_text, stored.version)
            self.kept.pending = ours


class RecordingNotifier:
    """A notifier that remembers what it was told, once for each id."""

    def __init__(self) -> None:
        self.events: dict[str, Event] = {}

    async def tell(self, event: Event) -> None:
        """Remember one event."""
        self.events.setdefault(event.id, event)
