"""Engines that have requests and write no token, as model servers count themselves: vLLM's `num_requests_running`.

Called by `judge.py` at every block, where no proxy counts what is begun (`hang.py` looks there). The counts of a
stalled engine are those of its last step: requests are running, and nothing is written. It is a hang once that has
lasted, while stable's engines wrote. Does not see an engine that stalls while it has no request, nor one of several
replicas.
"""

import math
from dataclasses import dataclass, replace

from canary.judge.arm_totals import ArmPair, ArmSums

LONG_S = 15.0
"""An engine stands still for so long; a long prompt may take seconds to its first token."""
ALONE_S = 45.0
"""And for so long divided by its open requests: of one prompt nobody knows how long it is."""
SLACK = 2.0
"""Times the longest standstill of stable's engines."""


@dataclass(frozen=True, slots=True)
class Standstill:
    """Since when nothing is written."""

    since: float | None = None
    """Of the canary; None while it writes or has nothing to do (seconds)."""
    open: float = 0.0
    """Its requests."""
    lasted: float = 0.0
    """Seconds until now."""
    wrote: float = 0.0
    """Tokens that it wrote before."""
    stable_wrote: float = 0.0
    """Tokens that stable wrote since."""
    stable_stands: bool = False
    """Whether it has requests and writes nothing."""
    stable_since: float | None = None
    stable_longest: float = 0.0
    """Seconds of its longest standstill."""
    asked: bool = True
    """Whether stable gets any traffic."""

    def clock_moved(self, by: float) -> "Standstill":
        """The source's clock was set: ages stay what they were."""
        since, stable = (None if each is None else each + by for each in (self.since, self.stable_since))
        return replace(self, since=since, stable_since=stable)


def look(before: Standstill, sides: ArmPair, t: float, length: float, weight: float) -> Standstill:
    """After a block of `length` seconds that ends at `t`; the same where a proxy counts, or nothing is told."""
    mine, theirs = _told(sides.canary), _told(sides.stable)
    if "begun" in sides.canary.totals or mine is None:
        return before
    open_, wrote, stands = mine
    now = replace(before, open=open_, wrote=before.wrote + wrote, asked=weight < 1)
    if theirs is not None:
        now = _stable(now, theirs, t, length)
    if not stands:
        return replace(now, since=None, lasted=0.0, stable_wrote=0.0)
    since = before.since if before.since is not None else t - length
    return replace(now, since=since, lasted=t - since)


def stops(found: Standstill) -> bool:
    """Whether it has lasted for too long, while stable writes; at 100 % it must have written before."""
    if found.since is None or found.stable_stands:
        return False
    needed = max(LONG_S, ALONE_S / max(found.open, 1.0), SLACK * found.stable_longest)
    return found.lasted >= needed and (found.stable_wrote if found.asked else found.wrote) > 0


def _stable(now: Standstill, told: tuple[float, float, bool], t: float, length: float) -> Standstill:
    _, wrote, stands = told
    if not stands:
        return replace(now, stable_wrote=now.stable_wrote + wrote, stable_stands=False, stable_since=None)
    since = now.stable_since if now.stable_since is not None else t - length
    return replace(now, stable_stands=True, stable_since=since, stable_longest=max(now.stable_longest, t - since))


def _told(arm: ArmSums) -> tuple[float, float, bool] | None:
    """Open requests, tokens, and whether there are requests of which nothing is written; None where it is not told."""
    tokens, open_ = arm.totals.get("generation_tokens"), arm.gauges.get("open")
    if tokens is None or not open_:
        return None
    return math.fsum(open_), tokens, tokens <= 0 < math.fsum(open_)
