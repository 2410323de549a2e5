"""A gate on counters that a shop keeps beside the servers: scraped by our own Prometheus, judged, a drop found."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from canary import judge
from canary.errors import ExternalError
from canary.snapshot import Counters, MetricsStatus
from canary.spec.counters import counter
from canary.spec.models import Gate
from canary.verdict import GateAnswer
from canary.weights import Arm, Weights
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from tests.canary.judge.worlds import plan
from tests.controlplane.adapters.pages import Page, PageServer
from tests.controlplane.adapters.waiting import PATIENCE_S

pytestmark = pytest.mark.real

INTERVAL = 0.5
NAMES: dict[Arm, str] = {"stable": "v1", "canary": "v2"}
SCRAPES = 40
TEXT = "text/plain; version=0.0.4"
GATE = Gate(
    text="conversion drop <= 2%",
    metric="kpi/conversion",
    comparison="drift",
    limit=0.02,
    better="higher",
    events=counter('orders_total{shop="eu"}'),
    of=counter("sessions_total"),
    variant_label="version",
)


class Shop(PageServer):
    """A program of its own, and Envoy's page; its second process begins again in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(5)
        self.totals: dict[tuple[str, str, str], int] = {}
        self.looks = 0

    def path_of(self, path: str, fields: object) -> str:
        """A new page for each scrape."""
        self.looks += 1
        if "stats" in path:
            lines = [
                f'envoy_cluster_upstream_rq_completed{{envoy_cluster_name="{arm}-0"}} {self.looks}'
                for arm in ("stable", "canary")
            ]
        else:
            for version, rate in (("v1", 0.2), ("v2", 0.1)):
                for process in ("a", "b"):
                    sessions = int(self.rng.poisson(400))
                    self._count("sessions_total", version, process, sessions)
                    self._count("orders_total", version, process, int(self.rng.binomial(sessions, rate)))
            if self.looks == 12:
                self.totals = {key: total for key, total in self.totals.items() if key[2] == "a"}
            lines = [
                f'{name}{{version="{version}",process="{process}",shop="eu"}} {total}'
                for (name, version, process), total in self.totals.items()
            ]
        self.pages[path] = Page("".join(f"{line}\n" for line in lines).encode(), headers={"content-type": TEXT})
        return path

    def _count(self, name: str, version: str, process: str, more: int) -> None:
        self.totals[name, version, process] = self.totals.get((name, version, process), 0) + more


@dataclass
class Bench:
    """A shop, and what reads it."""

    shop: Shop
    source: PrometheusSource


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    async with Shop() as shop:
        server = PrometheusServer(
            tmp_path,
            program=program,
            envoy=lambda: shop.address,
            pages=dict,
            names=NAMES,
            interval=INTERVAL,
            others=[shop.url("/shop")],
        )
        server.keep(now=0.0)
        api = PrometheusApi(server.url, seconds=PATIENCE_S)
        source = PrometheusSource(api, interval=INTERVAL, names=NAMES, gates=[GATE])
        yield Bench(shop, source)
        await source.close()
        await server.close()


async def test_a_real_prometheus_gives_each_series_of_a_gates_counters(bench: Bench) -> None:
    """Half of the orders are missing on the canary, and one process of the shop restarts: only the former is found."""
    found: list[Counters] = []
    async with asyncio.timeout(10 * PATIENCE_S):
        while len(found) < SCRAPES:
            with contextlib.suppress(ExternalError):
                counters = await bench.source.read()
                if counters.counted and (not found or counters.counted != found[-1].counted):
                    found.append(counters)
            await asyncio.sleep(INTERVAL / 4)
    assert {arm: len(series) for arm, series in found[0].counted[GATE.text].items()} == {"stable": 4, "canary": 4}
    ends = [each.counted[GATE.text]["canary"] for each in (found[0], found[-1])]
    assert set(ends[0]) == set(ends[1]), "a series keeps its name"
    config = judge.compile_gates(plan(GATE, shares=(0.5, 1.0)))
    state = judge.begin(config)
    for number, counters in enumerate(found):
        # As if a minute had passed between two of these scrapes.
        seen = MetricsStatus(60.0 * number, replace(counters, at=60.0 * number))
        answer = judge.watch(
            config, state, stage=0, weights=Weights.of_share(0.5), evidence=seen, now=seen.at, stage_since=0.0
        )
        state = answer.state
    assert state.memory is not None
    totals = state.memory.delayed[GATE.text].totals.arms
    for arm, share in ((totals.stable, 0.2), (totals.canary, 0.1)):
        orders, sessions = arm.kpis[GATE.text]
        assert orders / sessions == pytest.approx(share, rel=0.1)
        assert 400 * SCRAPES < sessions < 4 * 400 * SCRAPES
    assert judge.read(config, state, stage=0, now=60.0 * len(found)).answer is GateAnswer.FAIL
