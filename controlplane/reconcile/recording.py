"""Which looks of a rollout are worth a frame: those that changed something, and those that saw something new.

Used by `loop.py`, for stores that keep frames (`controlplane.ports.Recorder`); with others it does nothing. The values
are frozen, so noting one costs a comparison and a reference: text is made of it by the store, elsewhere. What frames
are good for is `canary.replay`.
"""

from collections.abc import Sequence
from typing import Any

from canary.frame import Begun, Frame, Looked, NotWatched, Rebuilt, Taught
from canary.rollout import Decision, Rollout
from canary.snapshot import Counters, Snapshot
from controlplane.ports import Recorder, RolloutStore


class Recording:
    """One reconciler's notes."""

    def __init__(self, store: RolloutStore) -> None:
        self._recorder = store if isinstance(store, Recorder) else None
        self._facts: tuple[Any, ...] = ()

    def begun(self, rollout: Rollout, plan: str) -> None:
        """A new attempt."""
        self._record(Begun(rollout.began, rollout.name, rollout.revision, rollout.attempt, plan))

    def taught(self, history: Sequence[Counters], now: float) -> None:
        """What the judge was shown of the time before."""
        self._record(Taught(now, tuple(history)))

    def rebuilt(self, history: Sequence[Counters], now: float) -> None:
        """What the judge was shown of the time in which nobody looked."""
        self._record(Rebuilt(now, tuple(history)))

    def not_watched(self, seconds: float, now: float) -> None:
        """Time that is not counted."""
        self._record(NotWatched(now, seconds))

    def looked(self, before: Rollout, seen: Snapshot, decision: Decision, now: float) -> None:
        """One pass. The same facts that lead to the same state are no news, however young they are."""
        if self._recorder is None:
            return
        facts = _facts(seen)
        if facts != self._facts or decision.rollout != before:
            self._facts = facts
            self._recorder.record(Looked(now, seen))

    def broken_off(self) -> None:
        """The newest decisions did not come about: they could not be saved, or somebody else wrote meanwhile."""
        if self._recorder is not None:
            self._recorder.break_off()

    def _record(self, frame: Frame) -> None:
        if self._recorder is not None:
            self._recorder.record(frame)


def _facts(seen: Snapshot) -> tuple[Any, ...]:
    """The snapshot without the ages of its facts."""
    counters, evidence = seen.evidence.counters, seen.evidence
    return (
        *((arm.wanted, arm.ready, arm.problem, arm.hopeless, arm.stuck) for arm in (seen.stable, seen.canary)),
        (seen.route.weights, seen.route.problem, seen.route.asked),
        (counters.at if counters else None, evidence.up, evidence.problem),
        (seen.evaluation.done, seen.evaluation.problem) if seen.evaluation else None,
        (seen.shadow.days, seen.shadow.problem) if seen.shadow else None,
        seen.requests,
        seen.superseded_by,
    )
