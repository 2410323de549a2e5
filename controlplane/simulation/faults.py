"""What goes wrong around a rollout: silent metrics, lost pods, a store that is down, a controller that is killed.

Plain values, named by `scenarios.py` and read by the world's ports. Times are given as shares of the plan's length
after the canary's first traffic, so that a fault falls into the same part of every plan, be it of an hour or of weeks.
"""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from canary.spec.models import CanarySpec

Floats = NDArray[np.float64]


class Killed(BaseException):
    """The controller's process ends here, at once. Not an `Exception`: nothing may catch it and go on."""


class Fate:
    """Decides at which lines of its work the controller dies."""

    def __init__(self, rng: Generator, chance: float, fatal: Collection[int] = ()) -> None:
        """`chance` of dying at each line; `fatal` lines, counted from 0, are deadly for certain."""
        self._rng, self._chance, self._fatal = rng, chance, fatal
        self.lines: list[str] = []
        """The name of every line that was reached, in order."""
        self.deaths = 0

    def line(self, name: str) -> None:
        """A line is reached: go on, or raise `Killed`."""
        number = len(self.lines)
        self.lines.append(name)
        if number in self._fatal or (self._chance and self._rng.random() < self._chance):
            self.deaths += 1
            raise Killed(f"killed {name}")


@dataclass(frozen=True, slots=True)
class Spell:
    """A fault that comes and goes."""

    at: float
    """When it begins: this share of the plan's length after the canary's first traffic."""
    seconds: float
    """How long it lasts at least."""
    scrapes: int = 6
    """Likewise, in scrapes: a plan that is looked at every half hour would not notice ten minutes."""


@dataclass(frozen=True, slots=True)
class Faults:
    """Everything that the world around the variants can do to a rollout; by default nothing."""

    no_traffic: bool = False
    """Nobody calls the service."""
    hang: bool = False
    """The canary begins every answer and finishes none."""
    empty: bool = False
    """The canary answers nothing under a good status, which a proxy that looks at answers counts as failures."""
    outage: Spell | None = None
    """Something that both variants need fails: errors of both arms are twenty times what they were."""
    stable_fails: Spell | None = None
    """The stable variant alone fails a tenth of its requests."""
    silent: Spell | None = None
    """The metric source does not answer."""
    nan: float = 0.0
    """Chance that a pod's numbers are NaN in a scrape."""
    gaps: float = 0.0
    """Chance that a pod is missing from a scrape."""
    restarts: float = 0.0
    """Chance that a pod's counters begin again at zero between two scrapes."""
    start: float | None = None
    """Seconds until the canary is ready, as a share of `progressDeadline`; None is the usual quarter of a minute."""
    cold: float = 1.0
    """Factor on the answer times of a replica that is younger than `judge.warmup`."""
    crashes: Spell | None = None
    """Every replica of the canary crashes, comes back for a moment, and crashes again."""
    killed: float = 0.0
    """Chance that the controller is killed at a line of its work; it comes back after a while."""
    store_down: Spell | None = None
    """The store answers nothing."""
    conflicts: float = 0.0
    """Chance that somebody else has written to the store just before a write."""
    refusals: float = 0.0
    """Chance that the router refuses a change; half of the time it has made it all the same."""
    jumps: tuple[tuple[float, float], ...] = ()
    """Clock jumps: share of the plan's length, and seconds by which the clock is wrong from then on."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Turns shares of a plan into seconds."""

    length: float
    """The plan's length in seconds."""
    interval: float
    """Seconds between two scrapes of the longest stage."""

    def window(self, spell: Spell | None, first_traffic: float | None) -> tuple[float, float] | None:
        """Begin and end of a spell in virtual seconds; None while the canary has had no traffic."""
        if spell is None or first_traffic is None:
            return None
        begin = first_traffic + spell.at * self.length
        return begin, begin + max(spell.seconds, spell.scrapes * self.interval)

    def active(self, spell: Spell | None, first_traffic: float | None, t: float) -> bool:
        """Whether the spell is on at `t`."""
        window = self.window(spell, first_traffic)
        return window is not None and window[0] <= t < window[1]

    def overlap(self, spell: Spell | None, first_traffic: float | None, edges: Floats) -> Floats:
        """The share of each block between two edges that the spell covers."""
        window = self.window(spell, first_traffic)
        if window is None:
            return np.zeros(len(edges) - 1)
        inside = np.clip(edges, *window)
        covered: Floats = np.diff(inside) / np.diff(edges)
        return covered


def length_of(spec: CanarySpec) -> float:
    """How long the stages of a plan take at least: the sum of their holds, and a minute for each."""
    return sum(stage.hold + 60 for stage in spec.stages)
