"""What the operator follows in the cluster: a cache and a reflector for each kind, and what each object is rid of.

Made by `operator.py`. Kinds without which nothing can be decided have to be read once before the first decision; the
others (nodes, which only explain; kinds whose CRD may not be there) come when they come.
"""

import asyncio
from dataclasses import dataclass, field

from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.reflector import Reflector, Slim, without_managed_fields
from controlplane.kubernetes.resources import MODEL_CANARY
from controlplane.ports import Clock

KSERVE_PODS = "serving.kserve.io/inferenceservice"
"""On every pod and Deployment that KServe makes for an InferenceService; others are none of our business."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True)
class Following:
    """Every cache with what fills it."""

    canaries: Cache
    caches: Caches
    reflectors: list[Reflector] = field(default_factory=list)
    needed: list[Reflector] = field(default_factory=list)
    """Those that have to be synced before anything is decided."""

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.reflectors:
                tasks.create_task(each.run(), name=f"{each.resource.plural} reflector")

    async def synced(self) -> None:
        """Return once everything that is needed was read."""
        for each in self.needed:
            await each.synced.wait()

    @property
    def missing(self) -> list[str]:
        """What is needed and was not read yet, one clause a kind."""
        return [
            each.problem or f"{each.resource.plural} have not been read yet"
            for each in self.needed
            if not each.synced.is_set()
        ]


def following(kube: Kube, namespace: str | None, clock: Clock) -> Following:
    """Caches of one namespace, or (None) of all of them; nothing is read yet."""
    canaries, caches = Cache(MODEL_CANARY), Caches()
    made = Following(canaries, caches)

    def follow(cache: Cache, *, needed: bool = True, labels: str = "", slim: Slim | None = None) -> None:
        place = namespace if cache.resource.namespaced else None
        reflector = Reflector(kube, cache.resource, cache, clock=clock, namespace=place, labels=labels, slim=slim)
        made.reflectors.append(reflector)
        if needed:
            made.needed.append(reflector)

    follow(canaries, slim=slim_canary)
    follow(caches.routes)
    follow(caches.services)
    follow(caches.runtimes)
    follow(caches.deployments, labels=KSERVE_PODS, slim=without_managed_fields)
    follow(caches.pods, labels=KSERVE_PODS, slim=slim_pod)
    follow(caches.cluster_runtimes, needed=False, slim=without_managed_fields)
    follow(caches.llm_services, needed=False)
    follow(caches.nodes, needed=False, slim=slim_node)
    return made


def slim_canary(object_: Object) -> Object:
    """A ModelCanary without what nobody here reads."""
    meta = object_["metadata"]
    meta.pop("managedFields", None)
    (meta.get("annotations") or {}).pop(LAST_APPLIED, None)
    return object_


def slim_pod(object_: Object) -> Object:
    """A pod without volumes and init containers' details."""
    without_managed_fields(object_)
    object_.get("spec", {}).pop("volumes", None)
    return object_


def slim_node(object_: Object) -> Object:
    """A node without its images and conditions, of which it has hundreds of lines."""
    without_managed_fields(object_)
    object_.get("status", {}).pop("images", None)
    return object_
