"""States worked out ahead, for many rollouts at once, until each of them is asked about.

Called by `judge.ahead`, which puts them here, and by `judge.watch`, which takes one only for the very same state and
totals, under the same plan, weights and stage. Decides nothing; forgetting all of it changes nothing.
"""

from dataclasses import dataclass

from canary.judge.state import JudgeState
from canary.observation import Counters
from canary.spec.models import CanarySpec
from canary.weights import Weights

MOST = 1024
"""Rollouts whose next state is kept."""


@dataclass(frozen=True, slots=True)
class Heard:
    """New totals of one rollout, with all that its judge needs to take them in."""

    spec: CanarySpec
    state: JudgeState
    counters: Counters
    stage: int
    weights: Weights
    stage_since: float | None
    """As `judge.watch` has it."""


_AHEAD: dict[int, tuple[Heard, JudgeState]] = {}


def foresee(heard: Heard, after: JudgeState) -> None:
    """Keep the state after what was heard."""
    if len(_AHEAD) > MOST:
        _AHEAD.clear()
    _AHEAD[id(heard.spec.stages)] = heard, after


def foreseen(heard: Heard) -> JudgeState | None:
    """The state after what was heard, if it was worked out ahead; once."""
    found = _AHEAD.get(id(heard.spec.stages))
    if found is None or not _same(found[0], heard):
        return None
    del _AHEAD[id(heard.spec.stages)]
    return found[1]


def _same(one: Heard, other: Heard) -> bool:
    """Whether both are about the very same objects; by their values they need not be compared."""
    return (
        one.state is other.state
        and one.counters is other.counters
        and one.spec is other.spec
        and (one.stage, one.weights, one.stage_since) == (other.stage, other.weights, other.stage_since)
    )
