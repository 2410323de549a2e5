"""What somebody else changed of ours: said once in an Event with their name, then repaired or paused, as the plan says.

Asked by the controller after each pass. Repairing is no work of its own: every pass says where things should be.
"""

from canary.snapshot import OperatorRequest, request_id
from canary.spec.models import ModelCanary
from controlplane.kubernetes.api import Object
from controlplane.operator.events import Events
from controlplane.operator.operator_rollout import OperatorRollout

GUARD = "the drift guard"


def tell_drift(charge: OperatorRollout, object_: Object, events: Events, now: float) -> bool:
    """Say what is new, and ask for a pause where the plan wants a person to look first; True where anything changed."""
    if charge.over:
        return False
    found = frozenset(drift.sentence for drift in charge.found)
    new, changed = found - charge.drifts, found != charge.drifts
    charge.drifts = found
    for sentence in sorted(new):
        events.tell(object_, f"drift-{now:.0f}-{sentence}", "Warning", "Drift", sentence)
    if new and pauses(charge.task.plan):
        charge.ask(OperatorRequest(request_id("drift", now), "pause", GUARD, now))
    return changed


def pauses(plan: ModelCanary) -> bool:
    """Whether a person has to look at what was changed before the rollout goes on."""
    kserve = plan.spec.platform.kserve
    return kserve is not None and kserve.on_drift == "pause"
