"""What every metric source promises, asked of the one in memory, of a priced one, of scraping, and of a Prometheus.

Each bench shows totals in its own way: the scraped ones render them as Envoy's page and as model servers' pages.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import pytest
import pytest_asyncio

from canary.errors import ExternalError, Unavailable
from canary.snapshot import Counters, PodCounters
from canary.spec.models import Gate
from canary.weights import ARMS, Arm
from controlplane.adapters.cost_source import DOLLARS, UPTIME, CostedSource
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_local import LocalPrometheus
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from controlplane.adapters.scrape import ScrapeSource
from controlplane.adapters.system_clock import SystemClock
from controlplane.ports import MetricSource
from testing.memory_metrics import MemoryMetrics
from tests.controlplane.adapters.pages import PageServer, envoy_lines, server_lines
from tests.controlplane.adapters.waiting import PATIENCE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")

INTERVAL = 0.2
NAMES: Mapping[Arm, str] = {"stable": "v1", "canary": "v2"}
FULL = PodCounters(
    requests=10,
    errors=2,
    histograms={"latency": {0.1: 4, 0.2: 9, math.inf: 10}, "ttft": {0.05: 3, math.inf: 8}},
    totals={
        "generation_tokens": 50.0,
        "finished": 8.0,
        "finish_reason/stop": 7.0,
        "finish_reason/length": 1.0,
        "client_errors": 0.0,
        "throttled": 0.0,
    },
    kpis={"sold": (2, 8)},
    gauges={"kv_cache_usage": 0.25},
    started_at=1_000.5,
)
NOBODY = {"client_errors": 0.0, "throttled": 0.0}
"""Totals of a replica that refused nobody."""
BARE = PodCounters(requests=7, errors=0, totals=NOBODY)

BY_QUERY = Gate(
    text="answers >= 1",
    metric="answers",
    comparison="min",
    limit=1,
    better="higher",
    query="sum by (variant) (last_over_time(envoy_cluster_upstream_rq_completed[$window]))",
    window=2 * INTERVAL,
)


class Bench(Protocol):
    """A source, and the world that it reads."""

    @property
    def source(self) -> MetricSource:
        """What is asked."""
        ...

    def show(self, pods: Mapping[Arm, Mapping[str, PodCounters]], unrouted: float) -> None:
        """From now on these are the totals."""
        ...

    async def go_down(self) -> None:
        """The source itself stops answering."""
        ...

    async def come_back(self) -> None:
        """It answers again."""
        ...


class MemoryBench:
    """Nothing between the totals and their reader."""

    def __init__(self) -> None:
        self.memory = MemoryMetrics(time.time)
        self.source: MetricSource = self.memory

    def show(self, pods: Mapping[Arm, Mapping[str, PodCounters]], unrouted: float) -> None:
        for arm in ARMS:
            for replica in list(self.memory._pods[arm]):
                self.memory.forget(arm, replica)
            for replica, totals in pods.get(arm, {}).items():
                self.memory.put(arm, replica, totals)
        self.memory.unrouted = unrouted

    async def go_down(self) -> None:
        self.memory.failure = Unavailable("down")

    async def come_back(self) -> None:
        self.memory.failure = None


class Unpriced:
    """A priced source, seen by someone who knows nothing of money; that every replica has it is checked here."""

    def __init__(self, priced: CostedSource) -> None:
        self._priced = priced

    async def read(self) -> Counters:
        counters = await self._priced.read()
        pods = [pod for each in counters.arms.values() for pod in each.values()]
        assert all(pod.totals["dollars"] >= 0 for pod in pods)
        return replace(
            counters,
            arms={arm: {name: _unpriced(pod) for name, pod in each.items()} for arm, each in counters.arms.items()},
        )


def _unpriced(pod: PodCounters) -> PodCounters:
    return replace(pod, totals={name: value for name, value in pod.totals.items() if name not in {DOLLARS, UPTIME}})


class PricedBench(MemoryBench):
    """Money is added, and nothing else is changed."""

    def __init__(self) -> None:
        super().__init__()
        self.source = Unpriced(CostedSource(self.memory, {"stable": 1.0, "canary": 2.0}))


class PagesBench:
    """One server plays Envoy and every replica."""

    def __init__(self, server: PageServer) -> None:
        self.server = server
        # Announced once and for all, for Prometheus takes seconds to notice new addresses; some answer 404 at times.
        self.pages = {arm: {f"{arm}-{i}": server.url(f"/{arm}-{i}") for i in range(2)} for arm in ARMS}

    def show(self, pods: Mapping[Arm, Mapping[str, PodCounters]], unrouted: float) -> None:
        lines = [f'envoy_http_no_cluster{{envoy_http_conn_manager_prefix="serinus"}} {unrouted}']
        self.server.pages.clear()
        for each in pods.values():
            for replica, totals in each.items():
                lines += envoy_lines(replica, totals)
                self.server.put(f"/{replica}", "\n".join(server_lines(totals)) + "\n")
        self.server.put("/stats/prometheus", "\n".join(lines) + "\n")


class ScrapeBench(PagesBench):
    """Pages read directly."""

    def __init__(self, server: PageServer) -> None:
        super().__init__(server)
        self.source = ScrapeSource(
            envoy=lambda: server.address, pages=lambda: self.pages, clock=SystemClock(), interval=INTERVAL * 10
        )

    async def go_down(self) -> None:
        await self.server.stop()

    async def come_back(self) -> None:
        await self.server.start()


class PrometheusBench(PagesBench):
    """Pages read by a real Prometheus, and Prometheus read by us."""

    def __init__(self, server: PageServer, folder: Path, program: Path) -> None:
        super().__init__(server)
        self.program = program
        self.prometheus = PrometheusServer(
            folder,
            program=program,
            envoy=lambda: server.address,
            pages=lambda: self.pages,
            names=NAMES,
            interval=INTERVAL,
        )
        api = PrometheusApi("http://127.0.0.1:0", seconds=PATIENCE_S)
        query = PrometheusSource(api, interval=INTERVAL, names=NAMES, gates=[BY_QUERY])
        self.source = LocalPrometheus(self.prometheus, query, clock=SystemClock(), interval=INTERVAL)

    async def go_down(self) -> None:
        assert self.prometheus._child is not None
        self.prometheus._child.kill()
        while self.prometheus._child.alive:  # noqa: ASYNC110 - a process that is killed says nothing
            await asyncio.sleep(0.01)
        self.prometheus._program = Path("/nowhere/prometheus")
        self.prometheus._started_at = 0.0
        await self.server.stop()  # what it would scrape is scraped directly meanwhile

    async def come_back(self) -> None:
        self.prometheus._program = self.program
        await self.server.start()


@asynccontextmanager
async def _bench(kind: str, folder: Path) -> AsyncIterator[Bench]:
    if kind in {"memory", "priced"}:
        yield MemoryBench() if kind == "memory" else PricedBench()
        return
    async with PageServer() as server:
        if kind == "scrape":
            scraping = ScrapeBench(server)
            yield scraping
            await scraping.source.close()
            return
        program = find_prometheus()
        if program is None:
            pytest.skip(MISSING)
        bench = PrometheusBench(server, folder, program)
        yield bench
        await bench.source.close()


@pytest_asyncio.fixture(
    scope="module",
    params=["memory", "priced", "scrape", pytest.param("prometheus", marks=pytest.mark.real)],
    loop_scope="module",
)
async def bench(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    async with _bench(request.param, tmp_path_factory.mktemp("metrics")) as bench:
        yield bench


async def _read_until(bench: Bench, wanted: Callable[[Counters], bool]) -> Counters:
    """The first reading that is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with suppress(ExternalError):
                counters = await bench.source.read()
                if wanted(counters):
                    return counters
            await asyncio.sleep(0.05)


