"""Is the traffic split as asked? The share of requests that each arm served, tested in sequence (sample-ratio check).

A split that is not what was asked for makes every comparison suspect: the router may favour an arm, or requests of an
arm may be lost before they are counted. Deviations within `SLACK` are nobody's business. Called by `judge.py`; a
mismatch pauses the rollout. Not used where traffic is not split at random (cohorts).
"""

import math
from typing import Any

from canary.judge import selfnormalised, sentences
from canary.judge.arms import Sides
from canary.judge.portable_math import exp, log
from canary.judge.tally import Tally
from canary.verdict import Answer, GateVerdict

Memory = dict[str, Any]
GATE = "traffic share as asked"
SLACK, STICKY_SLACK = 0.1, 0.5
"""Deviation, as a share of the smaller arm's part, that is let pass; sticky sessions stray further."""
FORGET = 10
"""After a failure, so many pooled blocks in a row within the slack end it."""
NOTHING: Memory = {"more": [0.0, 0.0], "less": [0.0, 0.0], "pool": [0.0, 0.0], "fine": 0, "asked": 0.0, "alpha": 0.01}


def look(memory: Memory, sides: Sides, asked: float, alpha: float, *, sticky: bool) -> Memory:
    """After a block in which every replica was counted."""
    served = sides.canary.requests or 0.0
    total = served + (sides.stable.requests or 0.0)
    pool = [memory["pool"][0] + served, memory["pool"][1] + total]
    spread = asked * (1 - asked)
    if pool[1] * spread < selfnormalised.ENOUGH:
        return {**memory, "pool": pool, "asked": asked, "alpha": alpha}
    slack = (STICKY_SLACK if sticky else SLACK) * min(asked, 1 - asked)
    scale = 1 / math.sqrt(pool[1] * spread)
    more = (pool[0] - (asked + slack) * pool[1]) * scale
    less = ((asked - slack) * pool[1] - pool[0]) * scale
    fine = memory["fine"] + 1 if more <= 0 and less <= 0 else 0
    after = {**memory, "pool": [0.0, 0.0], "fine": fine, "asked": asked, "alpha": alpha}
    if fine >= FORGET and fails(memory, alpha):
        return {**after, "more": [0.0, 0.0], "less": [0.0, 0.0]}
    after["more"] = [memory["more"][0] + more, memory["more"][1] + more * more]
    after["less"] = [memory["less"][0] + less, memory["less"][1] + less * less]
    return after


def fails(memory: Memory, alpha: float) -> bool:
    """Whether the split is shown not to be what was asked; wrongly so with a chance of `alpha` a stage at most."""
    if memory["more"][0] <= 0 and memory["less"][0] <= 0:  # as nearly always; neither mixture is above 1 then
        return False
    return evidence(memory, alpha) >= log(1 / alpha)


def evidence(memory: Memory, alpha: float) -> float:
    """Log evidence against the split, the mean of too much and too little."""
    if memory["more"][1] == 0:
        return 0.0
    r = selfnormalised.tuning(alpha / 2)
    both = 0.0
    for total, squares in (memory["more"], memory["less"]):
        both += exp(min(selfnormalised.log_mixture(total, squares, r), 500.0))
    return log(max(both / 2, 1e-300))


def verdict(memory: Memory, tallies: dict[str, Tally]) -> GateVerdict:
    """The failure in words."""
    served = tallies["canary"]["requests"]
    total = served + tallies["stable"]["requests"]
    share = served / total if total else 0.0
    asked = memory["asked"]
    why = (
        f"traffic: the canary served {sentences.percent(share)} of {sentences.many(total)} requests where "
        f"{sentences.percent(asked)} was asked for; until the split is right, no comparison can be trusted."
    )
    return GateVerdict(
        GATE,
        Answer.FAIL,
        why,
        canary=share,
        limit=asked,
        log_e=round(evidence(memory, memory["alpha"]), 4),
        samples={"canary": served, "stable": tallies["stable"]["requests"]},
        spoke="sequential",
        on_breach="pause",
    )
