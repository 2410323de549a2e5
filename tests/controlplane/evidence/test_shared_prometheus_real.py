"""The fleet on a real Prometheus: read, silent, back again, and its past.

The gateway's proxy is played by a page; what is asked of Prometheus, and what it answers, is real.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from canary.errors import ExternalError, Unavailable
from canary.snapshot import Counters, PodCounters
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from controlplane.adapters.system_clock import SystemClock
from controlplane.evidence.metric_locations import EVERYWHERE, Labels
from controlplane.evidence.shared_prometheus import SharedPrometheus
from tests.controlplane.adapters.pages import PageServer, envoy_lines
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.evidence.scraped import ERRORS, LATENCY, places

pytestmark = pytest.mark.real

INTERVAL = 0.2
PAGE = "/stats/prometheus"
MEMBER = 'envoy_cluster_membership_total{envoy_cluster_name="httproute/shop/chat/rule/0/backend/1"} 1\n'
"""What a proxy of Envoy Gateway says of a place that has had no request."""
KEY = ("shop", "chat")


class Proxy(PageServer):
    """A proxy's page with both places of a route, and of a route of somebody else's."""

    def count(self, canary: float) -> None:
        """From now on these are the totals."""
        lines = [
            *envoy_lines("httproute/shop/chat/rule/0/backend/0", PodCounters(requests=900, errors=3)),
            *envoy_lines("httproute/shop/chat/rule/0/backend/1", PodCounters(requests=canary, errors=0)),
            *envoy_lines("httproute/shop/other/rule/0/backend/1", PodCounters(requests=77, errors=7)),
        ]
        self.put(PAGE, "\n".join(lines) + "\n" + MEMBER)


class World:
    """A Prometheus that scrapes the proxy, and a fleet that reads it."""

    def __init__(self, proxy: Proxy, folder: Path, program: Path) -> None:
        self.proxy = proxy
        self.server = PrometheusServer(
            folder,
            program=program,
            envoy=lambda: proxy.address,
            pages=lambda: {"stable": {}, "canary": {}},
            names={"stable": "bf16", "canary": "int4"},
            interval=INTERVAL,
        )
        self.server.keep(time.time())
        api = PrometheusApi(self.server.url, seconds=PATIENCE_S)
        labels = Labels(selector='job="serinus-proxy"', gateways=(EVERYWHERE,))
        self.fleet = SharedPrometheus(api, clock=SystemClock(), interval=INTERVAL, labels=labels)
        self.fleet.register(KEY, places(gates=[ERRORS, LATENCY]))

    async def until(self, wanted: Callable[[Counters], bool]) -> Counters:
        """Tick until the counters are so."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                await self.fleet.tick()
                with suppress(ExternalError):
                    counters = self.fleet.newest(KEY)
                    if wanted(counters):
                        return counters
                await asyncio.sleep(0.05)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    async with Proxy() as proxy:
        proxy.put(PAGE, MEMBER)
        world = World(proxy, tmp_path, program)
        yield world
        await world.fleet.api.close()
        await world.server.close()


def _canary(counters: Counters) -> float | None:
    (pod,) = counters.arms["canary"].values()
    return pod.requests


async def test_what_is_scraped_is_read_silence_is_said_and_the_past_is_remembered(world: World) -> None:
    began = time.time()
    nothing = await world.until(lambda counters: "canary" in counters.arms)
    nobody = PodCounters(requests=0, errors=0, totals={"client_errors": 0.0, "throttled": 0.0})
    assert list(nothing.arms["canary"].values()) == [nobody], "which is not: no numbers"
    world.proxy.count(canary=40)
    first = await world.until(lambda counters: len(counters.arms) == 2)
    (stable,) = first.arms["stable"].values()
    assert (stable.requests, stable.errors, _canary(first)) == (900, 3, 40)
    assert began < first.at <= time.time(), "on our clock"
    world.proxy.count(canary=55)
    later = await world.until(lambda counters: _canary(counters) == 55)

    past = await world.fleet.source(KEY).between(first.at - 1, later.at, most=1000)
    by_time = {counters.at: counters for counters in past}
    assert (by_time[first.at].arms, by_time[later.at].arms) == (first.arms, later.arms)
    assert [counters.at for counters in past] == sorted(by_time)

    await world.server.close()
    await world.fleet.tick()
    with pytest.raises(Unavailable, match="nobody listens there"):
        world.fleet.newest(KEY)
    world.server.keep(time.time() + 10)
    world.fleet.api.url = world.server.url
    world.proxy.count(canary=60)
    await world.until(lambda counters: _canary(counters) == 60)
