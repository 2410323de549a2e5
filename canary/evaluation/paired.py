"""A whole evaluation's evidence: units of items in a fixed order, all criteria at once, decided as early as can be.

Called by `controlplane.evaluation.runner` with scores, in the order of `order_of` whatever order the answers came in:
quick answers are not like slow ones, so a test that took them as they come would stop on a biased sample.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from canary.evaluation.criterion import CriterionTest, CriterionVerdict, Design, Pair
from canary.evaluation.item import Item
from canary.spec.criterion import Criterion
from canary.verdict import GateAnswer


@dataclass(frozen=True, slots=True)
class EvaluationVerdict:
    """The answer of an evaluation."""

    verdict: GateAnswer
    criteria: tuple[CriterionVerdict, ...]

    @property
    def smallest_drop(self) -> float | None:
        """The smallest drop that every comparison can show; None where one can show none, or nothing is compared."""
        drops = [each.smallest_drop for each in self.criteria if each.discordant is not None]
        shown = [drop for drop in drops if drop is not None]
        return max(shown) if shown and len(shown) == len(drops) else None


def order_of(items: Sequence[Item]) -> tuple[tuple[Item, ...], ...]:
    """The units of a data set in the order in which they are asked: mixed well, and the same every time.

    Sorted by digest, so an early stop has seen a fair sample even of a file that is sorted by difficulty.
    """
    groups: dict[tuple[bool, str], list[Item]] = {}
    for item in items:
        groups.setdefault((True, item.group) if item.group is not None else (False, item.id), []).append(item)
    mixed = sorted(groups, key=lambda key: hashlib.sha256(f"{key[0]:d}{key[1]}".encode()).digest())
    return tuple(tuple(groups[key]) for key in mixed)


def design_of(units: Sequence[Sequence[Item]], criteria: int) -> Design:
    """What is known before the first answer."""
    sizes = [len(unit) for unit in units]
    return Design(sum(sizes), len(sizes), max(sizes, default=1), max(criteria, 1))


class PairedTest:
    """Takes in scores unit by unit. Not shared between evaluations."""

    def __init__(self, criteria: Sequence[Criterion], design: Design) -> None:
        self.design = design
        self._tests = tuple(CriterionTest(criterion, design) for criterion in criteria)

    @property
    def decided(self) -> bool:
        """Whether more items can change nothing: a criterion failed, or all are decided."""
        return any(test.answer is GateAnswer.FAIL for test in self._tests) or all(test.decided for test in self._tests)

    def add(self, unit: Sequence[Mapping[str, Pair]]) -> None:
        """Take in the scores of a unit's items, each by metric."""
        for test in self._tests:
            test.add([scores[test.criterion.metric] for scores in unit])

    def finish(self) -> None:
        """Every item was taken in."""
        for test in self._tests:
            test.finish()

    def verdict(self, problem: str = "") -> EvaluationVerdict:
        """The answer now; `problem` says why there are no more answers."""
        answers = {test.answer for test in self._tests}
        whole = (
            GateAnswer.FAIL
            if GateAnswer.FAIL in answers
            else GateAnswer.PASS
            if answers == {GateAnswer.PASS}
            else GateAnswer.WAIT
        )
        return EvaluationVerdict(whole, tuple(test.verdict(problem) for test in self._tests))
