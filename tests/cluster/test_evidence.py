"""Evidence from a real gateway, real model servers and a real Prometheus: what was counted is what clients sent."""

import asyncio
import math
import re
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from canary.errors import ExternalError
from canary.snapshot import Counters, PodCounters
from canary.spec.models import Gate
from canary.weights import ARMS
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_auth import PrometheusAuth
from controlplane.adapters.system_clock import SystemClock
from controlplane.evidence.doctor_cluster import of_cluster
from controlplane.evidence.doctor_metrics import of_metrics
from controlplane.evidence.metric_locations import MetricLocations, RouteSlot
from controlplane.evidence.shared_prometheus import SharedPrometheus
from controlplane.kubernetes.client import KubeClient
from tests.cluster.bed import Node
from tests.cluster.objects import route, service

T = TypeVar("T")
REQUESTS = 800
GATES = (
    Gate(text="error_rate <= 5%", metric="error_rate", comparison="max", limit=0.05, better="lower"),
    Gate(text="latency p95 <= 1s", metric="latency", statistic="p95", comparison="max", limit=1.0, better="lower"),
    Gate(text="ttft p95 <= 1s", metric="ttft", statistic="p95", comparison="max", limit=1.0, better="lower"),
)


def _places(namespace: str, since: float) -> MetricLocations:
    slots = (RouteSlot("stable", "stable-predictor", since), RouteSlot("canary", "canary-predictor", since))
    return MetricLocations(
        namespace=namespace,
        route="chat",
        slots=lambda: slots,
        variants={"stable": "stable", "canary": "canary"},
        services={"stable": "stable", "canary": "canary"},
        gates=GATES,
    )


def _requests(counters: Counters) -> dict[str, float]:
    return {arm: sum(pod.requests or 0.0 for pod in counters.arms.get(arm, {}).values()) for arm in ARMS}


def _errors(counters: Counters) -> dict[str, float]:
    return {arm: sum(pod.errors or 0.0 for pod in counters.arms.get(arm, {}).values()) for arm in ARMS}


async def _ticked(
    fleet: SharedPrometheus, key: tuple[str, str], wanted: Callable[[Counters], T | None], seconds: float = 30
) -> tuple[T, list[Counters]]:
    """Tick until the counters are as wanted; answers what was found, and all different counters on the way."""
    seen: list[Counters] = []
    end = time.monotonic() + seconds
    while True:
        await fleet.tick()
        try:
            counters = await fleet.source(key).read()
        except ExternalError as error:
            last = str(error)
        else:
            last = str(counters)
            if not seen or counters.at > seen[-1].at:
                seen.append(counters)
            if found := wanted(counters):
                return found, seen
        assert time.monotonic() < end, f"never as wanted; the last was {last}"
        await asyncio.sleep(0.25)


def _timed(counters: Counters) -> dict[str, float]:
    """Requests in the gateway's latency histograms."""
    return {
        arm: sum(pod.histograms["latency"][math.inf] for pod in pods.values() if "latency" in pod.histograms)
        for arm, pods in counters.arms.items()
    }


def _told(told: Sequence[Counters]) -> dict[float, Counters]:
    return {counters.at: counters for counters in told}


