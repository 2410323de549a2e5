"""The hard stop: plain outages, faster than any test. Half of at least twenty canary requests fail, over two scrapes.

An outage seldom begins with a scrape, and a canary that fails all requests should not go on for a scrape longer
because the first one held some good ones. So a scrape counts from half of the share on, if those running come to the
share on average and the last one alone does: an outage of so many scrapes less one is enough, whenever it begins.
Called by `judge.py` at every block, in every stage, at 100 % too. Says nothing about small harm.

It is played twice: once with failures alone, and once (`refused`) with client errors among them. A service that has
many client errors by nature is not well by the second count, which then says nothing; the first one stands as it was.
"""

import math
from dataclasses import dataclass, replace

from canary.judge.arm_totals import ArmPair, ArmSums
from canary.judge.portable_math import log
from canary.judge.refusals import REFUSALS
from canary.spec.models import HardStop

Counts = tuple[float, float]
"""Errors and requests."""
SURE = log(1000)
"""Three clean requests of stable beside forty failed ones of the canary are enough."""


@dataclass(frozen=True, slots=True)
class Outage:
    """How near the canary is to a plain outage."""

    canary: Counts = (0.0, 0.0)
    """Put together since `since` until they are enough."""
    stable: Counts = (0.0, 0.0)
    since: float | None = None
    streak: int = 0
    """Scrapes running in which the canary alone was not well."""
    shares: tuple[float, ...] = ()
    """Shares that failed in the newest of them."""
    began: float | None = None
    """When the streak began (seconds)."""
    last: tuple[Counts, Counts] | None = None
    """The canary's and stable's counts of the newest scrape that held enough."""
    running: tuple[Counts, Counts] = ((0.0, 0.0), (0.0, 0.0))
    """The same of the whole streak."""

    def clock_moved(self, by: float) -> "Outage":
        """The source's clock was set: ages stay what they were."""
        since, began = (None if each is None else each + by for each in (self.since, self.began))
        return replace(self, since=since, began=began)


def look(settings: HardStop, before: Outage, sides: ArmPair, t: float, *, refused: bool = False) -> Outage:
    """After a block. Scrapes with too few canary requests are put together until they hold enough."""
    canary = _plus(before.canary, sides.canary, refused=refused)
    stable = _plus(before.stable, sides.stable, refused=refused)
    since = before.since if before.since is not None else t
    if not settings.enabled or canary[1] < settings.min_requests:
        return replace(before, canary=canary, stable=stable, since=since if canary[1] > 0 else None)
    share = canary[0] / canary[1]
    stable_is_well = stable[1] == 0 or stable[0] / stable[1] < settings.failures / 2
    if share < settings.failures / 2 or not stable_is_well:
        return Outage(last=(canary, stable))
    return Outage(
        streak=before.streak + 1,
        shares=(*before.shares, share)[-settings.scrapes :],
        began=before.began if before.streak else since,
        last=(canary, stable),
        running=(_sum(before.running[0], canary), _sum(before.running[1], stable)),
    )


def stops(settings: HardStop, outage: Outage) -> bool:
    """Whether it has seen enough."""
    shares = outage.shares
    return (
        settings.enabled
        and len(shares) >= settings.scrapes
        and shares[-1] >= settings.failures
        and math.fsum(shares) >= settings.failures * len(shares)
        and _told_apart(*outage.running)
    )


def _told_apart(canary: Counts, stable: Counts) -> bool:
    """Whether stable has had enough requests to show that it is well: an outage of both arms convicts neither.

    That both fail alike must be `SURE` nats less likely than that each fails as it did. Stable without any traffic
    says nothing, as do states of an earlier build, which know no streak.
    """
    if stable[1] <= 0 or canary[1] <= 0:
        return True
    apart = _log_likelihood(*canary) + _log_likelihood(*stable)
    return apart - _log_likelihood(*_sum(canary, stable)) >= SURE


def _log_likelihood(bad: float, of: float) -> float:
    """Log likelihood of so many failures at the rate that makes them likeliest."""
    return math.fsum(part * log(part / of) for part in (bad, of - bad) if part > 0)


def _sum(one: Counts, other: Counts) -> Counts:
    return one[0] + other[0], one[1] + other[1]


def _plus(counts: Counts, arm: ArmSums, *, refused: bool) -> Counts:
    """Errors and requests with another block; with `refused` what was refused is among the errors."""
    if arm.errors is None or (refused and REFUSALS[0] not in arm.totals):
        return counts
    bad = arm.errors + (math.fsum(arm.totals.get(name, 0.0) for name in REFUSALS) if refused else 0.0)
    return counts[0] + min(bad, arm.errors_of), counts[1] + arm.errors_of