async def _shown(bench: Bench, pods: Mapping[Arm, Mapping[str, PodCounters]], unrouted: float = 0.0) -> Counters:
    """Show these totals and read them."""
    bench.show(pods, unrouted)
    return await _read_until(bench, lambda counters: {arm: dict(each) for arm, each in counters.arms.items()} == pods)


async def test_what_was_counted_is_read_as_it_is(bench: Bench) -> None:
    """Both arms, several replicas, every kind of metric; and what a replica does not count is missing, not zero."""
    pods: Mapping[Arm, Mapping[str, PodCounters]] = {
        "stable": {"stable-0": FULL, "stable-1": BARE},
        "canary": {"canary-0": FULL},
    }
    began = time.time()
    counters = await _shown(bench, pods, unrouted=3)
    assert counters.arms == pods
    assert (counters.unrouted, counters.problem) == (3, "")
    assert began - 1 < counters.at <= time.time(), "on our clock"


async def test_an_arm_without_replicas_has_no_numbers(bench: Bench) -> None:
    counters = await _shown(bench, {"stable": {"stable-0": BARE}})
    assert not counters.arms.get("canary")


async def test_a_replica_that_has_answered_nothing_has_counted_zero(bench: Bench) -> None:
    nothing = PodCounters(requests=0, errors=0, totals=NOBODY)
    assert (await _shown(bench, {"canary": {"canary-0": nothing}})).arms["canary"]["canary-0"] == nothing


