"""What the judge knows and says at one pass, so that a pass over nothing new costs next to nothing.

Made by `judge.watch`, kept by whoever drives the rollout, and given back at the next pass: an operator asks about
every rollout each second and whenever anything stirs, while totals come every few seconds. A judgement is given again
only where it would come out the same to the letter. Decides nothing; without it every answer is the same.
"""

from dataclasses import dataclass

from canary.judge.state import JudgeState
from canary.verdict import Judgement

Question = tuple[int, float | None, str]
"""Stage, since when its weights have been in force, and what is wrong with the source."""


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the judge knows and says at one pass."""

    state: JudgeState
    judgement: Judgement
    question: Question
    """What was asked."""
    since: float
    """When this was answered."""
    until: float
    """Until when the judgement stays the same to the letter if nothing new is measured; minus infinity: it does not."""

    def still_holds(self, state: JudgeState, question: Question, now: float) -> bool:
        """Whether the judgement may be given again: the very same state, the same question, no sentence grown old."""
        return self.state is state and self.question == question and self.since <= now <= self.until
