"""What a gate's verdict rests on, in plain numbers: kept beside its values until somebody wants the sentence.

Made by `verdicts.py`; put into words by `messages.py`. Decides nothing.
"""

from typing import NamedTuple

from canary.judge import messages
from canary.judge.config import GateConfig
from canary.judge.outcome import GateFinding
from canary.verdict import GateVerdict


class GateGrounds(NamedTuple):
    """The numbers of a sentence that are not in the verdict itself."""

    finding: GateFinding
    gate: GateConfig
    log_e: float = 0.0
    """Log evidence against the canary, unrounded."""
    needed: float = 0.0
    """Log evidence that is enough to fail."""
    confidence: float = 0.0
    more: float | None = None
    """Canary samples that are missing; None where that is not known."""
    seconds: float = 0.0
    """How long something has lasted, or is still to last; infinite where it has not begun."""
    since: tuple[float, float, float, float] | None = None
    """Bad events and trials since the harm began, the canary's and then stable's; None where they mean nothing."""
    bound: float = 0.0
    """Upper bound in seconds beyond which a request counts as slow."""
    beyond: bool = False
    """Whether the canary's value is on the wrong side of the limit."""
    idle: bool = False
    """Whether the canary gets next to no requests now."""
    buckets: tuple[float, float] | None = None
    """Bounds in seconds around a limit that lies between two."""
    learnt: float = 0.0
    """Stable requests of which it is known how long they took."""
    readings: int = 0
    breaches: int = 0
    problems: tuple[str, ...] = ()
    """What could not be read, a clause each."""
    spent: tuple[float, float] | None = None
    """For a gate on cost: its values by what canary and stable were really charged, idle time and all."""
    label: str = ""
    """For the worst segment of a gate with `by`: that label."""
    segments: int = 0
    """How many segments the gate has, besides all traffic together."""
    besides: int | None = 0
    """How many populations wait besides this one; None where all pass."""

    def in_words(self, verdict: GateVerdict) -> str:
        """The verdict's sentence."""
        return messages.why(verdict, self)
