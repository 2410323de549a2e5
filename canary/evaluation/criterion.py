"""One criterion of an evaluation: its evidence for and against, item by item, and its verdict in a sentence.

Called by `paired.py`. Three questions, each with two e-processes, and the test stops as soon as one is decided:

* `exact >= stable`. FAIL: stable's answers are better than chance allows. PASS: a drop of the size that this data set
  can show is excluded; or all items were asked and no drop was shown.
* `exact not worse than stable by 2pp`. FAIL: the drop is shown to be more than 2 points. PASS: to be less.
* `exact >= 70%`. FAIL: the rate is shown to be below. PASS: it is shown to be above; or all items were asked and
  it was measured there.

What is neither is WAIT. `>= stable` can end in PASS on any data set, and identical builds are blocked with probability
`FALSE_BLOCK` at most; which drop such a PASS excludes depends on the data set, so it is said with every verdict.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from canary.evaluation import power
from canary.evaluation.betting import BOLDEST_SIGN, BettingMeans, Signs, grid, interval
from canary.spec.criterion import Criterion
from canary.spec.units import show
from canary.verdict import GateAnswer

FALSE_BLOCK = 0.01
"""Chance that any criterion fails although stable and canary are the same, or the canary is exactly at its limit."""
FALSE_PASS = 0.05
"""Chance that a criterion passes early although it is broken by exactly what the verdict says is excluded."""
CONFIDENCE = 0.95
"""Of each end of the interval, at whatever item the evaluation stops."""
SCALE_PRIOR = 0.25
"""Units that the scale of differences is worth before the first one; differences of whole items leave it at 1."""
PLANNED = 10
"""Items that the expected share of discordant ones is worth beside those that were seen."""


class Pair(NamedTuple):
    """One item's scores, each from 0 to 1."""

    canary: float
    stable: float | None = None
    """None where nothing compares with stable."""


@dataclass(frozen=True, slots=True)
class Design:
    """What is known of the data set before the first answer."""

    items: int
    units: int
    """Groups of items that belong together; items without a group count as one each."""
    largest: int
    """Items of the largest group."""
    criteria: int = 1
    """Criteria that share `FALSE_BLOCK`."""

    @property
    def alpha(self) -> float:
        """Chance of a false FAIL of one criterion."""
        return FALSE_BLOCK / self.criteria


@dataclass(frozen=True, slots=True)
class CriterionVerdict:
    """The answer to one criterion, in numbers and in a sentence. Rates, differences and drops are shares."""

    criterion: str
    metric: str
    verdict: GateAnswer
    stable: float | None
    canary: float | None
    difference: float | None
    """Canary's mean less stable's, over the items that both were asked; None where there is no comparison."""
    low: float | None
    """Of the difference, or of the canary's mean where there is no comparison."""
    high: float | None
    n: int
    discordant: int | None
    """Items with different scores."""
    smallest_drop: float | None
    """The drop that an early PASS excludes; otherwise the smallest that all items together can show, at the share of
    discordant ones that was seen."""
    why: str


def planned_drop(design: Design) -> float | None:
    """The smallest drop that the data set can show, before anything is known of the answers."""
    return power.smallest_drop(design.items, design.alpha)


