"""What this package knows of a cluster without asking: one cache for each kind, and pods by what they belong to.

Filled by the operator's reflectors (and by tests), read by the platforms. A platform only looks here, so a look costs
no request and two hundred rollouts may look every second.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIME,
    DEPLOYMENT,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    LLM_INFERENCE_SERVICE,
    NODE,
    POD,
    SERVING_RUNTIME,
)

APP_LABEL = "app"
"""On pods of KServe's standard mode: `isvc.<Deployment>`."""
REVISION_LABEL = "serving.knative.dev/revision"
"""On pods of Knative: the revision's name."""
LLM_LABEL = "app.kubernetes.io/name"
"""On pods of an LLMInferenceService: its name."""


async def reread(kube: Kube, cache: Cache, namespace: str) -> None:
    """Ask the API server for what the cache has of a namespace, for one look at which a cache must not be behind."""
    listing = await kube.list(cache.resource, namespace)
    for each in listing.items:
        cache.put(each)


class PodIndex:
    """Pods by the value of one label, kept up to date by the cache's own changes."""

    def __init__(self, pods: Cache, label: str) -> None:
        self._label = label
        self._groups: dict[tuple[str, str], dict[str, Object]] = {}
        for pod in pods.items():
            self._note(None, pod)
        pods.on_change(self._note)

    def of(self, namespace: str, value: str) -> Iterator[Object]:
        """The pods of one namespace whose label has this value."""
        yield from list(self._groups.get((namespace, value), {}).values())

    def _note(self, before: Object | None, after: Object | None) -> None:
        if before is not None and (group := self._group(before)) in self._groups:
            self._groups[group].pop(before["metadata"]["name"], None)
            if not self._groups[group]:
                del self._groups[group]
        if after is not None and (group := self._group(after))[1]:
            self._groups.setdefault(group, {})[after["metadata"]["name"]] = after

    def _group(self, pod: Object) -> tuple[str, str]:
        meta = pod["metadata"]
        return meta.get("namespace", ""), (meta.get("labels") or {}).get(self._label, "")


@dataclass(frozen=True)
class Caches:
    """One cache for each kind that the platforms read; a kind that the cluster does not have stays empty."""

    services: Cache = field(default_factory=lambda: Cache(INFERENCE_SERVICE))
    deployments: Cache = field(default_factory=lambda: Cache(DEPLOYMENT))
    pods: Cache = field(default_factory=lambda: Cache(POD))
    runtimes: Cache = field(default_factory=lambda: Cache(SERVING_RUNTIME))
    cluster_runtimes: Cache = field(default_factory=lambda: Cache(CLUSTER_SERVING_RUNTIME))
    routes: Cache = field(default_factory=lambda: Cache(HTTP_ROUTE))
    routes_elsewhere: Cache = field(default_factory=lambda: Cache(HTTP_ROUTE))
    """Of all namespaces, where `routes` are those of one: only what they claim of their Gateways."""
    nodes: Cache = field(default_factory=lambda: Cache(NODE))
    llm_services: Cache = field(default_factory=lambda: Cache(LLM_INFERENCE_SERVICE))
    llm_deployments: Cache = field(default_factory=lambda: Cache(DEPLOYMENT))
    """Those of LLMInferenceServices, which no label has in common with the others."""
    llm_pods: Cache = field(default_factory=lambda: Cache(POD))
    gateways: Cache = field(default_factory=lambda: Cache(GATEWAY))
    """Of all namespaces, where they may be read."""
    knative_services: Cache = field(default_factory=lambda: Cache(KNATIVE_SERVICE))
    """Only for whether the cluster has the kind."""

    def all(self) -> tuple[Cache, ...]:
        """Every cache, for whoever fills them."""
        return (
            self.services,
            self.deployments,
            self.pods,
            self.runtimes,
            self.cluster_runtimes,
            self.routes,
            self.routes_elsewhere,
            self.nodes,
            self.llm_services,
            self.llm_deployments,
            self.llm_pods,
            self.gateways,
            self.knative_services,
        )

    def runtime(self, namespace: str, name: str) -> Object | None:
        """The ServingRuntime of this name, the namespace's own before the cluster's, as KServe chooses it."""
        return self.runtimes.get(namespace, name) or self.cluster_runtimes.get("", name)

    @cached_property
    def pods_of_apps(self) -> PodIndex:
        """Pods of KServe's standard mode by `isvc.<Deployment>`."""
        return PodIndex(self.pods, APP_LABEL)

    @cached_property
    def pods_of_revisions(self) -> PodIndex:
        """Pods of Knative by revision."""
        return PodIndex(self.pods, REVISION_LABEL)

    @cached_property
    def pods_of_llms(self) -> PodIndex:
        """Pods of LLMInferenceServices by their service."""
        return PodIndex(self.llm_pods, LLM_LABEL)
