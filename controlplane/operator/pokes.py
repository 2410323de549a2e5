"""Which changes in the cluster are worth a look at which rollout. Pure; asked by the roster at every change."""

from collections.abc import Iterator, Mapping

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Key
from controlplane.kubernetes.names import ROLLOUT_LABEL
from controlplane.operator.finalizer import is_leaving
from controlplane.operator.request import requests_in


def is_only_ours(before: Object | None, after: Object | None) -> bool:
    """Whether a change touched nothing but the status, which we write ourselves."""
    if before is None or after is None:
        return False
    old, new = before["metadata"], after["metadata"]
    same = ("generation", "deletionTimestamp", "annotations", "finalizers", "uid")
    return all(old.get(key) == new.get(key) for key in same)


def wants_traffic_back(object_: Object | None) -> bool:
    """Whether somebody deleted it or asks for an abort, so that it goes before others."""
    if object_ is None:
        return False
    return is_leaving(object_) or any(each and each.verb == "abort" for each in requests_in(object_).values())


def rollouts_of(*objects: Object | None) -> Iterator[Key]:
    """The rollouts whose label these objects have."""
    for object_ in objects:
        if object_ is not None:
            labels: Mapping[str, str] = object_["metadata"].get("labels") or {}
            if ROLLOUT_LABEL in labels:
                yield object_["metadata"].get("namespace", ""), labels[ROLLOUT_LABEL]
