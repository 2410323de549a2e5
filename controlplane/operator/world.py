"""The real world of rollouts in a cluster: which adapters stand behind which port. The one place where they meet.

Used by `operator.py`. The platform is chosen by `platform.kserve.mode`; numbers come from the plan's Prometheus, or
from the operator's own where the plan names none.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from canary.errors import BadInput
from canary.serial import rfc3339
from canary.spec.models import ModelCanary
from canary.weights import ARMS, Arm
from controlplane.adapters.capped_http import CappedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.fleet import MOST_BYTES, FleetMetrics
from controlplane.evidence.places import Places, Slot, SlotsSeen
from controlplane.gateway.route import backends_of
from controlplane.gateway.router import GatewayRouter
from controlplane.kserve.caches import Caches
from controlplane.kserve.standard import KServeStandard
from controlplane.kubernetes import names
from controlplane.kubernetes.api import Kube
from controlplane.operator.site import Drift
from controlplane.ports import Clock, MetricSource
from controlplane.reconcile.loop import Spawn

ANSWER_WITHIN = 5.0
"""Seconds that Prometheus may take for one answer."""


class ClusterSite:
    """One rollout's adapters. Implements `site.Site`."""

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
            found.append(
                Drift(f"HTTPRoute {self._plan.metadata.name}: {clause}.", clause.split(" ", 1)[0], of_route=True)
            )
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

    def open(self, plan: ModelCanary, namespace: str) -> ClusterSite:
        """The site of a plan. Raises `BadInput` for what this operator cannot carry out."""
        kserve = plan.spec.platform.kserve
        if kserve is None:
            raise BadInput(f"{plan.metadata.name} is no plan for a cluster: its platform is not kserve.")
        if kserve.mode != "standard":
            raise BadInput(f"{plan.metadata.name}: platform.kserve.mode {kserve.mode} is not carried out here.")
        key = (namespace, plan.metadata.name)
        fleet = self._fleet(plan, kserve.prometheus or self._prometheus)
        router = GatewayRouter(self._kube, self._caches.routes, plan, namespace=namespace, clock=self._clock)

        def platform(may_stop: Callable[[Arm], bool]) -> KServeStandard:
            return KServeStandard(
                self._kube, self._caches, plan, namespace=namespace, now=self._clock.now, may_stop=may_stop
            )

        site = ClusterSite(platform, router, fleet.source(key), plan, lambda: fleet.forget(key))
        fleet.register(key, places_of(plan, namespace, site))
        return site

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


def places_of(plan: ModelCanary, namespace: str, site: ClusterSite) -> Places:
    """Where the numbers of a rollout are."""
    spec, name = plan.spec, plan.metadata.name
    variants = {"stable": spec.stable, "canary": spec.canary}
    backends = backends_of(plan)

    def slots() -> SlotsSeen:
        seen: list[Slot | None] = [None, None]
        for arm, (place, since) in site.router.slots().items():
            seen[place] = Slot(backends[arm].variant, backends[arm].service, since)
        return seen

    def ready_since() -> Mapping[Arm, float]:
        ready = site.platform.ready_since()
        newest = {arm: [ready[pod] for pod in pods if pod in ready] for arm, pods in site.platform.endpoints().items()}
        return {arm: max(times) for arm, times in newest.items() if times}

    return Places(
        namespace=namespace,
        route=name,
        slots=slots,
        variants={arm: variants[arm].name for arm in ARMS},
        services={arm: variants[arm].inference_service or names.service_name(name, variants[arm].name) for arm in ARMS},
        profile=(spec.platform.kserve.metrics_profile if spec.platform.kserve else None) or "envoy-gateway",
        gates=tuple(gate for stage in spec.stages for gate in stage.gates),
        ready_since=ready_since if spec.judge.warmup else dict,
    )
