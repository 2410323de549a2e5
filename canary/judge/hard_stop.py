"""The hard stop: plain outages, faster than any test. Half of at least twenty canary requests fail, twice running.

Called by `judge.py` at every block, in every stage, at 100 % too. Says nothing about small harm.
"""

from typing import Any

from canary.judge.arms import ArmSums, Sides
from canary.spec.models import HardStop

Memory = dict[str, Any]
NOTHING: Memory = {"canary": [0.0, 0.0], "stable": [0.0, 0.0], "since": None, "streak": 0, "began": None, "last": None}


def look(settings: HardStop, memory: Memory, sides: Sides, t: float) -> Memory:
    """After a block. Scrapes with too few canary requests are put together until they hold enough."""
    canary, stable = _plus(memory["canary"], sides.canary), _plus(memory["stable"], sides.stable)
    since = memory["since"] if memory["since"] is not None else t
    if not settings.enabled or canary[1] < settings.min_requests:
        return {**memory, "canary": canary, "stable": stable, "since": since if canary[1] > 0 else None}
    failing = canary[0] >= settings.failures * canary[1] and canary[0] > 0
    stable_is_well = stable[0] < settings.failures / 2 * stable[1] if stable[1] > 0 else True
    out = failing and stable_is_well
    began = (memory["began"] if memory["streak"] else since) if out else None
    return {**NOTHING, "streak": memory["streak"] + 1 if out else 0, "began": began, "last": [*canary, *stable]}


def stops(settings: HardStop, memory: Memory) -> bool:
    """Whether it has seen enough."""
    return settings.enabled and memory["streak"] >= settings.scrapes


def _plus(counts: list[float], arm: ArmSums) -> list[float]:
    """Errors and requests with another block."""
    if arm.errors is None:
        return counts
    return [counts[0] + arm.errors, counts[1] + arm.errors_of]
