"""The judge: PASS, FAIL or WAIT for every gate, from counts of both arms over the same time."""

from canary.judge.analysis import Analysis
from canary.judge.config import JudgeConfig, compile_gates
from canary.judge.increments import Increments, ReplicaIncrements
from canary.judge.judge import (
    begin,
    clock_set,
    noise_floor,
    read,
    share_served,
    update,
    watch,
    weight_of_evidence,
    what_would_flip,
)
from canary.judge.state import JudgeState

__all__ = [
    "Analysis",
    "Increments",
    "JudgeConfig",
    "JudgeState",
    "ReplicaIncrements",
    "begin",
    "clock_set",
    "compile_gates",
    "noise_floor",
    "read",
    "share_served",
    "update",
    "watch",
    "weight_of_evidence",
    "what_would_flip",
]
