"""What a ModelCanary tells of its rollout's world. Pure; used by the dashboard of a cluster and by `kubectl canary`."""

from contextlib import suppress
from dataclasses import replace

from canary.rollout import Rollout
from canary.snapshot import RouteStatus, Snapshot
from canary.spec.models import CanarySpec
from canary.weights import WHOLE, Weights
from controlplane.kubernetes.api import Object
from controlplane.readmodel.rollout_view import view_of


def seen_of(object_: Object, spec: CanarySpec, rollout: Rollout) -> Snapshot:
    """The world as far as a ModelCanary's status tells: the weights that the operator saw."""
    seen = view_of(spec, rollout, None, rollout.since).seen
    told = str((object_.get("status") or {}).get("weightSeen") or "")
    with suppress(ValueError):
        weights = Weights(min(WHOLE, round(float(told.removesuffix("%").strip()) * WHOLE / 100)))
        return replace(seen, route=RouteStatus(rollout.since, weights))
    return seen