async def test_totals_are_totals_at_every_reading_and_time_goes_forward(bench: Bench) -> None:
    first = await _shown(bench, {"canary": {"canary-0": BARE}})
    later = await _shown(bench, {"canary": {"canary-0": FULL}})
    assert later.arms["canary"]["canary-0"].requests == 10, "never a difference"
    assert later.at > first.at
    assert (await bench.source.read()).at >= later.at


async def test_r4_a_counter_that_was_reset_is_a_smaller_number(bench: Bench) -> None:
    """Nothing is smoothed over: what it means is for the judge to say."""
    await _shown(bench, {"canary": {"canary-0": FULL}})
    again = await _shown(bench, {"canary": {"canary-0": PodCounters(requests=1, errors=0, totals=NOBODY)}})
    assert again.arms["canary"]["canary-0"] == PodCounters(requests=1, errors=0, totals=NOBODY)


async def test_a_replica_that_went_away_is_not_remembered(bench: Bench) -> None:
    await _shown(bench, {"stable": {"stable-0": BARE}, "canary": {"canary-0": FULL, "canary-1": BARE}})
    counters = await _shown(bench, {"stable": {"stable-0": BARE}, "canary": {"canary-0": FULL}})
    assert counters.arms["canary"].keys() == {"canary-0"}


@pytest.mark.real
@pytest.mark.parametrize("bench", ["prometheus"], indirect=True)
async def test_a_gates_own_query_gives_one_value_for_each_arm(bench: Bench) -> None:
    """Only Prometheus can answer one; the series carry the label `variant` by which it tells them apart."""
    bench.show({"stable": {"stable-0": BARE, "stable-1": BARE}, "canary": {"canary-0": FULL}}, 0.0)
    wanted: Mapping[Arm, float] = {"stable": 14, "canary": 10}
    counters = await _read_until(bench, lambda counters: counters.readings.get(BY_QUERY.text) == wanted)
    assert counters.readings == {BY_QUERY.text: wanted}


async def test_r4_a_source_that_is_down_says_so_and_reads_on_when_it_is_back(bench: Bench) -> None:
    before = await _shown(bench, {"canary": {"canary-0": BARE}})
    await bench.go_down()
    with pytest.raises(Unavailable) as caught:
        await bench.source.read()
    assert "\n" not in str(caught.value)
    await bench.come_back()
    after = await _shown(bench, {"canary": {"canary-0": FULL}})
    assert after.arms["canary"]["canary-0"] == FULL
    assert after.at > before.at
