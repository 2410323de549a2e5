"""One gate at one block, as a question: what is remembered of the gate, and what the block says of it.

Made by `population.py`. `answered` works a single one out on plain numbers, `fleet.answered` many at once on arrays;
both give what is remembered after the block, to all but the last digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from canary.judge.evidence import Evidence, Numbers, Rule, learn, weigh

Kept = Mapping[str, Any]
"""What `Evidence.kept` writes, or a `Row` of it."""


class Weighing(NamedTuple):
    """One gate at one block."""

    kept: Kept
    rule: Rule
    numbers: Numbers
    held: list[float]
    """Of stable, for the placebo of the next block, while there is one replica of it."""
    asked: bool
    """Whether the canary is asked about; if not, the block only teaches what is usual for stable."""
    t: float
    spend: float
    """Weight of harm that begins with this block."""
    opens: bool
    """Whether the self-normalised test has a new beginning."""


def answered(questions: Sequence[Weighing]) -> Sequence[Kept]:
    """What is remembered of each gate after its block, worked out one by one."""
    return [_answer(question) for question in questions]


def _answer(question: Weighing) -> Kept:
    kept, rule, numbers, held, asked, t, spend, opens = question
    e = Evidence.of(kept)
    e.held = held
    stable = e.standing(numbers)
    if asked:
        weigh(e, rule, numbers, stable, t=t, spend=spend, opens=opens)
    learn(e, numbers, stable)
    return e.kept()
