"""Does every replica of an arm get its part of the arm's traffic? Tested in sequence, replica by replica.

An arm whose requests all end up on one of four replicas is not what its owner rolls out: a comparison then judges
that one replica, and the next burst finds the others cold. Balancers rightly send slow replicas less, so less than a
third of an even part, or more than three times as much, is what counts as a fault, after ten minutes or so. Called by
`judge.py`; a fault pauses the rollout. Not used where what counts is a proxy before the servers, nor for an arm of
one.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canary.judge import self_normalised
from canary.judge.increments import ReplicaIncrements
from canary.judge.portable_math import log
from canary.weights import Arm

GATE = "traffic spread over replicas"
LEAST, MOST = 1 / 3, 3.0
"""Part of an even share that a replica may get."""
POOL_SECONDS = 30.0
"""Blocks are put together for so long: sixteen to twenty-four pools have to agree, which takes ten minutes or so."""
FORGET = 4
"""After a failure, so many pools in a row in which all are within their bounds end it."""
REPLICAS = 64
"""Arms with more are not looked at: one of so many says little about the arm, and the state stays small."""


@dataclass(frozen=True, slots=True)
class Part:
    """What one replica got, and how far that is from its bounds."""

    requests: float = 0.0
    few: float = 0.0
    """Sum of the standardised contrasts with too little."""
    few_squares: float = 0.0
    """Sum of their squares."""
    many: float = 0.0
    """Sum of the standardised contrasts with too much."""
    many_squares: float = 0.0
    """Sum of their squares."""

    def plus(self, requests: float, total: float, even: float) -> "Part":
        """With a pool in which it served so many requests of the arm's total; `even` is an even share."""
        scale = 1 / math.sqrt(total * even * (1 - even))
        lacking = (LEAST * even * total - requests) * scale
        beyond = (requests - MOST * even * total) * scale if MOST * even < 1 else 0.0
        return Part(
            self.requests + requests,
            self.few + lacking,
            self.few_squares + lacking * lacking,
            self.many + beyond,
            self.many_squares + beyond * beyond,
        )


Pool = Mapping[Arm, Mapping[str, float]]
"""By arm and replica the requests of this pool."""
Parts = Mapping[Arm, Mapping[str, Part]]


@dataclass(frozen=True, slots=True)
class ReplicaBalance:
    """How the replicas of each arm share its traffic."""

    since: float = 0.0
    """Begin of the present pool (seconds); 0 before there is one."""
    fine: int = 0
    """Pools in a row in which all are within their bounds."""
    pool: Pool = field(default_factory=dict)
    parts: Parts = field(default_factory=dict)
    """Of all pools before."""
    log_e: float = 0.0
    """Log evidence against the most suspect replica, less what it costs to have looked at all of them."""
    suspect: tuple[Arm, str] = ("stable", "")
    """That replica, by arm and name."""


def look(
    before: ReplicaBalance,
    arms: Mapping[Arm, Mapping[str, ReplicaIncrements]],
    alpha: float,
    *,
    t: float,
    length: float,
) -> ReplicaBalance:
    """After a block of so many seconds that ends at `t` and counts the same replicas as the one before."""
    pool: dict[Arm, dict[str, float]] = {}
    for arm, pods in arms.items():
        if 2 <= len(pods) <= REPLICAS:
            kept = before.pool.get(arm, {})
            served = {
                name: kept.get(name, 0.0) + pod.requests for name, pod in pods.items() if pod.requests is not None
            }
            if len(served) == len(pods):
                pool[arm] = served
    since = min(before.since or t - length, t)  # the clock may have been set back
    if t - since < POOL_SECONDS:
        return replace(before, since=since, pool=pool)
    return _tested(before, pool, alpha, t)


def _tested(before: ReplicaBalance, pool: Pool, alpha: float, t: float) -> ReplicaBalance:
    """After a pool: arms that hold enough are taken in, and begin afresh."""
    parts: dict[Arm, dict[str, Part]] = {}
    left: dict[Arm, Mapping[str, float]] = {}
    within = True
    for arm, served in pool.items():
        known = dict(before.parts.get(arm, {}))
        known = known if known.keys() == served.keys() else dict.fromkeys(served, Part())
        total, even = math.fsum(served.values()), 1 / len(served)
        if total * even * (1 - even) < self_normalised.ENOUGH:
            parts[arm], left[arm] = known, served
            continue
        parts[arm] = {name: known[name].plus(requests, total, even) for name, requests in served.items()}
        fewest, most = LEAST * even * total, MOST * even * total
        within = within and all(fewest <= requests <= most for requests in served.values())
    fine = before.fine + 1 if within else 0
    log_e, suspect = _worst(parts, alpha)
    if fine >= FORGET and log_e >= log(1 / alpha):
        parts = {arm: {name: Part(part.requests) for name, part in each.items()} for arm, each in parts.items()}
        log_e, suspect = _worst(parts, alpha)
    return ReplicaBalance(t, fine, left, parts, log_e, suspect)


def fails(found: ReplicaBalance, alpha: float) -> bool:
    """Whether some replica is shown to get far less or far more than its part, wrongly with a chance of `alpha`."""
    return found.log_e >= log(1 / alpha)


def _worst(replicas: Parts, alpha: float) -> tuple[float, tuple[Arm, str]]:
    """The log evidence against the most suspect replica, and which one that is."""
    parts = [((arm, name), part) for arm, each in replicas.items() for name, part in each.items()]
    r = self_normalised.tuning(alpha / max(2 * len(parts), 1))
    found = [
        (self_normalised.log_mixture(total, squares, r), which)
        for which, part in parts
        for total, squares in ((part.few, part.few_squares), (part.many, part.many_squares))
        if squares > 0
    ]
    if not found:
        return 0.0, ("stable", "")
    log_e, which = max(found)
    return log_e - log(2 * len(parts)), which
