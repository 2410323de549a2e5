"""Where the numbers of each series of an answer go: looked up once for each, and remembered by the text of its labels.

Used by `shared_prometheus.py`, whose rollouts and owners these are. What is remembered is bounded by memory; the event
loop has its turn while places are looked up. Asks nobody and adds nothing up.
"""

import asyncio
import sys
from collections.abc import Collection, Hashable, Mapping, Sequence

from controlplane.adapters.answer_budget import Hold
from controlplane.adapters.bounded_http import TooLarge
from controlplane.adapters.prometheus_parse import labels_in
from controlplane.evidence.metric_locations import Key
from controlplane.evidence.rollout_series import RolloutSeries, SeriesSlot, Surplus
from controlplane.evidence.series_attribution import SeriesOwners

SERIES_AT_ONCE = 4096
"""Series that are taken in, or added up, before the rest of the program has its turn."""
REMEMBERED = 120
"""Bytes of memory that a series takes in a dictionary, besides the text of its labels."""
Place = SeriesSlot | Surplus | None
"""Where the numbers of a series go; None for one that is nobody's."""


class SeriesPlaces:
    """The places of all series of one Prometheus."""

    def __init__(self, owners: SeriesOwners, ledgers: Mapping[Key, RolloutSeries], memory: Hold) -> None:
        """`memory`: for what is remembered."""
        self.lacks_memory = False
        """Whether there was none for a new series since everything was forgotten."""
        self._owners, self._ledgers, self._memory = owners, ledgers, memory
        self._places: dict[str, Place] = {}
        """By the labels of a series, as they stand in answers."""
        self._answered: dict[Hashable, tuple[list[str], Sequence[Place]]] = {}
        """The series of the last answer to each question, and their places."""
        self._senseless: set[str] = set()
        """Texts of labels that are none."""
        self._forgotten = 0
        """How often places were forgotten: what was looked up before is not to be kept."""

    def __len__(self) -> int:
        """Series that are remembered."""
        return len(self._places)

    async def of(self, question: Hashable, labels: list[str]) -> Sequence[Place]:
        """The places of an answer's series; mostly they are the same series in the same order as the last time.

        Raises `TooLarge` where there is no memory for them.
        """
        if (known := self._answered.get(question)) is not None and known[0] == labels:
            return known[1]
        forgotten = self._forgotten
        for first in range(0, len(labels), SERIES_AT_ONCE):
            new = [text for text in labels[first : first + SERIES_AT_ONCE] if text not in self._places]
            try:
                self._memory.take(_bytes_of(new))
            except TooLarge:
                self.lacks_memory = True
                raise
            for text in new:
                self._places[text] = self._place(text)
            await asyncio.sleep(0)
        # Whoever was forgotten meanwhile has no places in this tick.
        found = [self._places.get(text) for text in labels]
        if forgotten == self._forgotten:
            self._answered[question] = labels, found
        return found

    def senseless_in(self, labels: Sequence[str]) -> int:
        """How many of these are no labels."""
        return sum(text in self._senseless for text in labels) if self._senseless else 0

    def forget(self, of: Sequence[RolloutSeries]) -> None:
        """Look again whose these series are, and those that were nobody's."""
        self._forgotten += 1
        self._answered.clear()
        self._places = {
            text: place for text, place in self._places.items() if place is not None and place.ledger not in of
        }
        self._memory.set(_bytes_of(self._places))

    def clear(self) -> None:
        """Look again whose all of them are."""
        self._senseless.clear()
        self._places.clear()
        self.forget([])
        self.lacks_memory = False

    def _place(self, text: str) -> Place:
        labels = labels_in(text)
        if labels is None:
            self._senseless.add(text)
            return None
        owner = self._owners.of(labels)
        return self._ledgers[owner.key].cell(owner, labels) if owner else None


def _bytes_of(texts: Collection[str]) -> int:
    """Memory that their places take, near enough."""
    return sum(map(sys.getsizeof, texts)) + REMEMBERED * len(texts)
