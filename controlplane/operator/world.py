"""The real world of rollouts in a cluster: which adapters stand behind which port. The one place where they meet.

Used by `operator.py`. The platform is chosen by `platform.kserve.mode`; numbers come from the plan's Prometheus, or
from the operator's own where the plan names none.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from canary.errors import BadInput
from canary.serial import rfc3339
from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, Arm
from controlplane.adapters.capped_http import CappedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.fleet import MOST_BYTES, FleetMetrics
from controlplane.evidence.places import Places, Slot, SlotsSeen
from controlplane.gateway.route import backends_of
from controlplane.gateway.router import GatewayRouter
from controlplane.kserve.caches import Caches
from controlplane.kserve.knative import KnativePlatform, KnativeRouter
from controlplane.kserve.llm import LlmPlatform, LlmRouter
from controlplane.kserve.native import NativePlatform, NativeRouter
from controlplane.kserve.standard import KServeStandard
from controlplane.kubernetes import names
from controlplane.kubernetes.api import Kube
from controlplane.operator.site import Drift
from controlplane.ports import Clock, MetricSource, Platform, Router
from controlplane.reconcile.loop import Spawn

ANSWER_WITHIN = 5.0
"""Seconds that Prometheus may take for one answer."""


class Traffic(Router, Protocol):
    """A router that knows when an arm is out of reach."""

    def idle(self, arm: Arm) -> bool:
        """Whether nothing can reach the arm any more."""
        ...


class ServiceSite:
    """A rollout whose traffic KServe itself moves (knative, native, llm). Implements `site.Site`."""

    def __init__(
        self,
        platform: Callable[[Callable[[Arm], bool]], Platform],
        router: Traffic,
        metrics: MetricSource,
        close: Callable[[], None],
    ) -> None:
        """`platform` is made with the answer to whether an arm may be stopped."""
        self.router = router
        self.metrics = metrics
        self._forced = False
        self._close = close
        self.platform = platform(self._may_stop)

    async def tend(self) -> None:
        """KServe moves on by itself."""

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """Once nothing leads to it."""
        self._forced = force
        if not self.router.idle(arm) and not force:
            await self.platform.stop(arm)  # some let go of the traffic only with the variant
            return self.router.idle(arm)
        await self.platform.stop(arm)
        return True

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """There are none: KServe's route is KServe's."""
        return []

    def drift(self) -> Sequence[Drift]:
        """Nothing is compared."""
        return []

    def close(self) -> None:
        """Read no more numbers for it."""
        self._close()

    def _may_stop(self, arm: Arm) -> bool:
        return self._forced or self.router.idle(arm)


class ClusterSite:
    """A rollout with two InferenceServices and a route of its own (standard). Implements `site.Site`."""

    def __init__(
        self,
        platform: Callable[[Callable[[Arm], bool]], KServeStandard],
        router: GatewayRouter,
        metrics: MetricSource,
        plan: ModelCanary,
        close: Callable[[], None],
    ) -> None:
        """`platform` is made with the answer to whether an arm may be stopped."""
        self.router = router
        self.metrics = metrics
        self._plan = plan
        self._forced = False
        self._close = close
        self.platform = platform(self._may_stop)

    async def tend(self) -> None:
        """Let the canary's slot go to rest once it has no traffic."""
        await self.router.settle("canary")

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """First out of the route, then out of the cluster."""
        self._forced = force
        if not await self.router.settle(arm) and not force:
            return False
        await self.platform.stop(arm)
        return True

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """Variant and since when, in the order of the route's places."""
        found = [{"variant": ""}, {"variant": ""}]
        for arm, (place, since) in self.router.slots().items():
            variant = self._plan.spec.stable if arm == "stable" else self._plan.spec.canary
            found[place] = {"variant": variant.name, "since": rfc3339(since)}
        return found if any(each["variant"] for each in found) else []

    def drift(self) -> Sequence[Drift]:
        """Of the route and of the variants."""
        found = [Drift(each.sentence, each.manager) for each in self.platform.drift()]
        if clause := self.router.drift():
            told = f"HTTPRoute {self._plan.metadata.name}: {clause}."
            found.append(Drift(told, clause.split(" ", 1)[0], of_route=True))
        return found

    def close(self) -> None:
        """Read no more numbers for it."""
        self._close()

    def _may_stop(self, arm: Arm) -> bool:
        return self._forced or self.router.idle(arm)


