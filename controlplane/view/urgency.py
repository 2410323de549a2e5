"""Which rollouts may need somebody: the order of every list of them.

Called by the verbs that list rollouts, of a laptop and of a cluster. Reads the phase's name alone, so that a thousand
are sorted without understanding any plan.
"""

URGENT = {"RollingBack": 0, "Blind": 1, "Paused": 2, "AwaitingApproval": 2}
"""Phases that may need somebody, the most urgent first; the others follow, and what has ended comes last."""
ENDED = frozenset({"Succeeded", "RolledBack", "Superseded"})


def urgency(phase: str) -> int:
    """The place of a phase in a list, lower is more urgent."""
    return URGENT.get(phase, 9 if phase in ENDED else 5)
