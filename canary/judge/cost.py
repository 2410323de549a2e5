"""Costs at equal utilisation: what each arm's work would cost if stable's GPUs carried all of it, at the arm's price.

Called by `judge.py` on the sums of a block, for plans with gates on cost. A replica costs the same whether it works or
not, and at a small share the canary's has little to do: by its own bill a twin of stable would look many times dearer,
the more so the smaller its share. So each arm is charged for its part of the work, and what it was really charged is
kept beside that and said. Work is the time spent on tokens where both arms count it, and requests otherwise: then only
prices differ.

At 100 % the canary carries everything itself, and its own bill is what it costs. Where nobody tells how long replicas
were up, as in lines for `serinus judge`, dollars are taken as they are.
"""

import math

from canary.judge.arm_totals import ArmPair, ArmSums

DOLLARS, UPTIME, WORK = "dollars", "replica_seconds", "decode_seconds"
SPENT = "dollars_spent"
"""What an arm was really charged."""
READ = frozenset({UPTIME, WORK})
"""Totals that are read besides those of the gates."""


def level(sides: ArmPair, weight: float) -> None:
    """Put both arms' dollars on the same utilisation, in place; where no work is known there are none."""
    both = (sides.canary, sides.stable)
    uptime = sides.stable.totals.get(UPTIME, 0.0)
    if uptime <= 0 or weight >= 1:
        return
    by_tokens = all(arm.totals.get(WORK, 0.0) > 0 for arm in both)
    work = [_work(arm, by_tokens=by_tokens) for arm in both]
    each = {id(arm): arm for arm in (*both, *sides.halves)}
    for arm in each.values():
        spent, paid = arm.totals.get(DOLLARS), arm.totals.get(UPTIME, 0.0)
        if spent is None:
            continue
        totals = {name: value for name, value in arm.totals.items() if name != DOLLARS}
        totals[SPENT] = spent
        if paid > 0 and math.fsum(work) > 0:
            totals[DOLLARS] = spent / paid * uptime * _work(arm, by_tokens=by_tokens) / math.fsum(work)
        arm.totals = totals


def _work(arm: ArmSums, *, by_tokens: bool) -> float:
    """What an arm did."""
    return arm.totals.get(WORK, 0.0) if by_tokens else arm.requests or 0.0
