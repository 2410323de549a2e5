"""How often the virtual world is scraped and looked at: every five seconds, and more rarely in long holds.

Used by `story.py`. A plan of four weeks has half a million scrapes of five seconds; here each stage gets its share of
some two thousand, so that every plan is told in seconds. Blocks are longer then, and nothing else is different: within
a stage they stay equal, because the judge learns the noise of one block from those before it.
"""

import math
from dataclasses import dataclass

from canary.machine import LONGEST_WAIT
from canary.rollout import Phase, Rollout
from canary.spec.models import CanarySpec

SHORTEST = 5.0
SCRAPES = 1200
"""Scrapes of all holds together; waiting, shifting and the shadow add to it."""
SHADOW_SCRAPES = 200
ROUND = (5, 10, 15, 20, 30, 60, 90, 120, 180, 300, 600, 900, 1200, 1800, 2400, 3600, 7200, 14400)
OVERDUE = 100
"""Scrapes in the time that a stage has waited on after its hold: more and more rarely."""
EVALUATING = 30.0
SOON = 0.05
BUSY = frozenset({Phase.SHIFTING, Phase.PROMOTING, Phase.ROLLING_BACK, Phase.PENDING})
"""Phases in which the machine is waited on: looked at as soon as it asks for."""


@dataclass(frozen=True, slots=True)
class SimulationPace:
    """Seconds between two scrapes, by stage."""

    spec: CanarySpec
    fixed: float | None = None
    """One interval for everything, if somebody asks for it."""

    @property
    def longest(self) -> float:
        """The longest interval of any stage."""
        return max(self._stage(stage) for stage in range(len(self.spec.stages)))

    def interval(self, rollout: Rollout | None, now: float) -> float:
        """Seconds from this scrape to the next; more and more where a stage waits on after its hold."""
        if self.fixed is not None:
            return self.fixed
        phase = rollout.phase if rollout else Phase.PENDING
        if rollout is None or phase in BUSY | {Phase.PREPARING}:
            return SHORTEST
        if phase is Phase.EVALUATING:
            return EVALUATING
        if phase is Phase.SHADOWING:
            return _rounded((self.spec.shadow.for_ if self.spec.shadow else 0.0) / SHADOW_SCRAPES)
        overdue = now - rollout.stage_since - self.spec.stages[rollout.stage].hold
        return max(self._stage(rollout.stage), _rounded(overdue / OVERDUE))

    def wait(self, rollout: Rollout | None, asked: float) -> float:
        """Seconds until the next pass at the latest when the loop asks for one in `asked` seconds.

        Granted while weights are on their way and where a hold ends. The loop's precautionary look every minute is left
        to the scrapes, and so is most of its patience with a store that is down for an hour.
        """
        if asked >= LONGEST_WAIT:
            return math.inf
        if rollout is None or rollout.phase in BUSY | {Phase.PREPARING}:
            return max(asked, SOON)
        return max(asked, self._stage(rollout.stage) / 5)

    def _stage(self, stage: int) -> float:
        if self.fixed is not None:
            return self.fixed
        return _rounded(self.spec.stages[stage].hold * len(self.spec.stages) / SCRAPES)


def _rounded(seconds: float) -> float:
    """The next interval that a person would choose."""
    return float(next((each for each in ROUND if each >= seconds), ROUND[-1]))
