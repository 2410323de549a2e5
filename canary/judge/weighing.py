"""One gate at one block, as a question: what is remembered of the gate, and what the block says of it.

Made by `population.py`. `answered` works a single one out on plain numbers, `fleet.answered` many at once on arrays;
both give what is remembered after the block, to all but the last digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from canary.judge.evidence import Evidence, Numbers, Rule, Told, learn, weigh

Kept = Mapping[str, Any]
"""What `Evidence.kept` writes, or a `Row` of it."""


Weighing = tuple[Kept, Rule, Told, Sequence[float] | None, bool, float, float, bool]
"""One gate at one block: what is remembered of it, how it is weighed, and

* what the block says of it;
* what is held of stable, for the placebo of the next block, while there is one replica of it; None for as it is;
* whether the canary is asked about; if not, the block only teaches what is usual for stable;
* the block's time, the weight of harm that begins with it, and whether the self-normalised test has a new beginning.

A plain tuple, as what is told is: a fleet makes a thousand of each at every tick, and reads none of them by name."""


def answered(questions: Sequence[Weighing]) -> Sequence[Kept]:
    """What is remembered of each gate after its block, worked out one by one."""
    return [_answer(question) for question in questions]


def _answer(question: Weighing) -> Kept:
    kept, rule, told, held, asked, t, spend, opens = question
    e, numbers = Evidence.of(kept), Numbers._make(told)
    if held is not None:
        e.held = list(held)
    stable = e.standing(numbers)
    if asked:
        weigh(e, rule, numbers, stable, t=t, spend=spend, opens=opens)
    learn(e, numbers, stable)
    return e.kept()
