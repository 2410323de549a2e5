"""What a rollout would know if nobody had been away: the evidence of the meantime, shown to the judge in its order.

Called by `controlplane.reconcile` when it takes up a rollout whose state is older than its numbers. The judge goes on
as if it had looked all the while; phases, weights and announcements stay for the next pass to decide. Pure.
"""

from collections.abc import Sequence

from canary.intake import take_in
from canary.observation import Counters, EvidenceSeen
from canary.rollout import FINISHED, Phase, Rollout
from canary.spec.models import CanarySpec


def rebuilt(spec: CanarySpec, rollout: Rollout, history: Sequence[Counters]) -> Rollout:
    """The rollout after these counters (oldest first); those that it knows already change nothing.

    A rollout that was not judged, because it had not begun or was over, is given back as it is.
    """
    known = rollout.judge.previous
    if rollout.phase in FINISHED | {Phase.PENDING} or known is None:
        return rollout
    for counters in history:
        if counters.at > known.at:
            evidence = EvidenceSeen(at=counters.at, counters=counters, problem=counters.problem)
            rollout, _ = take_in(spec, rollout, evidence, counters.at)
    return rollout
