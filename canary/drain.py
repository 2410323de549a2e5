"""Whether an arm that no longer receives traffic has finished its open requests, so that it may be stopped.

Asked by `machine.py`, `steps.py` and `blocked.py`: for the canary once a rollback has taken its traffic, and for stable
once the canary has all of it. New traffic never waits for this; only the stop does, and for `drain` of the plan at
most. How many requests are open comes in with the snapshot, as the proxy in front or the servers themselves count them.
Where nothing counts them, the arm gets all of that time.
"""

from dataclasses import replace
from typing import Any

from canary import messages
from canary.pass_context import PassContext
from canary.rollout import Drain, Phase, Rollout
from canary.serial import rfc3339
from canary.snapshot import InFlight
from canary.spec.models import CanarySpec
from canary.weights import Arm

LONGEST_S, UNCOUNTED_S = 300.0, 30.0
"""How long open requests are waited for where the plan does not say: while they are counted, and where they are not, as
long as Kubernetes lets a pod end by default."""
REPORTED_AFTER_S = 4.0
"""Seconds without traffic after which open requests are reported: longer than it takes to know that there are none."""
SETTLED_S = 2.0
"""Seconds without new requests before a count of zero is trusted where nothing says that every worker of the proxy has
taken the new weights: one that gets no processor sends requests by the old ones meanwhile."""


def noted(look: PassContext) -> Rollout:
    """The rollout with the drain of its losing arm: since when it gets nothing, and how many requests are open."""
    rollout = look.rollout
    if rollout.phase is Phase.WATCHING and look.in_force and not _is_of(rollout, "stable"):
        if not look.spec.cohort:
            rollout = replace(rollout, drain=Drain("stable", rollout.stage_since))
        elif "stable" in look.seen.idle:  # who is outside the cohort asks it until it is retired
            rollout = replace(rollout, drain=Drain("stable", look.now))
    elif rollout.phase is Phase.ROLLING_BACK and not _is_of(rollout, "canary") and _has_no_traffic(look):
        at = look.seen.route.at
        decided = rollout.decided if rollout.decided is not None else look.now
        rollout = replace(rollout, drain=Drain("canary", at), zero=max(at, decided))
    drain = rollout.drain
    if drain is None or drain.open is not None:
        return rollout
    count = look.seen.in_flight.get(drain.arm)
    if count is None or count.at < drain.since:
        return rollout
    return replace(rollout, drain=replace(drain, open=count.open, broken=count.broken))


def is_over(look: PassContext, arm: Arm) -> bool:
    """Whether this arm gets no traffic, and has finished its open requests or used up its time."""
    drain = look.rollout.drain
    if drain is None or drain.arm != arm:
        return (
            arm == "stable"
            and look.spec.cohort is not None
            and look.now >= look.hold_ends + longest(look.spec, counted=True)
        )
    return ends_at(look, drain) <= look.now or _is_idle(look, drain)


def lasts(look: PassContext, arm: Arm) -> bool:
    """Whether this arm has had open requests without traffic for so long that users should see it."""
    drain = look.rollout.drain
    if drain is None or drain.arm != arm or is_over(look, arm) or look.now - drain.since < REPORTED_AFTER_S:
        return False
    count = _count(look, drain)
    return count is None or count.open > 0


def ends_at(look: PassContext, drain: Drain) -> float:
    """When the arm is stopped at the latest."""
    return drain.since + _longest(look, drain)


def longest(spec: CanarySpec, *, counted: bool) -> float:
    """Seconds that open requests are waited for at most."""
    if spec.drain is not None:
        return spec.drain
    return LONGEST_S if counted else UNCOUNTED_S


def _longest(look: PassContext, drain: Drain) -> float:
    return longest(look.spec, counted=drain.open is not None or drain.arm in look.seen.in_flight)


def waits(look: PassContext) -> str:
    """What is waited for, as a sentence; empty where nothing is."""
    drain = look.rollout.drain
    if drain is None:
        return ""
    count = _count(look, drain)
    until = rfc3339(round(ends_at(look, drain)))
    return messages.draining(_name(look, drain), None if count is None else count.open, until)


def ended(look: PassContext) -> tuple[str, dict[str, Any]]:
    """How it ended, as a sentence that follows another (empty where nothing was open), and what the rollout keeps."""
    drain = look.rollout.drain
    if drain is None:
        return "", {}
    count = _count(look, drain)
    if count is None:
        lasted = _longest(look, drain)
        told = messages.not_counted(_name(look, drain), lasted) if lasted else ""
        return told, {}
    still_open = 0.0 if _is_idle(look, drain) else count.open
    cut = still_open + _broken_since(drain, count)
    waited = look.now - drain.since
    open_ = drain.open or 0.0
    return messages.drained(_name(look, drain), cut, open_ if waited >= REPORTED_AFTER_S else 0.0, waited), {"cut": cut}


def _is_of(rollout: Rollout, arm: Arm) -> bool:
    return rollout.drain is not None and rollout.drain.arm == arm


def _has_no_traffic(look: PassContext) -> bool:
    """Whether the route was seen to send the canary nothing, in a look after the decision."""
    rollout, route = look.rollout, look.seen.route
    if rollout.weights.canary or route.weights is None or route.weights.canary or not rollout.peak.canary:
        return False
    decided = rollout.decided if rollout.decided is not None else look.now
    return not route.at < decided <= look.now  # unless the clock was set back meanwhile


def _count(look: PassContext, drain: Drain) -> InFlight | None:
    """What is open now; None where nothing has counted it since the arm lost its traffic."""
    count = look.seen.in_flight.get(drain.arm)
    return None if count is None or count.at < drain.since else count


def _is_idle(look: PassContext, drain: Drain) -> bool:
    count = _count(look, drain)
    if count is None or count.open > 0:
        return False
    return count.at >= drain.since + SETTLED_S if count.settled is None else count.settled >= drain.since


def _broken_since(drain: Drain, count: InFlight) -> float:
    """Answers that broke off since the first count; a smaller total means that the counter was reset."""
    if drain.broken is None or count.broken is None:
        return 0.0
    return count.broken - drain.broken if count.broken >= drain.broken else count.broken


def _name(look: PassContext, drain: Drain) -> str:
    return look.spec.stable.name if drain.arm == "stable" else look.spec.canary.name
