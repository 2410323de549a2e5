"""Which changes in the cluster are worth a look at which rollout, and which rollout is looked at before others.

Made by `operator.py`, called by the caches at every change. What one object holds decides about this object alone.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.kubernetes.names import ROLLOUT_LABEL
from controlplane.operator.finalizer import is_leaving
from controlplane.operator.operator_rollout import OperatorRollout
from controlplane.operator.request_annotations import requests_in


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


def is_urgent(canaries: Cache, charges: Mapping[Key, OperatorRollout], key: Key) -> bool:
    """Whether this rollout lowers traffic, or somebody wants it to."""
    charge = charges.get(key)
    return (charge is not None and charge.lowers) or wants_traffic_back(canaries.get(*key))


class Pokes:
    """Listens to caches, and pokes the rollouts that a change concerns."""

    def __init__(
        self,
        canaries: Cache,
        charges: Mapping[Key, OperatorRollout],
        poke: Callable[[Key], None],
        *,
        related: Iterable[Cache] = (),
        gateways: Cache | None = None,
    ) -> None:
        """`poke` lets a rollout be looked at soon.

        It is looked at whenever something with its label changes in one of the `related` caches, and all are whenever a
        Gateway came or went: any of them may hang on it.
        """
        self._charges, self._poke = charges, poke
        canaries.on_change(self._on_canary)
        for cache in related:
            cache.on_change(self._on_related)
        if gateways is not None:
            gateways.on_change(self._on_gateway)

    def touch(self, key: Key) -> None:
        """Something that this one stands on has changed: let it be compared, if it is under way."""
        if (charge := self._charges.get(key)) is not None:
            charge.changed = True
            self._poke(key)

    def _on_canary(self, before: Object | None, after: Object | None) -> None:
        object_ = after or before
        if object_ is not None and not is_only_ours(before, after):
            self._poke(key_of(object_))

    def _on_gateway(self, before: Object | None, after: Object | None) -> None:
        if before is None or after is None:
            for key in self._charges:
                self.touch(key)

    def _on_related(self, before: Object | None, after: Object | None) -> None:
        for key in rollouts_of(before, after):
            self.touch(key)
