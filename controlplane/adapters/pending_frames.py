"""Frames between two saves of a store, in memory. Used by the stores that keep recordings; writes nothing itself."""

from canary.frame import Frame, Restated
from canary.rollout import Rollout

MOST = 5_000
"""Frames that wait at most, while a store cannot be written: many minutes. Then the next save restates instead."""


class PendingFrames:
    """What was recorded and not written. Meant for one thread, the loop's."""

    def __init__(self) -> None:
        self._frames: list[Frame] = []
        self._broken = False

    def record(self, frame: Frame) -> None:
        """One more."""
        if len(self._frames) >= MOST:
            self.break_off()
        if not self._broken:
            self._frames.append(frame)

    def break_off(self) -> None:
        """They did not come about."""
        self._frames, self._broken = [], True

    def forget(self) -> None:
        """As if the process had died: what was not saved is not known to anybody."""
        self._frames, self._broken = [], False

    def due(self, rollout: Rollout) -> tuple[Frame, ...]:
        """What belongs into the transaction that saves this state."""
        if not self._broken:
            return tuple(self._frames)
        return (Restated(rollout.history[-1].at if rollout.history else rollout.began, rollout),)

    def written(self, frames: tuple[Frame, ...]) -> None:
        """That transaction went well. More may have come meanwhile."""
        if self._broken:
            self._broken = not any(isinstance(frame, Restated) for frame in frames)
        else:
            self._frames = self._frames[len(frames) :]