class CriterionTest:
    """Takes in units in a fixed order and keeps the first decision."""

    def __init__(self, criterion: Criterion, design: Design) -> None:
        self.criterion = criterion
        self.answer = GateAnswer.WAIT
        self._design = design
        self._decided = self._early = False
        self._sign = 1.0 if criterion.comparison == "min" else -1.0
        """Makes more better."""
        self._seen: Counter[tuple[float, float]] = Counter()
        self._n = self._discordant = self._worse = self._better = 0
        self._canary = self._stable = 0.0
        self._squares = self._group_squares = 0.0
        self._scale = (SCALE_PRIOR, SCALE_PRIOR)
        alpha, units = design.alpha, design.units
        self.excluded: float | None = None
        """The drop that an early PASS of a comparison excludes."""
        self._against: Signs | BettingMeans
        self._passing: BettingMeans | None = None
        if criterion.limit is not None:
            limit, lowest = self._sign * criterion.limit, min(self._sign, 0.0)
            self._against = BettingMeans.of(-limit, lowest=-max(self._sign, 0.0), units=units, alpha=alpha)
            self._passing = BettingMeans.of(limit, lowest=lowest, units=units, alpha=FALSE_PASS)
            return
        if criterion.margin:
            self._against = BettingMeans.of(criterion.margin, lowest=-1.0, units=units, alpha=alpha)
            self.excluded = criterion.margin
        else:
            self._against = Signs(grid(units, alpha, BOLDEST_SIGN))
            self.excluded = planned_drop(design)
        if self.excluded is not None and self.excluded < 1:
            self._passing = BettingMeans.of(-self.excluded, lowest=-1.0, units=units, alpha=FALSE_PASS)

    @property
    def compares(self) -> bool:
        """Whether stable's answers are needed."""
        return self.criterion.limit is None

    @property
    def decided(self) -> bool:
        """Whether more items can change nothing."""
        return self._decided

    def add(self, unit: Sequence[Pair]) -> None:
        """Take in a group of items that belong together, or a single one. After the decision, only count."""
        weight = len(unit) / self._design.largest
        self._n += len(unit)
        self._canary += math.fsum(pair.canary for pair in unit)
        if not self.compares:
            x = self._sign * math.fsum(pair.canary for pair in unit) / len(unit)
            self._seen[x, weight] += 1
            if not self._decided and isinstance(self._against, BettingMeans):
                self._against = self._against.plus(-x, weight)
                self._weigh(x, weight)
            return
        gains = [self._sign * (pair.canary - (pair.stable or 0.0)) for pair in unit]
        self._stable += math.fsum(pair.stable or 0.0 for pair in unit)
        self._worse += sum(gain < 0 for gain in gains)
        self._better += sum(gain > 0 for gain in gains)
        self._discordant = self._worse + self._better
        gain = math.fsum(gains)
        self._squares += math.fsum(each * each for each in gains)
        self._group_squares += gain * gain
        self._seen[gain / len(unit), weight] += 1
        if self._decided:
            return
        if isinstance(self._against, Signs):
            squares, count = self._scale
            self._against = self._against.plus(-gain / math.sqrt(squares / count))
            if gain:
                self._scale = squares + gain * gain, count + 1
        else:
            self._against = self._against.plus(-gain / len(unit), weight)
        self._weigh(gain / len(unit), weight)

    def finish(self) -> None:
        """All items were asked: what is still open is decided, or stays WAIT."""
        if self._decided or self._n == 0:
            return
        if not self.compares:
            limit = self.criterion.limit or 0.0
            if self._sign * self._canary / self._n >= self._sign * limit:
                self._decide(GateAnswer.PASS)
        elif not self.criterion.margin and self.excluded is not None:
            self._decide(GateAnswer.PASS)

    def verdict(self, problem: str = "") -> CriterionVerdict:
        """The answer now. `problem` says why there are no more answers; it never makes a PASS."""
        n = self._n
        canary, stable = (self._canary / n, self._stable / n) if n else (None, None)
        difference = low = high = None
        if n and self.compares and canary is not None and stable is not None:
            difference = canary - stable
            low, high = self._ends(-1.0, 1.0)
        elif n:
            low, high = self._ends(min(self._sign, 0.0), max(self._sign, 0.0))
        drop = None
        if self.compares:
            drop = self.excluded if self._early else self._smallest_drop()
        return CriterionVerdict(
            criterion=self.criterion.text,
            metric=self.criterion.metric,
            verdict=self.answer,
            stable=stable if self.compares else None,
            canary=canary,
            difference=difference,
            low=low,
            high=high,
            n=n,
            discordant=self._discordant if self.compares else None,
            smallest_drop=drop,
            why=self._why(canary, difference, low, high, drop, problem),
        )

    def _weigh(self, x: float, weight: float) -> None:
        """FAIL before PASS, should both be shown at once."""
        if self._passing is not None:
            self._passing = self._passing.plus(x, weight)
        if self._against.e >= 1 / self._design.alpha:
            self._decide(GateAnswer.FAIL)
        elif self._passing is not None and self._passing.e >= 1 / FALSE_PASS:
            self._decide(GateAnswer.PASS)
            self._early = True

    def _decide(self, answer: GateAnswer) -> None:
        self.answer, self._decided = answer, True

    def _ends(self, lowest: float, highest: float) -> tuple[float, float]:
        """The interval, in the metric's own direction."""
        low, high = interval(self._seen, lowest, highest, self._design.units, 1 - CONFIDENCE)
        return (low, high) if self._sign > 0 else (-high, -low)

    def _smallest_drop(self) -> float | None:
        """At the share of discordant items and the clumping that were seen: groups that flip as one are worth less."""
        discordant = (self._squares + power.DISCORDANT * PLANNED) / (self._n + PLANNED)
        clumping = max(self._group_squares / self._squares, 1.0) if self._squares > 0 else 1.0
        return power.smallest_drop(self._design.items / clumping, self._design.alpha, min(discordant, 1.0))

    def _why(
        self,
        canary: float | None,
        difference: float | None,
        low: float | None,
        high: float | None,
        drop: float | None,
        problem: str,
    ) -> str:
        name, design = self.criterion.metric, self._design
        if canary is None or low is None or high is None:
            return problem or "No item was answered yet."
        if difference is None:
            limit = self.criterion.limit or 0.0
            measured = f"{name} is {canary:.1%} on {_items(self._n)} ({low:.1%} to {high:.1%})"
            asked = f"{'at most' if self._sign < 0 else 'at least'} {show(limit, 'share')}"
            if self.answer is GateAnswer.FAIL:
                return f"{measured}, and {asked} was asked for."
            if self.answer is GateAnswer.PASS:
                return f"{measured}, as asked: {asked}."
            return problem or f"{measured}; {asked} was asked for: {self._open()}."
        measured = (
            f"{name} {_moved(difference)} ({100 * low:+.1f} to {100 * high:+.1f}) on {_items(self._n)}: "
            f"{self._worse} answered worse, {self._better} better"
        )
        can = can_show(design.items, drop)
        change, moved = ("drop", "fell") if self._sign > 0 else ("rise", "rose")
        if self.answer is GateAnswer.FAIL:
            return f"{measured}; {'more than chance' if not self.criterion.margin else 'beyond the margin'}."
        if self.answer is GateAnswer.PASS:
            if self._early and self.excluded is not None:
                return f"{measured}; a {change} of {points(self.excluded)} is excluded."
            return f"{measured}; no {change} was shown. {can}"
        if problem:
            return f"{problem} So far {measured}."
        if self.excluded is None:
            return f"{measured}. {can}"
        return f"{measured}; whether it {moved} by {points(self.excluded)}: {self._open()}. {can}"

    def _open(self) -> str:
        """Why nothing is decided."""
        if self._n < self._design.items:
            return "that was still open when the evaluation ended"
        return f"{_items(self._n)} cannot tell"


def can_show(items: int, drop: float | None) -> str:
    """The sentence that stands before the first question and in each verdict."""
    if drop is None:
        return f"{_items(items).capitalize()} can show no drop at all: add more."
    return f"{_items(items).capitalize()} can show a drop of {points(drop)}."


def points(share: float) -> str:
    """`8.3 points`."""
    shown = f"{100 * share:.1f}".removesuffix(".0")
    return f"{shown} point{'' if shown == '1' else 's'}"


def _moved(difference: float) -> str:
    return "did not move" if not difference else f"{'rose' if difference > 0 else 'fell'} by {points(abs(difference))}"


def _items(count: int) -> str:
    return f"{count:,} item{'' if count == 1 else 's'}".replace(",", " ")
