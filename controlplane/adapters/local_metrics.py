"""Chooses where the numbers of a rollout on this machine come from: our own Prometheus, or direct scraping.

Called by `controlplane.program`. `auto` takes Prometheus where its program is found, and says so where it is not. Reads
nothing itself.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from canary.errors import BadInput
from canary.format import dollars
from canary.spec.labels import labels_of
from canary.spec.metrics import find
from canary.spec.models import CanarySpec, LocalPlatform
from canary.weights import Arm
from controlplane.adapters.cost_source import DOLLARS, CostedSource
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.export_check import ExportCheckSource, made_of
from controlplane.adapters.process_child import child_of, end
from controlplane.adapters.processes import ProcessPlatform
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_local import LocalPrometheus
from controlplane.adapters.prometheus_server import MISSING, TERM_PATIENCE_S, PrometheusServer, find_prometheus
from controlplane.adapters.scrape import Pages, ScrapeSource
from controlplane.adapters.warmup_source import WarmupSource
from controlplane.ports import Clock, MetricSource
from controlplane.private_files import read_json

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLL_S = 0.2
"""Seconds between two questions to Prometheus while it is down; while it is up each question waits for news."""
SHORTEST_PATIENCE_S = 1.0
"""Seconds that Prometheus may always take for one answer, however short the scrape interval."""


@dataclass(frozen=True, slots=True)
class LocalMetrics:
    """The source, how often to ask it, and where it is, in words."""

    source: MetricSource
    period: float
    words: str
    server: PrometheusServer | None = None
    """Our Prometheus, which outlives us unless it is closed."""


def pages_of(spec: CanarySpec, platform: ProcessPlatform) -> Pages:
    """The metrics page of every ready replica."""
    paths: Mapping[Arm, str] = {"stable": spec.stable.metrics, "canary": spec.canary.metrics}
    return lambda: {
        arm: {name: f"http://{address}{paths[arm]}" for name, address in replicas.items()}
        for arm, replicas in platform.endpoints().items()
    }


def open_metrics(
    local: LocalPlatform,
    spec: CanarySpec,
    *,
    folder: Path,
    router: EnvoyRouter,
    platform: ProcessPlatform,
    clock: Clock,
    say: Callable[[str], None],
    rates: Mapping[Arm, float],
) -> AbstractAsyncContextManager[LocalMetrics]:
    """The metric source that the plan asks for; leaving the block gives its connections back and stops nothing.

    `rates` are dollars an hour for one replica of an arm, for gates that ask about money.
    """
    program = None if local.metrics == "scrape" else find_prometheus()
    if program is not None:
        return _prometheus(program, local, spec, folder, router, platform, clock, rates, say)
    if local.metrics == "prometheus":
        raise BadInput(
            "The plan asks for Prometheus (platform.local.metrics), and there is none on this machine: "
            "put `prometheus` on PATH, run scripts/prometheus.sh where apt-get is, or write metrics: auto."
        )
    if queries := [gate.text for stage in spec.stages for gate in stage.gates if gate.asks]:
        raise BadInput(
            f"The gate `{queries[0]}` has PromQL, which only Prometheus can answer, and there is none on this "
            "machine: put `prometheus` on PATH, or run scripts/prometheus.sh where apt-get is."
        )
    if local.metrics == "auto":
        say(MISSING)
    return _scraping(local, spec, router, platform, clock, rates, say)


async def stop_left_behind(folder: Path) -> None:
    """End the Prometheus that an earlier run left with its record in this folder."""
    child = child_of(read_json(folder / "prometheus.json"))
    if child:
        await end(child, TERM_PATIENCE_S)
        (folder / "prometheus.json").unlink(missing_ok=True)


@asynccontextmanager
async def _scraping(
    local: LocalPlatform,
    spec: CanarySpec,
    router: EnvoyRouter,
    platform: ProcessPlatform,
    clock: Clock,
    rates: Mapping[Arm, float],
    say: Callable[[str], None],
) -> "AsyncIterator[LocalMetrics]":
    interval = local.scrape_interval
    source = ScrapeSource(
        envoy=lambda: router.admin,
        pages=pages_of(spec, platform),
        clock=clock,
        interval=interval,
        labels=labels_of(gate for stage in spec.stages for gate in stage.gates),
    )
    try:
        words = f"Envoy and the servers themselves, scraped every {interval:g} s"
        yield _complete(LocalMetrics(source, interval, words), spec, rates, platform, say)
    finally:
        await source.close()


@asynccontextmanager
async def _prometheus(
    program: Path,
    local: LocalPlatform,
    spec: CanarySpec,
    folder: Path,
    router: EnvoyRouter,
    platform: ProcessPlatform,
    clock: Clock,
    rates: Mapping[Arm, float],
    say: Callable[[str], None],
) -> "AsyncIterator[LocalMetrics]":
    interval = local.scrape_interval
    names: Mapping[Arm, str] = {"stable": spec.stable.name, "canary": spec.canary.name}
    server = PrometheusServer(
        folder,
        program=program,
        envoy=lambda: router.counters_address,
        pages=pages_of(spec, platform),
        names=names,
        interval=interval,
        others=local.pages,
    )
    gates = [gate for stage in spec.stages for gate in stage.gates]
    api = PrometheusApi(server.url, seconds=max(interval, SHORTEST_PATIENCE_S))
    source = PrometheusSource(api, interval=interval, names=names, gates=gates)
    words = f"Prometheus ({program.name}), which scrapes Envoy and the servers every {interval:g} s"
    try:
        local_source = LocalPrometheus(
            server,
            source,
            clock=clock,
            interval=interval,
            labels=labels_of(gates),
            admin=lambda: router.admin,
            say=say,
        )
        yield _complete(LocalMetrics(local_source, POLL_S, words, server), spec, rates, platform, say)
    finally:
        await source.close()


def _priced(metrics: LocalMetrics, spec: CanarySpec, rates: Mapping[Arm, float]) -> LocalMetrics:
    """The same with money, where a gate asks for it; its prices are said once, for they decide."""
    gates = [gate for stage in spec.stages for gate in stage.gates]
    if not any(DOLLARS in (find(gate.metric).counts or ()) for gate in gates if not gate.asks):
        return metrics
    prices = " and ".join(f"{arm} at {dollars(rate)} an hour" for arm, rate in rates.items())
    return replace(metrics, source=CostedSource(metrics.source, rates), words=f"{metrics.words}; a replica of {prices}")


def _complete(
    metrics: LocalMetrics,
    spec: CanarySpec,
    rates: Mapping[Arm, float],
    platform: ProcessPlatform,
    say: Callable[[str], None],
) -> LocalMetrics:
    """The same with what no server exports, with money and with the start of each warm-up, as plans need it."""
    gates = [gate for stage in spec.stages for gate in stage.gates]
    if any(map(made_of, gates)):
        names: Mapping[Arm, str] = {"stable": spec.stable.name, "canary": spec.canary.name}
        source = ExportCheckSource(metrics.source, gates, pages=pages_of(spec, platform), names=names, say=say)
        metrics = replace(metrics, source=source)
    metrics = _priced(metrics, spec, rates)
    if not spec.judge.warmup:
        return metrics
    return replace(metrics, source=WarmupSource(metrics.source, platform.ready_since))
