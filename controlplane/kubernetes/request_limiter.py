"""How many requests may be under way at once, and who goes first.

Used by `client.py`. A rollback must not stand in line behind routine writes: urgent requests are let in first, and some
places are theirs alone, so that slow answers to all the others do not hold them up either. What waits can be hastened:
a rollout whose canary has just broken may be waiting for a routine write of its own. Of the others those go first that
were let in lately: hundreds that begin at one moment, ten writes each, would wait for each other at every one of them
until all have lost their patience, and begin again.
"""

from collections.abc import AsyncIterator, Hashable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from controlplane.fair_queue import Turns

LATELY = 3
"""Of so many for each place it is known that they were let in lately."""


@dataclass(eq=False, slots=True)
class Passing:
    """One request that waits or is under way."""

    whose: Hashable
    urgent: bool


class PriorityLimiter(Turns[Passing]):
    """At most `places` at once, of which `kept` are only for the urgent."""

    def __init__(self, places: int, kept: int) -> None:
        super().__init__(places, self._best)
        self._kept = kept
        self._lately: dict[Hashable, None] = {}
        """Whose requests were let in, the newest last."""
        self._many = places * LATELY

    @asynccontextmanager
    async def passing(self, *, urgent: bool = False, whose: Hashable = None) -> AsyncIterator[None]:
        """Wait for a place, hold it, give it back.

        The urgent go first; then who was let in lately, by `whose`; then who came first.
        """
        async with self.taken(Passing(whose, urgent)):
            yield

    def hasten(self, whose: Hashable) -> None:
        """Let what waits here of this one's be urgent from now on."""
        for each in self._expectant():
            each.urgent = each.urgent or each.whose == whose
        self._give()

    def _best(self, waiting: Sequence[Passing]) -> Sequence[Passing]:
        lane = [each for each in waiting if each.urgent] or (waiting if self._free > self._kept else ())
        return [each for each in lane if each.whose in self._lately][:1] or lane[:1]

    def _given(self, key: Passing) -> None:
        if key.whose is not None:
            self._lately.pop(key.whose, None)
            self._lately[key.whose] = None
            if len(self._lately) > self._many:
                del self._lately[next(iter(self._lately))]
