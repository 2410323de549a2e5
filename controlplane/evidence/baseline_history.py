"""What stable has done lately, for a plan that nobody has started yet: read once, from wherever its Prometheus answers.

Called by `serinus plan --prometheus`. There is no route to ask who stands where, so of a gateway's two places stable's
is the one with the traffic: before a rollout that is all of it. Judges nothing.
"""

from collections.abc import Sequence

from canary.snapshot import Counters
from canary.spec.models import Gate, ModelCanary, Variant
from canary.weights import ARMS
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.history import history
from controlplane.evidence.metric_locations import Labels, MetricLocations, RouteSlot
from controlplane.evidence.shared_prometheus import MOST_BYTES
from controlplane.kubernetes import names
from controlplane.reconcile.baseline_history import history_before

ANSWER_WITHIN_S = 10.0
SINCE_EVER = float("-inf")


async def stable_before(
    plan: ModelCanary, url: str, now: float, *, namespace: str, interval: float
) -> Sequence[Counters]:
    """Stable's totals of the last half to two hours, oldest first; raises `ExternalError`. `interval` is a scrape's."""
    api = PrometheusApi(url, seconds=ANSWER_WITHIN_S, http=BoundedHttp(most_bytes=MOST_BYTES))
    try:
        if plan.spec.platform.kserve is None:
            variants = {arm: variant.name for arm, variant in zip(ARMS, _variants(plan), strict=True)}
            source = PrometheusSource(api, interval=interval, names=variants, gates=_gates(plan))
            return await history_before(source, now, interval)
        standings = [StableHistory(api, plan, namespace, place, interval) for place in (0, 1)]
        return max([await history_before(each, now, interval) for each in standings], key=_served)
    finally:
        await api.close()


class StableHistory:
    """The past as it was if stable stands at this place of the route. Implements `MetricHistory`."""

    def __init__(self, api: PrometheusApi, plan: ModelCanary, namespace: str, place: int, interval: float) -> None:
        self._api, self._interval = api, interval
        kserve, stable = plan.spec.platform.kserve, plan.spec.stable
        name = plan.metadata.name
        services = {
            arm: variant.inference_service or names.service_name(name, variant.name)
            for arm, variant in zip(ARMS, _variants(plan), strict=True)
        }
        standing = RouteSlot(stable.name, services["stable"], SINCE_EVER)
        slots = (standing, None) if place == 0 else (None, standing)
        self._places = MetricLocations(
            namespace=namespace,
            route=name,
            slots=lambda: slots,
            variants={arm: variant.name for arm, variant in zip(ARMS, _variants(plan), strict=True)},
            services=services,
            gateway=(kserve.gateway or "").rpartition("/")[0] if kserve else "",
            profile=(kserve.metrics_profile if kserve else None) or "envoy-gateway",
            gates=_gates(plan),
        )

    async def between(self, start: float, end: float, most: int) -> Sequence[Counters]:
        """Totals after `start` until `end`, as the port has it."""
        return await history(self._api, self._places, Labels(), start, end, interval=self._interval, most=most)


def _variants(plan: ModelCanary) -> tuple[Variant, Variant]:
    """In the order of `ARMS`."""
    return plan.spec.stable, plan.spec.canary


def _gates(plan: ModelCanary) -> tuple[Gate, ...]:
    """Without those that bring a query of their own: nobody asks for their past."""
    return tuple(gate for stage in plan.spec.stages for gate in stage.gates if not gate.asks)


def _served(past: Sequence[Counters]) -> float:
    """Requests that stable has answered in that time, as far as no replica came or went; to tell two places apart."""
    if not past:
        return 0.0
    first, last = past[0].arms.get("stable", {}), past[-1].arms.get("stable", {})
    return sum((last[name].requests or 0.0) - (first[name].requests or 0.0) for name in last.keys() & first.keys())
