"""The real Prometheus: what it remembers is what was read live, so a judge that was away ends up where others are."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.catch_up import catch_up
from canary.errors import ExternalError
from canary.judge import compile_gates
from canary.snapshot import Counters, PodCounters
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_local import LocalPrometheus
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from controlplane.adapters.system_clock import SystemClock
from controlplane.ports import MetricHistory
from tests.canary.judge.worlds import plainly
from tests.canary.test_catch_up import SPEC, analyzing, same, watched
from tests.controlplane.adapters.pages import PageServer, envoy_lines
from tests.controlplane.adapters.waiting import PATIENCE_S

pytestmark = pytest.mark.real

INTERVAL = 0.2


class Growing(PageServer):
    """Envoy's page, whose counters have grown whenever it is asked."""

    requests = 0

    def path_of(self, path: str, fields: object) -> str:
        """A new page for each scrape."""
        self.requests += 40
        totals = {
            "stable-0": PodCounters(requests=19 * self.requests, errors=self.requests // 100),
            "canary-0": PodCounters(requests=self.requests, errors=self.requests // 200),
        }
        lines = [line for cluster, counted in totals.items() for line in envoy_lines(cluster, counted)]
        self.put(path, "\n".join(lines) + "\n")
        return path


@pytest.fixture
async def source(tmp_path: Path) -> AsyncIterator[LocalPrometheus]:
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    async with Growing() as page:
        server = PrometheusServer(
            tmp_path,
            program=program,
            envoy=lambda: page.address,
            pages=lambda: {"stable": {}, "canary": {}},
            names={"stable": "v1", "canary": "v2"},
            interval=INTERVAL,
        )
        api = PrometheusApi("http://127.0.0.1:0", seconds=PATIENCE_S)
        names = {"stable": "v1", "canary": "v2"}
        query = PrometheusSource(api, interval=INTERVAL, names=names)  # type: ignore[arg-type]  # the two arms
        source = LocalPrometheus(server, query, clock=SystemClock(), interval=INTERVAL)
        yield source
        await source.close()


async def _live(source: LocalPrometheus, count: int) -> list[Counters]:
    """So many scrapes as they come, from Prometheus itself."""
    found: list[Counters] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(found) < count:
            try:
                counters = await source.read()
            except ExternalError:
                await asyncio.sleep(0.1)
                continue
            if source._newest == counters.at and (not found or counters.at > found[-1].at):
                found.append(counters)
    return found


async def test_the_past_is_what_was_read_live_and_the_judge_knows_as_much(source: LocalPrometheus) -> None:
    """Every scrape, with its own time; nothing interpolated, nothing left out.

    A Prometheus that is late makes up for it: two scrapes within half an interval are one moment of the past.
    """
    assert isinstance(source, MetricHistory)
    live = await _live(source, 25)
    told = await source.between(live[0].at - INTERVAL, live[-1].at, most=1000)
    by_time = {counters.at: counters for counters in told}
    for counters in live:
        made_up_for = any(counters.at < at < counters.at + INTERVAL / 2 for at in by_time)
        assert by_time.get(counters.at) == counters or made_up_for
    uninterrupted = watched(SPEC, analyzing(), told)
    saved = watched(SPEC, analyzing(), told[:6])
    back = catch_up(compile_gates(SPEC), saved, await source.between(told[5].at, told[-1].at, most=1000))
    same(plainly(uninterrupted.judge), plainly(back.judge))
    few = await source.between(live[0].at, live[-1].at, most=5)
    assert 4 <= len(few) <= 6
    requests = [counters.arms["canary"]["canary-0"].requests or 0 for counters in few]
    assert requests == sorted(requests)