class ClusterWorld:
    """Opens sites in a real cluster. Implements `site.Sites`."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        *,
        clock: Clock,
        prometheus: str | None,
        interval: float,
        spawn: Spawn | None = None,
    ) -> None:
        """`prometheus`: the operator's own; `interval`: seconds between scrapes."""
        self._kube, self._caches, self._clock = kube, caches, clock
        self._prometheus, self._interval, self._spawn = prometheus, interval, spawn
        self._fleets: dict[str, FleetMetrics] = {}

    def open(self, plan: ModelCanary, namespace: str) -> ClusterSite | ServiceSite:
        """The site of a plan. Raises `BadInput` for what this operator cannot carry out."""
        kserve = plan.spec.platform.kserve
        if kserve is None:
            raise BadInput(f"{plan.metadata.name} is no plan for a cluster: its platform is not kserve.")
        key = (namespace, plan.metadata.name)
        fleet = self._fleet(plan, kserve.prometheus or self._prometheus)
        close = functools.partial(fleet.forget, key)
        if kserve.mode == "standard":
            standard = self._standard(plan, namespace, fleet.source(key), close)
            fleet.register(
                key, places_of(plan, namespace, standard.platform, functools.partial(_places, standard, plan))
            )
            return standard
        site = self._by_kserve(plan, namespace, fleet.source(key), close)
        fleet.register(key, places_of(plan, namespace, site.platform, lambda: (None, None)))
        return site

    def _standard(
        self, plan: ModelCanary, namespace: str, metrics: MetricSource, close: Callable[[], None]
    ) -> ClusterSite:
        kube, caches, clock = self._kube, self._caches, self._clock
        router = GatewayRouter(kube, caches.routes, plan, namespace=namespace, clock=clock)

        def platform(may_stop: Callable[[Arm], bool]) -> KServeStandard:
            return KServeStandard(kube, caches, plan, namespace=namespace, now=clock.now, may_stop=may_stop)

        return ClusterSite(platform, router, metrics, plan, close)

    def _by_kserve(
        self, plan: ModelCanary, namespace: str, metrics: MetricSource, close: Callable[[], None]
    ) -> ServiceSite:
        """The modes in which KServe moves the traffic."""
        kube, caches, clock = self._kube, self._caches, self._clock
        mode = plan.spec.platform.kserve.mode if plan.spec.platform.kserve else ""
        common: dict[str, Any] = {"namespace": namespace, "clock": clock}
        match mode:
            case "knative":
                knative = KnativePlatform(kube, caches, plan, **common)
                return ServiceSite(lambda _: knative, KnativeRouter(kube, caches, plan, **common), metrics, close)
            case "native":
                native = NativePlatform(kube, caches, plan, namespace=namespace, now=clock.now)
                return ServiceSite(lambda _: native, NativeRouter(kube, caches, plan, **common), metrics, close)
            case _:

                def llm(may_stop: Callable[[Arm], bool]) -> LlmPlatform:
                    return LlmPlatform(kube, caches, plan, namespace=namespace, now=clock.now, may_stop=may_stop)

                return ServiceSite(llm, LlmRouter(kube, caches, plan, **common), metrics, close)

    @property
    def period(self) -> float:
        """Seconds between two ticks."""
        return FleetMetrics(PrometheusApi("", seconds=1.0), clock=self._clock, interval=self._interval).period

    async def tick(self) -> None:
        """Ask each Prometheus once for all of its rollouts."""
        async with asyncio.TaskGroup() as tasks:
            for fleet in self._fleets.values():
                tasks.create_task(fleet.tick())

    async def close(self) -> None:
        """Give the connections back."""
        for fleet in self._fleets.values():
            await fleet.api.close()

    def _fleet(self, plan: ModelCanary, url: str | None) -> FleetMetrics:
        if url is None:
            raise BadInput(
                f"{plan.metadata.name}: nobody says where Prometheus answers. Write platform.kserve.prometheus, or "
                f"start the controller with --prometheus."
            )
        if url not in self._fleets:
            api = PrometheusApi(url, seconds=ANSWER_WITHIN, http=CappedHttp(most_bytes=MOST_BYTES))
            self._fleets[url] = FleetMetrics(api, clock=self._clock, interval=self._interval, spawn=self._spawn)
        return self._fleets[url]


def places_of(plan: ModelCanary, namespace: str, platform: Platform, slots: Callable[[], SlotsSeen]) -> Places:
    """Where the numbers of a rollout are."""
    spec, name = plan.spec, plan.metadata.name
    variants: Mapping[Arm, Variant] = {"stable": spec.stable, "canary": spec.canary}

    since: Callable[[], Mapping[str, float]] = getattr(platform, "ready_since", dict)
    """Not every platform knows since when its pods are ready."""

    def ready_since() -> Mapping[Arm, float]:
        ready = since()
        newest = {arm: [ready[pod] for pod in pods if pod in ready] for arm, pods in platform.endpoints().items()}
        return {arm: max(times) for arm, times in newest.items() if times}

    return Places(
        namespace=namespace,
        route=name,
        slots=slots,
        variants={arm: variants[arm].name for arm in ARMS},
        services={arm: variants[arm].inference_service or names.service_name(name, variants[arm].name) for arm in ARMS},
        profile=(spec.platform.kserve.metrics_profile if spec.platform.kserve else None) or _profile(plan),
        gates=tuple(gate for stage in spec.stages for gate in stage.gates),
        ready_since=ready_since if spec.judge.warmup else dict,
    )


def _profile(plan: ModelCanary) -> str:
    """The metrics profile where the plan names none: who counts requests in each mode."""
    mode = plan.spec.platform.kserve.mode if plan.spec.platform.kserve else "standard"
    return {"standard": "envoy-gateway", "knative": "knative"}.get(mode, "vllm")


def _places(site: ClusterSite, plan: ModelCanary) -> SlotsSeen:
    """Who stands in each of the route's two places, and since when."""
    backends = backends_of(plan)
    found: list[Slot | None] = [None, None]
    for arm, (place, since) in site.router.slots().items():
        found[place] = Slot(backends[arm].variant, backends[arm].service, since)
    return found
