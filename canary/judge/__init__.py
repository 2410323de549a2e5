"""The judge: PASS, FAIL or WAIT for every gate, from counts of both arms over the same time."""

from canary.judge.block import Block, PodBlock
from canary.judge.judge import begin, noise_floor, read, update, watch, weight_of_evidence, what_would_flip
from canary.judge.state import JudgeState

__all__ = [
    "Block",
    "JudgeState",
    "PodBlock",
    "begin",
    "noise_floor",
    "read",
    "update",
    "watch",
    "weight_of_evidence",
    "what_would_flip",
]
