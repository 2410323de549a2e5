"""Does every replica of an arm get its part of the arm's traffic? Tested in sequence, replica by replica.

An arm whose requests all end up on one of four replicas is not what its owner rolls out: a comparison then judges that
one replica, and the next burst finds the others cold. Balancers rightly send slow replicas less, so less than a third
of an even part, or more than three times as much, is what counts as a fault, after ten minutes or so. Called by
`judge.py`; a fault pauses the rollout. Not used where what counts is a proxy before the servers, nor for an arm of one.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from canary.judge import selfnormalised, sentences
from canary.judge.block import PodBlock
from canary.judge.portable_math import log
from canary.verdict import Answer, GateVerdict
from canary.weights import Arm

Memory = dict[str, Any]
Pool = dict[Arm, dict[str, float]]
Rows = dict[Arm, dict[str, Sequence[float]]]
GATE = "traffic spread over replicas"
LEAST, MOST = 1 / 3, 3.0
"""Part of an even share that a replica may get."""
POOL_SECONDS = 30.0
"""Blocks are put together for so long: sixteen to twenty-four pools have to agree, which takes ten minutes or so."""
FORGET = 4
"""After a failure, so many pools in a row in which all are within their bounds end it."""
REPLICAS = 64
"""Arms with more are not looked at: one of so many says little about the arm, and the state stays small."""
NOTHING: Memory = {"since": 0.0, "fine": 0, "pool": {}, "rows": {}, "worst": [0.0, "stable", ""]}
"""`pool`: by arm and replica the requests of this pool. `rows`: those of all pools before, and the sums and squares of
too few and of too many. `worst`: the log evidence against the most suspect replica, its arm and its name."""
UNSEEN = (0.0, 0.0, 0.0, 0.0, 0.0)
"""The row of a replica before its first pool."""


def look(
    memory: Memory, arms: Mapping[Arm, Mapping[str, PodBlock]], alpha: float, *, t: float, length: float
) -> Memory:
    """After a block of so many seconds that ends at `t` and counts the same replicas as the one before."""
    before: Pool = memory["pool"]
    pool: Pool = {}
    for arm, pods in arms.items():
        if 2 <= len(pods) <= REPLICAS:
            kept = before.get(arm, {})
            served = {
                name: kept.get(name, 0.0) + pod.requests for name, pod in pods.items() if pod.requests is not None
            }
            if len(served) == len(pods):
                pool[arm] = served
    since = memory["since"] or t - length
    since = min(since, t)  # the clock may have been set back
    if t - since < POOL_SECONDS:
        return {**memory, "since": since, "pool": pool}
    return _tested(memory, pool, alpha, t)


def _tested(memory: Memory, pool: Pool, alpha: float, t: float) -> Memory:
    """After a pool: those that hold enough are taken in, and begin anew."""
    rows: Rows = {}
    left: Pool = {}
    within = True
    for arm, served in pool.items():
        known = memory["rows"].get(arm, {})
        known = known if known.keys() == served.keys() else dict.fromkeys(served, UNSEEN)
        total, part = math.fsum(served.values()), 1 / len(served)
        if total * part * (1 - part) < selfnormalised.ENOUGH:
            rows[arm], left[arm] = known, served
            continue
        rows[arm] = {name: _plus(known[name], requests, total, part) for name, requests in served.items()}
        fewest, most = LEAST * part * total, MOST * part * total
        within = within and all(fewest <= requests <= most for requests in served.values())
    fine = memory["fine"] + 1 if within else 0
    worst = _worst(rows, alpha)
    if fine >= FORGET and worst[0] >= log(1 / alpha):
        rows = {arm: {name: [row[0], *UNSEEN[1:]] for name, row in each.items()} for arm, each in rows.items()}
        worst = _worst(rows, alpha)
    return {"since": t, "fine": fine, "pool": left, "rows": rows, "worst": worst}


def _plus(row: Sequence[float], requests: float, total: float, part: float) -> list[float]:
    """A replica's row with a pool in which it served so many requests of the arm's total."""
    served, few, few_squares, many, many_squares = row
    scale = 1 / math.sqrt(total * part * (1 - part))
    lacking = (LEAST * part * total - requests) * scale
    beyond = (requests - MOST * part * total) * scale if MOST * part < 1 else 0.0
    return [
        served + requests,
        few + lacking,
        few_squares + lacking * lacking,
        many + beyond,
        many_squares + beyond * beyond,
    ]


def fails(memory: Memory, alpha: float) -> bool:
    """Whether some replica is shown to get far less or far more than its part, wrongly with a chance of `alpha`."""
    log_e: float = memory["worst"][0]
    return log_e >= log(1 / alpha)


def verdict(memory: Memory) -> GateVerdict:
    """The failure in words, with the replica that it is due to."""
    log_e, arm, name = memory["worst"]
    rows = memory["rows"][arm]
    total = math.fsum(row[0] for row in rows.values())
    share, part = rows[name][0] / total if total else 0.0, 1 / len(rows)
    why = (
        f"traffic: replica {name} served {sentences.percent(share)} of the {sentences.many(total)} requests of the "
        f"{arm} arm, where {sentences.percent(part)} would be an even part; until its {len(rows)} replicas share the "
        f"traffic, nobody can say what the arm as a whole would do."
    )
    return GateVerdict(
        GATE,
        Answer.FAIL,
        why,
        canary=share if arm == "canary" else None,
        stable=share if arm == "stable" else None,
        limit=part * (LEAST if share < part else MOST),
        log_e=round(log_e, 4),
        samples={arm: total},
        spoke="sequential",
        on_breach="pause",
    )


def _worst(replicas: Rows, alpha: float) -> list[Any]:
    """Log evidence against the most suspect replica, less what it costs to have looked at all of them."""
    rows = [(arm, name, row) for arm, each in replicas.items() for name, row in each.items()]
    r = selfnormalised.tuning(alpha / max(2 * len(rows), 1))
    found = [
        (selfnormalised.log_mixture(total, squares, r), arm, name)
        for arm, name, row in rows
        for total, squares in (row[1:3], row[3:5])
        if squares > 0
    ]
    if not found:
        return [0.0, "stable", ""]
    log_e, arm, name = max(found)
    return [log_e - log(2 * len(rows)), arm, name]
