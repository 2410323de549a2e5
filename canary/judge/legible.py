"""Whether a judge's memory is one that this build can go on with. Called by `canary.rebuild`, at each taking up.

Builds meet in every upgrade: a leader of one release goes on with what a leader of another one wrote. A memory of
another layout is no evidence; judging by half of it would be worse than beginning anew. Mends nothing.
"""

from collections.abc import Mapping
from typing import Any

from canary.judge import judge
from canary.judge.block import Block
from canary.judge.config import JudgeConfig
from canary.judge.memory import fresh
from canary.judge.state import VERSION, JudgeState

UNREADABLE = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
"""How a memory of another layout shows itself."""


def legible(config: JudgeConfig, state: JudgeState) -> bool:
    """Whether the state can be judged by; one that has seen nothing can."""
    if not state.memory:
        return True
    if state.version != VERSION or not _has_all(state.memory, fresh(config)):
        return False
    try:
        if list(state.memory["gates"]) != list(config.texts):
            return False
        stage = int(state.memory["stage"] or 0)
        told = judge.read(config, state, stage=stage, now=float(state.memory["last"]))
        _ = [verdict.why for verdict in told.gates]  # what is said is worked out only when somebody reads it
        judge.update(config, state, Block(float(state.memory["last"]), stage, 0.0, {}))
    except UNREADABLE:
        return False
    return True


def _has_all(kept: Any, expected: Mapping[str, Any]) -> bool:
    """Whether everything that this build remembers is there, as deep as names go; more than that is no harm."""
    return isinstance(kept, Mapping) and all(
        name in kept and (not isinstance(inner, Mapping) or _has_all(kept[name], inner))
        for name, inner in expected.items()
    )
