"""Does every replica of an arm get its part of the arm's traffic? Tested in sequence, replica by replica.

An arm whose requests all end up on one of four replicas is not what its owner rolls out: a comparison then judges that
one replica, and the next burst finds the others cold. Balancers rightly send slow replicas less, so less than a third
of an even part, or more than three times as much, is what counts as a fault, after ten minutes or so. Called by
`judge.py`; a fault pauses the rollout. Not used where what counts is a proxy before the servers, nor for an arm of one.
"""

import math
from collections.abc import Mapping
from typing import Any

from canary.judge import selfnormalised, sentences
from canary.judge.block import PodBlock
from canary.verdict import Answer, GateVerdict
from canary.weights import Arm

Memory = dict[str, Any]
Rows = dict[Arm, dict[str, list[float]]]
GATE = "traffic spread over replicas"
LEAST, MOST = 1 / 3, 3.0
"""Part of an even share that a replica may get."""
POOL_SECONDS = 30.0
"""Blocks are put together for so long: sixteen to twenty-four pools have to agree, which takes ten minutes or so."""
FORGET = 4
"""After a failure, so many pools in a row in which all are within their bounds end it."""
REPLICAS = 64
"""Arms with more are not looked at: one of so many says little about the arm, and the state stays small."""
NOTHING: Memory = {"since": 0.0, "fine": 0, "arms": {}, "worst": [0.0, "stable", ""]}
"""`arms`: by arm and replica the requests of this pool, those of all time, and the sums and squares of too few and of
too many. `worst`: the log evidence against the most suspect replica, its arm and its name."""


def look(
    memory: Memory, arms: Mapping[Arm, Mapping[str, PodBlock]], alpha: float, *, t: float, length: float
) -> Memory:
    """After a block of so many seconds that ends at `t` and counts the same replicas as the one before."""
    kept: Rows = memory["arms"]
    after: Rows = {}
    for arm, pods in arms.items():
        if 2 <= len(pods) <= REPLICAS and all(pod.requests is not None for pod in pods.values()):
            rows = kept.get(arm, {})
            rows = rows if rows.keys() == pods.keys() else {}
            after[arm] = {}
            for name, pod in pods.items():
                pool, total, *tests = rows.get(name) or [0.0] * 6
                after[arm][name] = [pool + (pod.requests or 0.0), total + (pod.requests or 0.0), *tests]
    since = memory["since"] or t - length
    since = min(since, t)  # the clock may have been set back
    if t - since < POOL_SECONDS:
        return {**memory, "since": since, "arms": after}
    within = [_taken_in(rows) for rows in after.values()]
    fine = memory["fine"] + 1 if all(within) else 0
    worst = _worst(after, alpha)
    if fine >= FORGET and worst[0] >= math.log(1 / alpha):
        after = {arm: {name: [0.0, row[1], *[0.0] * 4] for name, row in rows.items()} for arm, rows in after.items()}
        worst = _worst(after, alpha)
    return {"since": t, "fine": fine, "arms": after, "worst": worst}


def fails(memory: Memory, alpha: float) -> bool:
    """Whether some replica is shown to get far less or far more than its part, wrongly with a chance of `alpha`."""
    log_e: float = memory["worst"][0]
    return log_e >= math.log(1 / alpha)


def verdict(memory: Memory) -> GateVerdict:
    """The failure in words, with the replica that it is due to."""
    log_e, arm, name = memory["worst"]
    rows = memory["arms"][arm]
    total = sum(row[1] for row in rows.values())
    share, part = rows[name][1] / total if total else 0.0, 1 / len(rows)
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


def _taken_in(rows: dict[str, list[float]]) -> bool:
    """Test a pool, if it holds enough, and begin the next; whether all replicas were within their bounds."""
    total, part = sum(row[0] for row in rows.values()), 1 / len(rows)
    if total * part * (1 - part) < selfnormalised.ENOUGH:
        return True  # and the pool goes on
    scale, fine = 1 / math.sqrt(total * part * (1 - part)), True
    for name, (pool, served, few, few_squares, many, many_squares) in rows.items():
        lacking = (LEAST * part * total - pool) * scale
        beyond = (pool - MOST * part * total) * scale if MOST * part < 1 else 0.0
        fine = fine and lacking <= 0 and beyond <= 0
        rows[name] = [
            0.0,
            served,
            few + lacking,
            few_squares + lacking * lacking,
            many + beyond,
            many_squares + beyond * beyond,
        ]
    return fine


def _worst(arms: Rows, alpha: float) -> list[Any]:
    """Log evidence against the most suspect replica, less what it costs to have looked at all of them."""
    rows = [(arm, name, row) for arm, replicas in arms.items() for name, row in replicas.items()]
    r = selfnormalised.tuning(alpha / max(2 * len(rows), 1))
    found = [
        (selfnormalised.log_mixture(total, squares, r), arm, name)
        for arm, name, row in rows
        for total, squares in (row[2:4], row[4:6])
        if squares > 0
    ]
    if not found:
        return [0.0, "stable", ""]
    log_e, arm, name = max(found)
    return [log_e - math.log(2 * len(rows)), arm, name]
