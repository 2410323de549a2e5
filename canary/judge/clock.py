"""The rollout's clock: how long blocks are, and which beginnings of harm have been accounted for.

Part of the judge's memory, moved on by `judge.py` at every block. Reads no clock: time is that of the blocks.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from canary.judge import onset_prior, self_normalised


class Beginnings(NamedTuple):
    """What a block says about when harm may have begun."""

    lately: float = 0.0
    """Weight of harm that begins between stages by now."""
    moved: bool = False
    """Whether a stage begins."""
    due: bool = False
    """Whether the slow test starts again."""

    def and_then(self, later: "Beginnings") -> "Beginnings":
        """This block's and those of a later one."""
        return Beginnings(self.lately + later.lately, self.moved or later.moved, self.due or later.due)


NO_BEGINNING = Beginnings()


@dataclass(frozen=True, slots=True)
class DataClock:
    """Times in seconds on the blocks' clock."""

    first: float | None = None
    """End of the first block with canary traffic."""
    last: float = 0.0
    """End of the last block; 0 before there is one."""
    length: float = 0.0
    """Length of the last block."""
    interval: float = 0.0
    """Usual length of a block."""
    stage: int | None = None
    """Stage of the last block with canary traffic."""
    spent_until: float = 0.0
    """Until when beginnings of harm between stages are accounted for."""
    next_start: float = 0.0
    """When the slow test starts again."""

    def ticked(self, t: float) -> "DataClock":
        """After a block that ends at `t`."""
        if not self.last or t <= self.last:
            return replace(self, last=t)
        length = t - self.last
        interval = length if self.interval == 0 else 0.8 * self.interval + 0.2 * length
        return DataClock(self.first, t, length, interval, self.stage, self.spent_until, self.next_start)

    def beginnings(self, planned: float, t: float, stage: int) -> tuple["DataClock", Beginnings]:
        """After a block of canary traffic, and what it says; `planned` is the sum of all holds in seconds."""
        if self.first is None:
            return replace(self, first=t, spent_until=t, next_start=t).beginnings(planned, t, stage)
        lately = onset_prior.between(self.spent_until - self.first, t - self.first, planned)
        due = t >= self.next_start
        next_start = t + max(planned / self_normalised.STARTS, 60.0) if due else self.next_start
        moved = self.stage is not None and self.stage != stage
        spent_until = max(self.spent_until, t)
        clock = DataClock(self.first, self.last, self.length, self.interval, stage, spent_until, next_start)
        return clock, Beginnings(lately, moved, due)

    def moved(self, by: float) -> "DataClock":
        """The source's clock was set: ages stay what they were."""
        first = None if self.first is None else self.first + by
        last = self.last + by if self.last else 0.0
        return replace(self, first=first, last=last, spent_until=self.spent_until + by, next_start=self.next_start + by)
