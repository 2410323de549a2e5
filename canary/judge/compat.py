"""Whether a judge's state is one that this build can go on with. Called by `canary.catch_up`, at each taking up.

Builds meet in every upgrade: a leader of one release goes on with what a leader of another one wrote. `codec.py`
reads what it can; here it is tried out. Mends nothing.
"""

from canary.judge import judge
from canary.judge.codec import UNREADABLE
from canary.judge.config import JudgeConfig
from canary.judge.increments import Increments
from canary.judge.state import JudgeState


def can_go_on_with(config: JudgeConfig, state: JudgeState) -> bool:
    """Whether the state can be judged by; one that has seen nothing can."""
    memory = state.memory
    if state.unreadable or memory is None:
        return not state.unreadable
    known = memory.everything.gates.keys() - {guardrail.text for guardrail in config.guardrails}
    if memory.gates != config.texts or known != set(config.texts):
        return False
    stage, last = memory.clock.stage or 0, memory.clock.last
    try:
        _ = [verdict.why for verdict in judge.read(config, state, stage=stage, now=last).gates]
        judge.update(config, state, Increments(last, stage, 0.0, {}))
    except (*UNREADABLE, ArithmeticError):
        return False
    return True