async def test_each_arm_has_its_own_numbers_and_the_past_is_what_was_read_live(node: Node, namespace: str) -> None:
    """Real Envoy, real servers: requests, failures, latency and time to first token, by arm and by replica."""
    host = f"chat.{namespace}.example.com"
    node.apply(
        service("stable", namespace, replicas=2),
        service("canary", namespace),
        route("chat", namespace, host, {"stable": 60, "canary": 40}),
    )
    node.until_ready(namespace, "stable", "canary")
    api = PrometheusApi(node.prometheus, seconds=5)
    fleet = SharedPrometheus(api, clock=SystemClock(), interval=1.0)
    key = (namespace, "chat")
    fleet.register(key, _places(namespace, since=time.time() - 1))
    try:
        # Before its first request a place has counted nothing, which is not the same as having no numbers.
        _, before = await _ticked(fleet, key, lambda counters: len(counters.arms) == 2)
        assert _requests(before[-1]) == {"stable": 0, "canary": 0}
        with node.load(host, requests=REQUESTS) as load:
            await asyncio.to_thread(load.wait)
        answered = {name.removeprefix("isvc.").removesuffix("-predictor"): n for name, n in load.answered().items()}

        def servers(counters: Counters) -> dict[str, list[PodCounters]]:
            """The model servers that have counted tokens, by arm; Prometheus may hear of them after the gateway."""
            arms = counters.arms.items()
            return {arm: [pod for pod in pods.values() if "ttft" in pod.histograms] for arm, pods in arms}

        def all_counted(counters: Counters) -> Counters | None:
            told = {arm: len(pods) for arm, pods in servers(counters).items()}
            return counters if _requests(counters) == answered and told == {"stable": 2, "canary": 1} else None

        counted, live = await _ticked(fleet, key, all_counted)
        assert _errors(counted) == {"stable": 0, "canary": 0}
        assert counted.problem == ""
        assert all(pod.started_at and abs(time.time() - pod.started_at) < 600 for pod in servers(counted)["stable"])
        # Envoy adds its histograms up every five seconds, so they are behind its counters.
        _, later = await _ticked(fleet, key, lambda counters: _timed(counters) == answered)
        live += later[1:]

        node.turn(namespace, "canary", error_rate=1.0)
        with node.load(host, requests=100) as load:
            await asyncio.to_thread(load.wait)
        failed = sum(load.failures().values())
        assert failed > 10
        _, more = await _ticked(fleet, key, lambda counters: _errors(counters) == {"stable": 0, "canary": failed})

        seen = [*live, *more]
        told = _told(await fleet.source(key).between(seen[0].at - 1, seen[-1].at, most=10_000))
        # Two scrapes of a late Prometheus within half an interval are one moment of its past.
        everything = [each for each in seen if not any(each.at < at < each.at + 0.5 for at in told)]
        assert [_requests(told[each.at]) for each in everything] == [_requests(each) for each in everything]
        assert [_errors(told[each.at]) for each in everything] == [_errors(each) for each in everything]
    finally:
        await api.close()


async def test_the_doctor_finds_the_test_bed_in_order(node: Node, namespace: str) -> None:
    """A real KServe, a real gateway, real permissions, and the profile that its Prometheus really has."""
    host = f"chat.{namespace}.example.com"
    node.apply(service("stable", namespace), route("chat", namespace, host, {"stable": 1}))
    node.until_ready(namespace, "stable")
    with node.load(host, requests=50) as load:
        await asyncio.to_thread(load.wait)
    kube = await KubeClient.connect(kubeconfig=str(node.kubeconfig))
    clock = SystemClock()
    end = time.monotonic() + 30
    try:
        while True:
            cluster = await of_cluster(kube, clock, namespace=namespace, gateway="kserve/kserve-ingress-gateway")
            metrics = await of_metrics(node.prometheus, clock, namespace=namespace, access=PrometheusAuth())
            found = {check.about: check for check in (*cluster, *metrics)}
            told = found["metrics profile"].says.startswith("envoy-gateway: ")
            if told or time.monotonic() > end:
                break
            await asyncio.sleep(1)
    finally:
        await kube.close()
    assert told, found
    # The resource's own definition is installed by the tests of the operator, or not yet.
    assert {about for about, check in found.items() if check.state == "problem"} <= {"ModelCanary"}
    seen = re.search(r"about every ([0-9.]+) s", found["scrape interval"].says)
    assert seen is not None, found["scrape interval"].says
    assert 0.5 <= float(seen[1]) <= 5, "it scrapes every second, or as often as a busy machine lets it"
