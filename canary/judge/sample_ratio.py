"""Is the traffic split as asked? The share of requests that each arm served, tested in sequence (sample-ratio check).

A split that is not what was asked for makes every comparison suspect: the router may favour an arm, or requests of an
arm may be lost before they are counted. Deviations within `SLACK` are nobody's business. Called by `judge.py`; a
mismatch pauses the rollout. Not used where traffic is not split at random (cohorts).
"""

import math
from dataclasses import dataclass, replace

from canary.judge import self_normalised
from canary.judge.arm_totals import ArmPair
from canary.judge.portable_math import exp, log

GATE = "traffic share as asked"
SLACK, STICKY_SLACK = 0.1, 0.5
"""Deviation, as a share of the smaller arm's part, that is let pass; sticky sessions stray further."""
FORGET = 10
"""After a failure, so many pooled blocks in a row within the slack end it."""
Sums = tuple[float, float]
"""Of standardised contrasts and of their squares."""


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Evidence against the split since the stage began."""

    more: Sums = (0.0, 0.0)
    """That the canary gets too much."""
    less: Sums = (0.0, 0.0)
    """That it gets too little."""
    pool: tuple[float, float] = (0.0, 0.0)
    """Requests of the canary and of both, of blocks that are not taken in yet."""
    fine: int = 0
    """Pooled blocks in a row within the slack."""
    asked: float = 0.0
    """The canary's share as asked for."""


def look(before: SampleRatio, sides: ArmPair, asked: float, alpha: float, *, sticky: bool) -> SampleRatio:
    """After a block in which every replica was counted."""
    served = sides.canary.requests or 0.0
    canary, both = before.pool[0] + served, before.pool[1] + served + (sides.stable.requests or 0.0)
    spread = asked * (1 - asked)
    if both * spread < self_normalised.ENOUGH:
        return replace(before, pool=(canary, both), asked=asked)
    slack = (STICKY_SLACK if sticky else SLACK) * min(asked, 1 - asked)
    scale = 1 / math.sqrt(both * spread)
    more = (canary - (asked + slack) * both) * scale
    less = ((asked - slack) * both - canary) * scale
    fine = before.fine + 1 if more <= 0 and less <= 0 else 0
    if fine >= FORGET and fails(before, alpha):
        return SampleRatio(fine=fine, asked=asked)
    return SampleRatio(_plus(before.more, more), _plus(before.less, less), fine=fine, asked=asked)


def fails(found: SampleRatio, alpha: float) -> bool:
    """Whether the split is shown not to be what was asked; wrongly so with a chance of `alpha` a stage at most."""
    if found.more[0] <= 0 and found.less[0] <= 0:  # as nearly always; neither mixture is above 1 then
        return False
    return evidence(found, alpha) >= log(1 / alpha)


def evidence(found: SampleRatio, alpha: float) -> float:
    """Log evidence against the split, the mean of too much and too little."""
    if found.more[1] == 0:
        return 0.0
    r = self_normalised.tuning(alpha / 2)
    both = math.fsum(
        exp(min(self_normalised.log_mixture(total, squares, r), 500.0)) for total, squares in (found.more, found.less)
    )
    return log(max(both / 2, 1e-300))


def _plus(sums: Sums, contrast: float) -> Sums:
    return sums[0] + contrast, sums[1] + contrast * contrast
