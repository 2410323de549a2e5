"""The hard stop: plain outages, faster than any test. Half of at least twenty canary requests fail, over two scrapes.

An outage seldom begins with a scrape, and a canary that fails all requests should not go on for a scrape longer because
the first one held some good ones. So a scrape counts from half of the share on, if those running come to the share on
average and the last one alone does: an outage of so many scrapes less one is enough, whenever it begins. Called by
`judge.py` at every block, in every stage, at 100 % too. Says nothing about small harm.

It is played twice: once with failures alone, and once (`refused`) with client errors among them. A service that has
many client errors by nature is not well by the second count, which then says nothing; the first one stands as it was.
"""

import math
from typing import Any

from canary.judge.arms import ArmSums, Sides
from canary.judge.config import REFUSALS
from canary.spec.models import HardStop

Memory = dict[str, Any]
NOTHING: Memory = {
    "canary": [0.0, 0.0],
    "stable": [0.0, 0.0],
    "since": None,
    "streak": 0,
    "shares": [],
    "began": None,
    "last": None,
}
"""`canary`, `stable`: errors and requests since `since`, put together until they are enough. `streak`: scrapes running
in which the canary alone was not well, from `began` on; `shares` failed in the newest; `last`: what was counted."""


def look(settings: HardStop, memory: Memory, sides: Sides, t: float, *, refused: bool = False) -> Memory:
    """After a block. Scrapes with too few canary requests are put together until they hold enough."""
    canary = _plus(memory["canary"], sides.canary, refused=refused)
    stable = _plus(memory["stable"], sides.stable, refused=refused)
    since = memory["since"] if memory["since"] is not None else t
    if not settings.enabled or canary[1] < settings.min_requests:
        return {**memory, "canary": canary, "stable": stable, "since": since if canary[1] > 0 else None}
    share = canary[0] / canary[1]
    stable_is_well = stable[1] == 0 or stable[0] / stable[1] < settings.failures / 2
    if share < settings.failures / 2 or not stable_is_well:
        return {**NOTHING, "last": [*canary, *stable]}
    return {
        **NOTHING,
        "streak": memory["streak"] + 1,
        "shares": [*memory.get("shares", []), share][-settings.scrapes :],  # a state of older builds has none
        "began": memory["began"] if memory["streak"] else since,
        "last": [*canary, *stable],
    }


def stops(settings: HardStop, memory: Memory) -> bool:
    """Whether it has seen enough."""
    shares = memory.get("shares", [])
    return (
        settings.enabled
        and len(shares) >= settings.scrapes
        and shares[-1] >= settings.failures
        and math.fsum(shares) >= settings.failures * len(shares)
    )


def _plus(counts: list[float], arm: ArmSums, *, refused: bool) -> list[float]:
    """Errors and requests with another block; with `refused` what was refused is among the errors."""
    if arm.errors is None or (refused and REFUSALS[0] not in arm.totals):
        return counts
    bad = arm.errors + (math.fsum(arm.totals.get(name, 0.0) for name in REFUSALS) if refused else 0.0)
    return [counts[0] + min(bad, arm.errors_of), counts[1] + arm.errors_of]
