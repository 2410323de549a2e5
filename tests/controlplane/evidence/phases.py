"""A Prometheus that scrapes each target at its own phase, in virtual time, and a judge that reads it by a fleet.

Pages are series as Prometheus would have them: each value with the time of the target's own last scrape.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, cast

import numpy as np

from canary import judge
from canary.judge import JudgeState
from canary.snapshot import Counters, MetricsStatus
from canary.spec.models import Gate
from canary.verdict import GateAnswer, Judgement
from canary.weights import ARMS, Arm, Weights
from controlplane.adapters.answer_budget import AnswerBudget, Hold
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_parse import Newest
from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.canary.judge.worlds import BOUNDS, Health, plan
from tests.controlplane.evidence.scraped import places
from tests.controlplane.reconcile.desk import Hand

KEY = ("shop", "chat")
SERVICES: Mapping[Arm, str] = {"stable": "chat-bf16", "canary": "chat-int4"}
PLACE: Mapping[Arm, int] = {"stable": 0, "canary": 1}
POST = {"handler": "/v1/completions", "method": "POST"}
TTFT_LIKE_STABLE = Gate(
    text="ttft p95 not worse than stable by 10%",
    metric="ttft",
    statistic="p95",
    comparison="notWorseThan",
    limit=0.1,
    better="lower",
)
LATENCY_LIKE_STABLE = TTFT_LIKE_STABLE.model_copy(
    update={"metric": "latency", "text": "latency p95 not worse than stable by 10%"}
)
Page = list[tuple[str, float]]
"""Labels of a series as they stand in an answer, and its value."""


@dataclass
class Replica:
    """One server of an arm and all that it has counted."""

    arm: Arm
    name: str
    requests: float = 0.0
    errors: float = 0.0
    buckets: np.ndarray[Any, Any] = field(default_factory=lambda: np.zeros(len(BOUNDS) + 1))

    def serve(self, rng: np.random.Generator, requests: float, health: Health) -> None:
        """So many requests on average."""
        n = rng.poisson(requests)
        times = np.sort(rng.lognormal(math.log(health.latency), 0.35, n))
        self.requests += n
        self.errors += rng.binomial(n, health.errors)
        self.buckets += [*np.searchsorted(times, BOUNDS, side="right"), n]


@dataclass
class Target:
    """What is scraped every `interval` seconds, first at `phase`."""

    phase: float
    page: Callable[[], Page]
    interval: float
    family: str = "pods"
    scraped: tuple[float, Page] | None = None

    def pass_to(self, now: float) -> None:
        """Scrape, if it is time."""
        if (now - self.phase) % self.interval == 0:
            self.scraped = now, self.page()


def _text(name: str, **labels: str) -> str:
    """The labels of a series, without the last brace, as `Newest` has them."""
    return json.dumps({"__name__": name, **labels})[:-1]


def _histogram(name: str, replica: Replica, **labels: str) -> Page:
    bounds = [f"{bound:.6g}" for bound in BOUNDS] + ["+Inf"]
    return [
        (_text(f"{name}_bucket", **labels, le=le), count)
        for le, count in zip(bounds, replica.buckets.tolist(), strict=True)
    ]


def vllm(replica: Replica) -> Page:
    """The page of vLLM's own web server."""
    labels = {"namespace": "shop", "pod": replica.name}
    good, bad = replica.requests - replica.errors, replica.errors
    return [
        (_text("http_requests_total", **labels, **POST, status="2xx"), good),
        (_text("http_requests_total", **labels, **POST, status="5xx"), bad),
        *server(replica),
    ]


def server(replica: Replica) -> Page:
    """What vLLM says behind a proxy that counts its requests."""
    return _histogram("vllm:time_to_first_token_seconds", replica, namespace="shop", pod=replica.name)


def kserve(replica: Replica) -> Page:
    """The page of KServe's Python server, which counts no errors."""
    labels = {"namespace": "shop", "pod": replica.name}
    return [
        (_text("request_predict_seconds_count", **labels), replica.requests),
        *_histogram("request_predict_seconds", replica, **labels),
    ]


def knative(replica: Replica) -> Page:
    """The page of Knative's queue-proxy, in the same pod as the server."""
    labels = {"namespace": "shop", "pod": replica.name, "instance": f"{replica.name}:9091"}
    good, bad = replica.requests - replica.errors, replica.errors
    name = "http_server_request_duration_seconds"
    return [
        (_text(f"{name}_count", **labels, http_response_status_code="200"), good),
        (_text(f"{name}_count", **labels, http_response_status_code="500"), bad),
        *_histogram(name, replica, **labels),
    ]


def gateway(replicas: Sequence[Replica], proxy: str, route: str = "chat") -> Page:
    """What one proxy counts of both arms."""
    page: Page = []
    for arm, place in PLACE.items():
        mine = [replica for replica in replicas if replica.arm == arm]
        cluster = f"httproute/shop/{route}/rule/0/backend/{place}"
        labels = {"envoy_cluster_name": cluster, "namespace": "envoy-gateway-system", "pod": proxy}
        good, bad = (math.fsum(each) for each in ([r.requests - r.errors for r in mine], [r.errors for r in mine]))
        name = "envoy_cluster_upstream_rq_xx"
        page += [(_text(name, **labels, envoy_response_code_class="2"), good)]
        page += [(_text(name, **labels, envoy_response_code_class="5"), bad)]
    return page


