"""The rollouts of a Kubernetes cluster: every ModelCanary that is watched, and what each person may see of them.

Opened by `serinus dashboard --cluster` and `kubectl canary dashboard`. One watch serves everybody. With the kubeconfig
of one person the API server itself says no where they may not; where many people come with tokens of their own,
`rights.py` asks it for each of them. A rollout is addressed as `namespace~name`.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.errors import ExternalError
from canary.rollout import Rollout
from canary.spec.models import CanarySpec
from controlplane.api.door import Person
from controlplane.api.places import VERBS
from controlplane.api.pods import Pods
from controlplane.api.problem import HttpProblem
from controlplane.api.rights import Rights, kept
from controlplane.api.shelf import Shelf
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Cache, Key, key_of
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.operator.informers import outlined_canary, trimmed
from controlplane.ports import Clock
from controlplane.readmodel.cluster import seen_of
from controlplane.readmodel.operators import Office
from controlplane.readmodel.panels_cluster import cluster_facts
from controlplane.readmodel.promql import cluster_graphs
from controlplane.readmodel.rollout_view import LIVE, RolloutView, Staleness

ASKABLE = (*VERBS, "retry")
"""What the operator can be asked for."""
NOBODY = "No operator seems to run: the request waits until one does."
NOT_SEEN = "No operator has looked at it yet."
_ID = re.compile(r"([a-z0-9][a-z0-9-]{0,62})~([a-z0-9][a-z0-9.-]{0,252})")


@dataclass(frozen=True, slots=True)
class ClusterPlace:
    """A ModelCanary with a rollout. Implements `places.RolloutHandle`."""

    id: str
    name: str
    namespace: str
    store: Shelf
    cluster: "Cluster"
    pods: bool = False
    """Whether its pods are shown: not in the list, and only to people who may list them."""
    folder: Path | None = None
    """Always None: nothing of it lies on this machine."""

    def view(self, spec: CanarySpec, rollout: Rollout, now: float) -> RolloutView:
        """The record, with the weights that the operator saw; readiness is no part of it."""
        object_ = self.cluster.canaries.get(self.namespace, self.name) or {}
        told = self.cluster.office.told
        running = told.running is not False
        pods, unseen = self.cluster.pods.of(self.namespace, self.name, spec, now) if self.pods else (None, "")
        return RolloutView(
            rollout,
            seen_of(object_, spec, rollout),
            running=running and not rollout.finished,
            looked_at=None,
            counted=False,
            of_record=True,
            carrier=told.sentence,
            nobody=NOBODY,
            retries=True,
            lost=self.cluster.lost(),
            graphs=cluster_graphs(spec, self.namespace, self.name, self.cluster.prometheus),
            facts=cluster_facts(object_, rollout, pods, unseen),
        )

    def samples(self, attempt: int) -> Sequence[Mapping[str, Any]]:
        """None are kept: values over time are those of the events."""
        return ()

    async def news(self, seconds: float) -> None:
        """See `places.RolloutHandle`: the watch rings."""
        await self.cluster.news((self.namespace, self.name), seconds)


class Cluster:
    """All ModelCanaries that are followed. Implements `places.Sources`."""

    counted = None
    """The operator's own `/metrics` counts them."""

    def __init__(
        self,
        kube: Kube,
        clock: Clock,
        *,
        where: str,
        namespace: str | None = None,
        office: str | None = None,
        rights: Rights | None = None,
        prometheus: str = "",
    ) -> None:
        """`where`: what to call it; `namespace`: the only one that is followed; `office`: the operator's own.

        `rights`: what each person may; None where everybody who comes is the person of the connection.
        `prometheus`: where browsers find its page; else the addresses in the plans are taken.
        """
        self.where = where
        self.canaries = Cache(MODEL_CANARY, trimmed, outlined=outlined_canary)
        self.office = Office(kube, clock, office)
        self.pods = Pods(kube, clock, namespace)
        self.rights = rights
        self.prometheus = prometheus
        self.namespace = namespace
        self._kube, self._clock = kube, clock
        self._reflector = Reflector(kube, MODEL_CANARY, self.canaries, clock=clock, namespace=namespace)
        self._shelves: dict[str, Shelf] = {}
        self._bells: dict[Key, asyncio.Event] = {}
        self.canaries.on_change(self._ring)

    async def run(self) -> None:
        """Follow for ever; ends by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._reflector.run(), name="watch of ModelCanaries")
            tasks.create_task(self.office.run(), name="look at the operator's Lease")
            tasks.create_task(self.pods.run(), name="watch of pods")

    async def synced(self) -> None:
        """Wait until everything was listed once."""
        await self._reflector.synced.wait()

    async def unready(self) -> str:
        """See `places.Sources`. Once everything was listed it stays ready: a page with a banner is better than none."""
        if self._reflector.synced.is_set():
            return ""
        return f"The ModelCanaries were not listed yet. {self._reflector.problem}".strip()

    def seen_by(self, person: Person) -> "SeenBy":
        """See `places.Sources`."""
        return SeenBy(self, person)

    def lost(self) -> Staleness:
        """See `places.Sources`: whether the API server can be asked."""
        problem = self._reflector.problem or self.office.problem
        if not problem:
            return LIVE
        since = self.office.heard_at if self.office.problem else self._reflector.heard_at
        return Staleness(f"Not live: {problem.rstrip('.')}. It is tried again.", since)

    def place(self, object_: Object, *, pods: bool = False) -> ClusterPlace:
        """The place of a ModelCanary, with its pods or without."""
        namespace, name = key_of(object_)
        shelf = self._shelves.get(namespace)
        if shelf is None:
            shelf = self._shelves[namespace] = Shelf(self._kube, self.canaries, namespace, self._clock)
        return ClusterPlace(f"{namespace}~{name}", name, namespace, shelf, self, pods)

    async def news(self, key: Key, seconds: float) -> None:
        """Return when this ModelCanary has changed, and after so many seconds in any case."""
        bell = self._bells.setdefault(key, asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await bell.wait()
        bell.clear()

    def _ring(self, before: Object | None, after: Object | None) -> None:
        key = key_of(after or before or {})
        if key in self._bells:
            self._bells[key].set()
            if after is None:
                del self._bells[key]


class SeenBy:
    """What one person sees of a cluster. Implements `places.Source`."""

    def __init__(self, cluster: Cluster, person: Person) -> None:
        self._cluster, self._person = cluster, person

    async def places(self) -> tuple[list[ClusterPlace], Mapping[str, str]]:
        """The rollouts of namespaces that this person may list; and what is wrong with ModelCanaries there."""
        found: list[ClusterPlace] = []
        problems: dict[str, str] = {}
        allowed = await self._namespaces()
        for object_ in sorted(self._cluster.canaries.items(), key=key_of):
            namespace, name = key_of(object_)
            if namespace not in allowed:
                continue
            place = self._cluster.place(object_)
            try:
                if await place.store.load(name) is not None:
                    found.append(place)
            except ExternalError as error:
                problems[f"{namespace}/{name}"] = str(error)
                continue
            if wrong := _wrong(object_):
                problems[f"{namespace}/{name}"] = wrong
        return found, problems

    async def find(self, id_: str, to: str = "get") -> ClusterPlace:
        """See `places.Source`. Who may not see a namespace is not told whether anything is there."""
        parts = _ID.fullmatch(id_)
        if parts is None:
            raise _NO_SUCH
        namespace, name = parts[1], parts[2]
        if self._cluster.rights is not None:
            await self._cluster.rights.demand(self._person, to, namespace, name)
        object_ = self._cluster.canaries.get(namespace, name)
        if object_ is None:
            raise _NO_SUCH
        place = self._cluster.place(object_, pods=await self._sees_pods(namespace))
        if await place.store.load(name) is None:
            raise HttpProblem(
                404, "No rollout yet", f"ModelCanary {name} has no rollout: {_wrong(object_) or NOT_SEEN}"
            )
        return place

    async def may(self, place: Any) -> Sequence[str]:
        """See `places.Source`; with a kubeconfig the API server answers when it is asked for."""
        rights = self._cluster.rights
        return ASKABLE if rights is None else await rights.verbs(self._person, place.namespace, place.name, ASKABLE)

    def kept(self, place: Any, messages: AsyncGenerator[bytes]) -> AsyncIterator[bytes]:
        """See `places.Source`."""
        rights = self._cluster.rights
        if rights is None:
            return messages

        async def demand() -> None:
            await rights.demand(self._person, "watch", place.namespace, place.name)
            if place.pods and not await self._sees_pods(place.namespace):
                raise HttpProblem(403, "Not allowed", "You may not list pods here any more.")

        return kept(messages, demand)

    async def _sees_pods(self, namespace: str) -> bool:
        rights = self._cluster.rights
        return rights is None or await rights.sees_pods(self._person, namespace)

    async def _namespaces(self) -> set[str]:
        there = {key_of(each)[0] for each in self._cluster.canaries.items()}
        rights = self._cluster.rights
        return there if rights is None else await rights.namespaces(self._person, there)


_NO_SUCH = HttpProblem(404, "No such rollout", "There is no rollout of this name here. The list shows those there are.")


def _wrong(object_: Object) -> str:
    """What people should know of a ModelCanary that no rollout tells; empty where all is said."""
    status = object_.get("status") or {}
    conditions = status.get("conditions") or ()
    refused = next((c for c in conditions if c.get("type") == "Accepted" and c.get("status") == "False"), None)
    if refused is not None:
        return f"The spec as it is now is not carried out: {refused.get('message', 'it was not accepted.')}"
    queued = next((c for c in conditions if c.get("type") == "Queued" and c.get("status") == "True"), None)
    if queued is not None:
        return str(queued.get("message", "It waits for others of its namespace."))
    return "" if conditions or status else NOT_SEEN
