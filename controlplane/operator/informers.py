"""What the operator follows in the cluster: a cache and a reflector for each kind, and what each object is rid of.

Made by `operator.py`. Kinds without which nothing can be decided have to be read once before the first decision; the
others (nodes, which only explain; kinds whose CRD may not be there) come when they come.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from canary.spec.resource import excess, without_spec
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.allowance import MOST_BYTES, outline
from controlplane.kubernetes.api import Kube, Object, Resource, Slim
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.names import ROLLOUT_LABEL
from controlplane.kubernetes.reflector import Reflector, without_managed_fields
from controlplane.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIME,
    DEPLOYMENT,
    GATEWAY,
    HTTP_ROUTE,
    KNATIVE_SERVICE,
    LLM_INFERENCE_SERVICE,
    MODEL_CANARY,
    NODE,
    POD,
)
from controlplane.operator.shape import shaped
from controlplane.operator.state import packed
from controlplane.ports import Clock

KSERVE_PODS = "serving.kserve.io/inferenceservice"
"""On every pod and Deployment that KServe makes for an InferenceService; others are none of our business."""
LLM_PODS = "app.kubernetes.io/part-of=llminferenceservice"
"""On every pod and Deployment that KServe makes for an LLMInferenceService."""
PATIENCE = 3.0
"""Seconds that a beginning waits for kinds without which most can be decided."""
LOOK = 0.05
NO_ROOM = (
    "is not read: the ModelCanaries of namespace {} take more memory than one namespace may have. It is read once "
    "others are deleted, or whoever runs the operator raises --namespace-memory"
)
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


WITHOUT: Mapping[Resource, str] = {
    HTTP_ROUTE: "Whether a route of another namespace has a host name already is not seen.",
    CLUSTER_SERVING_RUNTIME: "Runtimes of the whole cluster are taken as the plans name them.",
    NODE: "How many GPUs are free is not said.",
    LLM_INFERENCE_SERVICE: "Plans of mode llm wait.",
    DEPLOYMENT: "Plans of mode llm wait.",
    POD: "Plans of mode llm wait.",
    GATEWAY: "A Gateway that is deleted is noticed only when requests fail.",
    KNATIVE_SERVICE: "Whether Knative is there is seen by what comes of a plan.",
}
"""What is done without a kind that cannot be followed."""


@dataclass(frozen=True)
class Informers:
    """Every cache with what fills it."""

    canaries: Cache
    caches: Caches
    clock: Clock
    say: Callable[[str], None]
    """Hears of kinds that cannot be followed and that are done without."""
    reflectors: list[Reflector] = field(default_factory=list)
    needed: list[Reflector] = field(default_factory=list)
    """Those that have to be synced before anything is decided."""

    async def run(self) -> None:
        """Follow for ever."""
        async with asyncio.TaskGroup() as tasks:
            for each in self.reflectors:
                tasks.create_task(each.run(), name=f"{each.resource.plural} reflector")

    async def synced(self) -> None:
        """Return once everything that is needed was read, and the rest if that does not take long."""
        for each in self.needed:
            await each.synced.wait()
        others = [each for each in self.reflectors if each not in self.needed]
        loop = asyncio.get_running_loop()
        until = loop.time() + PATIENCE  # by a clock that nobody sets
        while loop.time() < until and not all(each.synced.is_set() or each.problem for each in others):
            await self.clock.sleep(LOOK)
        for each in others:
            if not each.synced.is_set():
                problem = each.problem or f"{each.resource.plural} have not been read yet"
                self.say(f"{problem}{'' if problem.endswith('.') else '.'} {WITHOUT[each.resource]}")

    @property
    def missing(self) -> list[str]:
        """What is needed and was not read yet, one clause a kind."""
        return [
            each.problem or f"{each.resource.plural} have not been read yet"
            for each in self.needed
            if not each.synced.is_set()
        ]


def following(
    kube: Kube,
    namespace: str | None,
    clock: Clock,
    say: Callable[[str], None] = lambda _: None,
    *,
    most: int = MOST_BYTES,
) -> Informers:
    """Caches of one namespace, or (None) of all of them; nothing is read yet. `most`: bytes of a namespace and kind."""
    canaries, caches = Cache(MODEL_CANARY, slim_canary, outlined=outlined_canary), Caches()
    made = Informers(canaries, caches, clock, say)

    def follow(
        cache: Cache, *, needed: bool = True, labels: str = "", slim: Slim | None = None, everywhere: bool = False
    ) -> None:
        cache.allowance.most = most
        place = namespace if cache.resource.namespaced and not everywhere else None
        reflector = Reflector(kube, cache.resource, cache, clock=clock, namespace=place, labels=labels, slim=slim)
        made.reflectors.append(reflector)
        if needed:
            made.needed.append(reflector)

    follow(canaries)
    follow(caches.routes)
    if namespace is not None:
        follow(caches.routes_elsewhere, needed=False, slim=slim_route, everywhere=True)
    follow(caches.services)
    follow(caches.runtimes)
    follow(caches.deployments, labels=KSERVE_PODS, slim=without_managed_fields)
    follow(caches.pods, labels=KSERVE_PODS, slim=slim_pod)
    follow(caches.cluster_runtimes, needed=False, slim=without_managed_fields)
    follow(caches.nodes, needed=False, slim=slim_node)
    follow(caches.llm_services, needed=False)
    follow(caches.llm_deployments, needed=False, labels=LLM_PODS, slim=without_managed_fields)
    follow(caches.llm_pods, needed=False, labels=LLM_PODS, slim=slim_pod)
    follow(caches.gateways, needed=False, slim=without_managed_fields, everywhere=True)
    follow(caches.knative_services, needed=False, labels=ROLLOUT_LABEL, slim=without_managed_fields)
    return made


def slim_canary(object_: Object) -> Object:
    """A ModelCanary without what nobody here reads, and with the state in its status packed."""
    meta = {name: value for name, value in object_["metadata"].items() if name != "managedFields"}
    if LAST_APPLIED in (annotations := meta.get("annotations") or {}):
        meta["annotations"] = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    slim = trimmed({**object_, "metadata": meta})
    if "state" in (status := slim.get("status") or {}):
        slim["status"] = {**status, "state": packed(status["state"])}
    return slim


def trimmed(object_: Object) -> Object:
    """A ModelCanary with its status in shape, and without a spec that is more than any plan can be."""
    clause = excess(object_)
    return shaped(without_spec(object_, [clause]) if clause else object_)


def outlined_canary(object_: Object) -> Object:
    """A ModelCanary whose namespace has no room for its spec: what it wants is not known, and what runs goes on."""
    status = {"status": object_["status"]} if "status" in object_ else {}
    return without_spec(outline(object_) | status, [NO_ROOM.format(object_["metadata"]["namespace"])])


def slim_route(object_: Object) -> Object:
    """A route of somebody else's, with what it claims of its Gateways."""
    meta, spec = object_["metadata"], object_.get("spec") or {}
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    claims = {key: spec[key] for key in ("hostnames", "parentRefs") if key in spec}
    rules = [{"matches": rule["matches"]} if "matches" in rule else {} for rule in spec.get("rules") or ()]
    return {
        **{key: object_[key] for key in ("apiVersion", "kind") if key in object_},
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": {**claims, **({"rules": rules} if rules else {})},
    }


def slim_pod(object_: Object) -> Object:
    """A pod without volumes and init containers' details."""
    return _without(without_managed_fields(object_), "spec", "volumes")


def slim_node(object_: Object) -> Object:
    """A node without its images and conditions, of which it has hundreds of lines."""
    return _without(without_managed_fields(object_), "status", "images")


def _without(object_: Object, half: str, field: str) -> Object:
    if field not in (inner := object_.get(half) or {}):
        return object_
    return {**object_, half: {name: value for name, value in inner.items() if name != field}}
