"""Judges seeded random blocks and prints every number of the states to the last bit; run by `test_portable_math.py`.

Blocks are drawn by whole numbers alone, so that they are the same everywhere. Beside the states stand what this process
makes of the C library's functions and of numpy's, which are not: they show whether a switch has done anything.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from canary import judge
from canary.judge import Increments, JudgeState, ReplicaIncrements
from canary.spec.models import Gate
from canary.weights import Arm
from tests.canary.judge.worlds import BOUNDS, CONVERSION, ERRORS_LIKE_STABLE, EVERY_KIND, FAST, IN_POINTS, plan

LATE = CONVERSION.model_copy(update={"text": "conversion drop <= 1% after 40s", "delay": 40.0})
BY_TENANT = ERRORS_LIKE_STABLE.model_copy(update={"text": f"{ERRORS_LIKE_STABLE.text} by tenant", "by": "tenant"})
COUNTED = FAST.model_copy(update={"text": "latency p95 <= 250ms (counted)", "test": "threshold", "failures": 3})
PLANS: Sequence[tuple[Gate, ...]] = (
    EVERY_KIND,
    (IN_POINTS, LATE),
    (BY_TENANT, COUNTED),
)
BLOCKS = 150


def states() -> dict[str, Any]:
    """The last state of each plan with one and with two stable replicas, healthy and harmed."""
    found = {}
    for number, gates in enumerate(PLANS):
        for replicas in (1, 2):
            for harm in (1, 2):
                random = Random(f"{number} {replicas} {harm}")
                config = judge.compile_gates(plan(*gates, shares=(0.25, 0.5, 1.0), hardStop={"enabled": False}))
                state = judge.begin(config)
                for k in range(-20, BLOCKS):
                    state = judge.update(config, state, next_block(random, k, replicas, harm if k > BLOCKS // 2 else 1))
                    judge.read(config, state, stage=max(stage_of(k), 0), now=float(k))
                found[f"{number} {replicas} {harm}"] = exact(TypeAdapter(JudgeState).dump_python(state))
    return found


def stage_of(k: int) -> int:
    """The stage of a block."""
    return 0 if k < BLOCKS // 3 else 1


def exact(value: Any) -> Any:
    """The same with every float to the last bit."""
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, Mapping):
        return {str(key): exact(inner) for key, inner in value.items()}
    return [exact(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def next_block(random: Random, k: int, replicas: int, harm: int) -> Increments:
    arms: dict[Arm, dict[str, ReplicaIncrements]] = {
        "stable": {f"s-{i}": _pod(random, 300, 1) for i in range(replicas)}
    }
    if k >= 0:
        arms["canary"] = {"c-0": _pod(random, 120, harm)}
    return Increments(
        float(k), stage_of(k), (0.25, 0.5)[stage_of(k)] if k >= 0 else 0.0, arms, {}, {"tenant": {"a": arms}}
    )


def _pod(random: Random, requests: int, harm: int) -> ReplicaIncrements:
    n = random.randrange(requests // 2, requests)
    errors = min(sum(random.randrange(50) < harm for _ in range(n)), n)
    slow = [0] * len(BOUNDS)
    for _ in range(n):
        slow[min(random.randrange(3, 7) + random.randrange(3) * random.randrange(2) * harm, len(BOUNDS) - 1)] += 1
    below = [float(sum(slow[: i + 1])) for i in range(len(BOUNDS))]
    histogram = dict(zip((*BOUNDS, math.inf), (*below, float(n)), strict=True))
    sold = sum(random.randrange(5) < 1 for _ in range(n))
    return ReplicaIncrements(
        float(n), float(errors), {"latency": histogram}, kpis={"conversion": (float(sold), float(n))}
    )


def elsewhere() -> dict[str, str]:
    """What the C library and numpy answer here, to the last bit."""
    numbers = [k / 7 for k in range(1, 20_000)]
    libm = [math.exp(-each / 100) + math.log(each) + math.log1p(each) + each**0.37 for each in numbers]
    return {"libm": _digest(libm), "numpy": _digest((np.exp(-np.array(numbers) / 100) + np.log(numbers)).tolist())}


def _digest(numbers: list[float]) -> str:
    return hashlib.sha256(" ".join(each.hex() for each in numbers).encode()).hexdigest()


if __name__ == "__main__":
    print(json.dumps({"states": states(), "elsewhere": elsewhere()}))  # noqa: T201 - read by the test
