"""The judge: PASS, FAIL or WAIT for every gate, from counts of both arms over the same time."""

from canary.judge.block import Block, PodBlock
from canary.judge.judge import begin, read, update, watch, weight_of_evidence
from canary.judge.state import JudgeState

__all__ = ["Block", "JudgeState", "PodBlock", "begin", "read", "update", "watch", "weight_of_evidence"]
