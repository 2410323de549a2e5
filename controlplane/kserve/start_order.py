"""Stable's pods get their nodes before a canary is made, where both begin at once.

Asked by the platforms before they create a canary; they ask again at every pass. A scheduler gives a GPU to whoever
asks first, and a cluster with room for one of them must give it to the one that serves. A stable that serves already,
that is scaled to zero, or that somebody else runs holds nothing up. In mode `knative` the order is Knative's. Pure.
"""

from canary.spec.models import Variant
from controlplane.kserve.pods import leaving, ready_since
from controlplane.kserve.readiness import VariantObjects, replicas


def blocked_by_stable(stable: Variant, parts: VariantObjects | None) -> str:
    """Why it is not the canary's turn yet, as a clause; empty once it is. `parts`: None while stable is not there."""
    if parts is None:
        return f"waits until {stable.name} has been made"
    pods = [pod for pod in parts.pods if not leaving(pod)]
    if any(ready_since(pod) is not None for pod in pods):
        return ""
    wanted = min(stable.replicas, replicas(parts))
    placed = sum(bool((pod.get("spec") or {}).get("nodeName")) for pod in pods)
    return "" if placed >= wanted else f"waits until {stable.name} has its nodes: {placed} of {wanted} pods are on one"
