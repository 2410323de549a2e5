"""A metric source whose numbers have something added: the part that `cost_source.py` and `warmup_source.py` have in
common.

Those of the past are amended as those of now. Reads nothing itself.
"""

from abc import ABC, abstractmethod

from canary.snapshot import Counters
from controlplane.ports import MetricHistory, MetricSource


class AugmentedSource(ABC):
    """Another source's numbers, amended."""

    def __init__(self, source: MetricSource) -> None:
        self._source = source

    async def read(self) -> Counters:
        """The source's newest totals, amended; raises what it raises."""
        return self._amended(await self._source.read())

    async def between(self, start: float, end: float, most: int) -> list[Counters]:
        """What the source remembers, amended; nothing where it remembers nothing."""
        if not isinstance(self._source, MetricHistory):
            return []
        return [self._amended(counters) for counters in await self._source.between(start, end, most)]

    @abstractmethod
    def _amended(self, counters: Counters) -> Counters:
        """The same numbers with what is added."""
