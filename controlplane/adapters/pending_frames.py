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

    def take(self, rollout: Rollout) -> tuple[Frame, ...]:
        """What belongs into the transaction that saves this state. It is that transaction's from now on."""
        taken = tuple(self._frames) if not self._broken else (Restated(_newest(rollout), rollout),)
        self._frames, self._broken = [], False
        return taken

    def put_back(self, frames: tuple[Frame, ...]) -> None:
        """That transaction failed."""
        if any(isinstance(frame, Restated) for frame in frames):
            self.break_off()
        elif not self._broken:
            self._frames = [*frames, *self._frames]


def _newest(rollout: Rollout) -> float:
    """When something happened to it last."""
    return rollout.history[-1].at if rollout.history else rollout.began