class Phases:
    """Behind what a fleet asks of the API of Prometheus."""

    url, seconds, budget = "http://prometheus", 1.0, AnswerBudget(math.inf)

    def __init__(self) -> None:
        self.targets: list[Target] = []
        self.now = 0.0

    def pass_to(self, now: float) -> None:
        """Scrape whatever it is time for."""
        self.now = now
        for target in self.targets:
            target.pass_to(now)

    async def newest(self, query: str, kept: Hold) -> Newest:
        """The newest sample of each series, unless it is older than the range that is asked for."""
        family = "gateway" if "envoy_cluster_name" in query else "pods"
        window = float(query.rsplit("[", 1)[1].removesuffix("ms]")) / 1000
        found = Newest([], [], [])
        for target in self.targets:
            if target.family == family and target.scraped and target.scraped[0] > self.now - window:
                at, page = target.scraped
                for labels, value in page:
                    found.labels.append(labels)
                    found.at.append(at)
                    found.values.append(value)
        return found


@dataclass
class Court:
    """A rollout's world and its judge, read through a fleet."""

    profile: str
    interval: float
    gates: Sequence[Gate]
    replicas: Mapping[Arm, int] = field(default_factory=lambda: {"stable": 1, "canary": 1})
    phases: Sequence[float] | None = None
    """By target, the servers in order; None for random ones."""
    proxy_interval: float = 1.0
    seed: int = 1
    rps: float = 50.0
    share: float = 0.25
    warmup_s: int = 120
    """For so long both arms are well."""
    health: dict[Arm, Health] = field(default_factory=lambda: {"stable": Health(0.005), "canary": Health(0.005)})

    def __post_init__(self) -> None:
        self.rng, draws = np.random.default_rng(self.seed), Random(self.seed)
        self.prometheus, self.clock = Phases(), Hand()
        self.servers: list[Replica] = [
            Replica(arm, f"{SERVICES[arm]}-predictor-6b7f-{number}")
            for arm in ARMS
            for number in range(self.replicas[arm])
        ]
        pages = {"vllm": [vllm], "kserve": [kserve], "knative": [knative, server], "envoy-gateway": [server]}
        targets = [(replica, page) for page in pages[self.profile] for replica in self.servers]
        phases = self.phases or [draws.randrange(int(self.interval)) for _ in targets]
        for (replica, page), phase in zip(targets, phases, strict=True):
            self.prometheus.targets.append(
                Target(phase, lambda page=page, replica=replica: page(replica), self.interval)  # type: ignore[misc]  # defaults, bound now
            )
        if self.profile == "envoy-gateway":
            proxy = Target(0, lambda: gateway(self.servers, "envoy-a"), self.proxy_interval, "gateway")
            self.prometheus.targets.append(proxy)
        self.fleet = SharedPrometheus(
            cast("PrometheusApi", self.prometheus),
            clock=self.clock,
            interval=min(self.interval, self.proxy_interval) if self.profile == "envoy-gateway" else self.interval,
        )
        if self.profile == "envoy-gateway":
            self.fleet.window = 3 * self.interval
        self.fleet.register(KEY, places(profile=self.profile, gates=self.gates))
        self.config = judge.compile_gates(plan(*self.gates, shares=(self.share, 1.0), hold=36_000.0))
        self.state: JudgeState = judge.begin(self.config)
        self.judgement = Judgement()
        self.start = self.clock.time
        self.newest: Counters | None = None

    async def step(self) -> None:
        """One second; the fleet is asked whenever its period has passed."""
        self.clock.time += 1
        now = self.clock.time
        for replica in self.servers:
            part = (self.share if replica.arm == "canary" else 1 - self.share) / self.replicas[replica.arm]
            replica.serve(self.rng, self.rps * part, self.health[replica.arm])
        self.prometheus.pass_to(now)
        if (now - self.start) % self.fleet.period:
            return
        await self.fleet.tick()
        if self.start + 2 * self.interval > now:
            return
        self.newest = self.fleet.newest(KEY)
        analysis = judge.watch(
            self.config,
            self.state,
            stage=0,
            weights=Weights.of_share(self.share),
            evidence=MetricsStatus(now, self.newest),
            now=now,
            stage_since=self.start,
        )
        self.state, self.judgement = analysis.state, analysis.judgement

    async def failed_after(self, harm: Health, seconds: int) -> int | None:
        """Seconds from when the canary turns bad until the judge says so; None for never."""
        for _ in range(self.warmup_s):
            await self.step()
            assert self.judgement.answer is not GateAnswer.FAIL, "both are well"
        self.health["canary"] = harm
        for passed in range(seconds):
            await self.step()
            if self.judgement.answer is GateAnswer.FAIL:
                return passed + 1
        return None

    @property
    def evidence(self) -> float:
        """Log of all evidence against the canary."""
        return judge.weight_of_evidence(self.config, self.state)
