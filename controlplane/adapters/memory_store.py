"""Keeps rollouts in memory: the twin of the SQLite store, for simulations and tests. Forgets everything at its end.

Behind the port `RolloutStore`; passes the same contract suite.
"""

from collections.abc import Sequence

from canary.errors import Conflict, ExternalError
from canary.frame import Frame
from canary.rollout import Event, Rollout
from canary.snapshot import OperatorRequest
from controlplane.adapters.pending_frames import PendingFrames
from controlplane.ports import Stored


class MemoryStore:
    """All values are frozen, so what is kept is what was handed in."""

    def __init__(self) -> None:
        self._stored: dict[str, Stored] = {}
        self._events: dict[tuple[str, int], dict[str, Event]] = {}
        self._requests: dict[str, dict[str, OperatorRequest]] = {}
        self._done: dict[str, set[str]] = {}
        self._frames: dict[tuple[str, int], list[Frame]] = {}
        self.pending = PendingFrames()
        self.failure: ExternalError | None = None
        """What every call raises while it is set: the disk is full, the file is locked."""

    async def load(self, name: str) -> Stored | None:
        """The newest state under this name, or None."""
        self._fail_if_told_to()
        return self._stored.get(name)

    async def save(self, rollout: Rollout, spec_text: str, version: int) -> int:
        """Write state and new events if the stored version is still `version`."""
        self._fail_if_told_to()
        before = self._stored.get(rollout.name)
        stored = before.version if before else 0
        if stored != version:
            raise Conflict(f"{rollout.name} was read at version {version} and is at {stored} by now: read it again.")
        self._stored[rollout.name] = Stored(rollout, spec_text, version + 1)
        events = self._events.setdefault((rollout.name, rollout.attempt), {})
        for event in rollout.history:
            events.setdefault(event.id, event)
        self._frames.setdefault((rollout.name, rollout.attempt), []).extend(self.pending.take(rollout))
        done = self._done.setdefault(rollout.name, set())
        done.update(rollout.answered)
        if before and before.rollout.attempt != rollout.attempt:
            done.update(self._requests.get(rollout.name, ()))
        return version + 1

    async def history(self, name: str, attempt: int | None = None) -> Sequence[Event]:
        """All events of one attempt (None: the newest), in order."""
        self._fail_if_told_to()
        if attempt is None and name in self._stored:
            attempt = self._stored[name].rollout.attempt
        return list(self._events.get((name, attempt or 0), {}).values())

    async def requests(self, name: str) -> Sequence[OperatorRequest]:
        """Requests without an answer, oldest first."""
        self._fail_if_told_to()
        done = self._done.get(name, set())
        asked = [request for request in self._requests.get(name, {}).values() if request.id not in done]
        return sorted(asked, key=lambda request: request.at)

    async def ask(self, name: str, request: OperatorRequest) -> None:
        """Keep a request; the same id twice is one request."""
        self._fail_if_told_to()
        self._requests.setdefault(name, {}).setdefault(request.id, request)

    def record(self, frame: Frame) -> None:
        """Keep this frame with the next save."""
        self.pending.record(frame)

    def break_off(self) -> None:
        """The next save restates the state instead."""
        self.pending.break_off()

    async def frames(self, name: str, attempt: int | None = None) -> Sequence[Frame]:
        """The recording of one attempt (None: the newest)."""
        self._fail_if_told_to()
        if attempt is None and name in self._stored:
            attempt = self._stored[name].rollout.attempt
        return list(self._frames.get((name, attempt or 0), ()))

    def _fail_if_told_to(self) -> None:
        if self.failure:
            raise self.failure
