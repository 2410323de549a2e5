"""When may harm have begun? Evidence is mixed over possible beginnings, so a late leak is not drowned by a good start.

Half the weight lies on the canary's first traffic, a quarter on later stages' beginnings, a quarter on all other
times: most of it evenly over the plan, the rest ever thinner beyond. The weights of all beginnings add up to at most
one, which is what keeps the guarantee. Called by `judge.py`; keeps nothing.
"""

from canary.judge.portable_math import LOG_TWO, log

AT_FIRST, AT_STAGES, EVENLY, BEYOND = 0.5, 0.25, 0.1875, 0.0625
SLOT = 60.0


def first(stages: int) -> float:
    """Weight of harm from the first traffic on; a rollout of one stage has no later beginnings to share with."""
    return AT_FIRST if stages > 1 else AT_FIRST + AT_STAGES


def later(stages: int) -> float:
    """Weight of harm that begins with one later stage."""
    return AT_STAGES / (stages - 1) if stages > 1 else 0.0


def between(before: float, now: float, planned: float) -> float:
    """Weight of harm that begins within (before, now] seconds of first traffic, in a rollout planned that long.

    `before` is at least 0.
    """
    if now <= before:
        return 0.0
    # Uniform, and with density 1/((t+2) log²(t+2)) without end.
    evenly = (min(now, planned) - min(before, planned)) / planned if planned > 0 else 0.0
    return EVENLY * evenly + BEYOND * LOG_TWO * (1 / log(2 + before / SLOT) - 1 / log(2 + now / SLOT))
