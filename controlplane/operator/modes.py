"""How each of KServe's ways of serving is carried out: its adapters, what counts its requests, what it needs.

One table, read by `cluster_environments.py`. What a cluster lacks is said before anything is made of a plan.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from canary.spec.cluster import TELLING_APART
from canary.spec.metrics import did_you_mean
from canary.spec.models import KServePlatform, ModelCanary
from canary.weights import Arm
from controlplane.gateway.claims import Claims
from controlplane.gateway.route import gateway_of, host_of
from controlplane.gateway.router import GatewayRouter
from controlplane.kserve.caches import Caches
from controlplane.kserve.knative import KnativePlatform, KnativeRouter
from controlplane.kserve.knative_service import service_of
from controlplane.kserve.llm import LlmPlatform
from controlplane.kserve.llm_router import LlmRouter
from controlplane.kserve.llm_service import llm_name, llm_service
from controlplane.kserve.native import NativePlatform, NativeRouter
from controlplane.kserve.native_service import workload
from controlplane.kserve.standard import KServeStandard
from controlplane.kubernetes.api import Kube
from controlplane.kubernetes.cache import Cache
from controlplane.kubernetes.names import service_name
from controlplane.operator.environment import MissingDependency
from controlplane.operator.environments import ClusterSite, GatewayApiEnvironment, KServeRoutedEnvironment
from controlplane.ports import Clock, MetricSource
from profiles.catalogue import Catalogue

REFUSED = "{}. Nobody is served through it, and the rollout waits. Both variants run on."
LOST = "Gateway {} does not exist: nobody is served through it, and the rollout waits. Both variants run on."


@dataclass(frozen=True, slots=True)
class AdapterDeps:
    """What the adapters of a rollout stand on."""

    kube: Kube
    caches: Caches
    clock: Clock
    namespace: str
    metrics: MetricSource
    known: Catalogue
    """GPUs, models and quantizations."""
    close: Callable[[], None]
    """Lets go of the rollout's numbers."""
    claims: Claims
    """Who has which host name."""


@dataclass(frozen=True, slots=True)
class RequiredKind:
    """A kind that a mode cannot do without."""

    cache: Callable[[Caches], Cache]
    what: str


@dataclass(frozen=True, slots=True)
class Mode:
    """One way of serving."""

    make: Callable[[AdapterDeps, ModelCanary], ClusterSite]
    profiles: Sequence[str]
    """Metrics profiles that tell its variants apart, the best witness first."""
    default: str
    """The profile that is taken where nobody can say what there is."""
    needs: Sequence[RequiredKind]


def of_platform(platform: KServePlatform, caches: Caches) -> Mode:
    """The mode of a plan. Raises `MissingDependency` where the cluster lacks a kind that it needs."""
    mode = MODES[platform.mode]
    for each in mode.needs:
        if each.cache(caches).missing:
            raise MissingDependency(
                f"spec.platform.kserve.mode: {platform.mode} needs {each.what}, which this cluster does not have; "
                "the rollout begins once it is installed."
            )
    return mode


def check_runtimes(plan: ModelCanary, caches: Caches, namespace: str) -> None:
    """Raise `MissingDependency` for a runtime that a variant names and that is nowhere, before
    anything is made of the variant.
    """
    known = (caches.runtimes, caches.cluster_runtimes)
    if not all(cache.synced for cache in known):
        return
    for role, variant, service in (
        ("stable", plan.spec.stable, service_name(plan.metadata.name, plan.spec.stable.name)),
        ("canary", plan.spec.canary, service_name(plan.metadata.name, plan.spec.canary.name)),
    ):
        name = variant.runtime
        if name is None or caches.runtime(namespace, name) or caches.services.get(namespace, service):
            continue
        there = [
            each["metadata"]["name"] for each in (*caches.runtimes.items(namespace), *caches.cluster_runtimes.items())
        ]
        hint = did_you_mean(name, there) or "."
        raise MissingDependency(
            f"spec.{role}.runtime: no ServingRuntime {name} is in {namespace}, and no ClusterServingRuntime has that "
            f"name{hint} The rollout begins once there is one."
        )


