"""The judge: PASS, FAIL or WAIT for every gate, from counts of both arms over the same time."""

from canary.judge.block import Block, PodBlock
from canary.judge.foresight import Heard
from canary.judge.judge import (
    ahead,
    begin,
    noise_floor,
    read,
    share_served,
    update,
    update_all,
    watch,
    weight_of_evidence,
    what_would_flip,
)
from canary.judge.state import JudgeState

__all__ = [
    "Block",
    "Heard",
    "JudgeState",
    "PodBlock",
    "ahead",
    "begin",
    "noise_floor",
    "read",
    "share_served",
    "update",
    "update_all",
    "watch",
    "weight_of_evidence",
    "what_would_flip",
]
