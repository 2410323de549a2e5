"""The verdicts given last for each plan, so that a pass over nothing new costs next to nothing.

Called by `judge.watch`: an operator asks about every rollout each second and whenever anything stirs, while totals come
every few seconds. A verdict is given again only where it would come out the same to the letter: same memory, same
question, and a time within which no sentence speaks of time. Decides nothing; forgetting all of it changes nothing.
"""

from collections.abc import Hashable
from dataclasses import dataclass

from canary.judge.facts import Memory
from canary.spec.models import CanarySpec, Stage
from canary.verdict import Judgement

MOST = 1024
"""Plans whose last verdicts are kept."""


@dataclass(frozen=True, slots=True)
class Given:
    """One judgement and what it was given for."""

    stages: tuple[Stage, ...]
    memory: Memory
    question: Hashable
    at: float
    until: float
    judgement: Judgement


_GIVEN: dict[int, Given] = {}


def given(spec: CanarySpec, memory: Memory, question: Hashable, now: float) -> Judgement | None:
    """The judgement that stands for this memory (the very object) and question; None if it has to be worked out."""
    last = _GIVEN.get(id(spec.stages))
    if last is None or last.memory is not memory or last.stages is not spec.stages or last.question != question:
        return None
    return last.judgement if last.at <= now <= last.until else None


def give(
    spec: CanarySpec, memory: Memory, question: Hashable, now: float, until: float | None, judgement: Judgement
) -> None:
    """Keep a judgement for as long as it would stay the same; None is not at all."""
    if len(_GIVEN) > MOST:
        _GIVEN.clear()
    if until is not None:
        _GIVEN[id(spec.stages)] = Given(spec.stages, memory, question, now, until, judgement)