def _standard(ground: AdapterDeps, plan: ModelCanary) -> GatewayApiEnvironment:
    kube, caches, clock, namespace = ground.kube, ground.caches, ground.clock, ground.namespace
    router = GatewayRouter(
        kube,
        caches.routes,
        plan,
        namespace=namespace,
        clock=clock,
        gateways=None if caches.gateways.missing else caches.gateways,
        claims=ground.claims,
    )

    def platform(may_stop: Callable[[Arm], bool]) -> KServeStandard:
        return KServeStandard(
            kube, caches, plan, namespace=namespace, now=clock.now, may_stop=may_stop, known=ground.known
        )

    def troubles() -> Iterator[str]:
        there = not caches.gateways.synced or caches.gateways.missing or caches.gateways.get(*gateway) is not None
        if not there:
            yield LOST.format("/".join(gateway))
        elif why := router.refused():
            yield REFUSED.format(why)
        if other := router.contest():
            yield other

    gateway = gateway_of(plan, namespace)
    if taken := ground.claims.refusal((namespace, plan.metadata.name), gateway, host_of(plan)):
        raise MissingDependency(taken)
    return GatewayApiEnvironment(platform, router, ground.metrics, plan, ground.close, troubles)


def _knative(ground: AdapterDeps, plan: ModelCanary) -> KServeRoutedEnvironment:
    kube, caches, clock, namespace = ground.kube, ground.caches, ground.clock, ground.namespace
    platform = KnativePlatform(kube, caches, plan, namespace=namespace, clock=clock, known=ground.known)
    router = KnativeRouter(kube, caches, plan, namespace=namespace, clock=clock)
    return KServeRoutedEnvironment(lambda _: platform, router, ground.metrics, partial(_revisions, plan), ground.close)


def _native(ground: AdapterDeps, plan: ModelCanary) -> KServeRoutedEnvironment:
    kube, caches, clock, namespace = ground.kube, ground.caches, ground.clock, ground.namespace
    platform = NativePlatform(kube, caches, plan, namespace=namespace, now=clock.now, known=ground.known)
    router = NativeRouter(kube, caches, plan, namespace=namespace, clock=clock)
    servers: Mapping[Arm, str] = {
        "stable": workload(service_of(plan), plan.spec.stable),
        "canary": workload(service_of(plan), plan.spec.canary),
    }
    return KServeRoutedEnvironment(lambda _: platform, router, ground.metrics, lambda _: servers, ground.close)


def _llm(ground: AdapterDeps, plan: ModelCanary) -> KServeRoutedEnvironment:
    kube, caches, clock, namespace = ground.kube, ground.caches, ground.clock, ground.namespace
    for variant in (plan.spec.stable, plan.spec.canary):  # what no LLMInferenceService can say is said now
        llm_service(plan, variant, 0, namespace=namespace, known=ground.known)

    def platform(may_stop: Callable[[Arm], bool]) -> LlmPlatform:
        return LlmPlatform(
            kube, caches, plan, namespace=namespace, now=clock.now, may_stop=may_stop, known=ground.known
        )

    router = LlmRouter(kube, caches, plan, namespace=namespace, clock=clock)
    servers: Mapping[Arm, str] = {
        "stable": llm_name(plan, plan.spec.stable),
        "canary": llm_name(plan, plan.spec.canary),
    }
    return KServeRoutedEnvironment(platform, router, ground.metrics, lambda _: servers, ground.close)


def _revisions(plan: ModelCanary, platform: KnativePlatform) -> Mapping[Arm, str]:
    """Knative names revisions; before it has, a name that nothing has."""
    rollout, spec = plan.metadata.name, plan.spec
    return {
        "stable": platform.revision("stable") or service_name(rollout, spec.stable.name),
        "canary": platform.revision("canary") or service_name(rollout, spec.canary.name),
    }


KSERVE = RequiredKind(lambda caches: caches.services, "KServe's InferenceService (serving.kserve.io/v1beta1)")
ROUTES = RequiredKind(lambda caches: caches.routes, "HTTPRoutes of the Gateway API (gateway.networking.k8s.io/v1)")
KNATIVE = RequiredKind(lambda caches: caches.knative_services, "Knative Serving (serving.knative.dev/v1)")
LLM = RequiredKind(lambda caches: caches.llm_services, "KServe's LLMInferenceService (serving.kserve.io/v1alpha2)")
MODES: Mapping[str, Mode] = {
    "standard": Mode(_standard, TELLING_APART["standard"], default="envoy-gateway", needs=(KSERVE, ROUTES)),
    "knative": Mode(_knative, TELLING_APART["knative"], default="knative", needs=(KSERVE, KNATIVE)),
    "native": Mode(_native, TELLING_APART["native"], default="vllm", needs=(KSERVE, ROUTES)),
    "llm": Mode(_llm, TELLING_APART["llm"], default="vllm", needs=(LLM, ROUTES)),
}
"""By the word in `platform.kserve.mode`."""
