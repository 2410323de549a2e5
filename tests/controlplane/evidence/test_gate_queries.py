"""Whose query is asked when: namespaces take turns, and slow ones keep nobody waiting."""

import asyncio
from collections.abc import Mapping
from typing import Any

from canary.errors import Unavailable
from controlplane.adapters.prometheus_series import PrometheusSeries
from controlplane.evidence.gate_queries import LONGEST_QUERY_S, GateQueryRunner
from tests.virtual import in_virtual_time


class Prometheus:
    """Takes as long for a query as its text says: `mallory 5 17` takes 5 s."""

    seconds = 5.0

    def __init__(self) -> None:
        self.now = 0
        self.most = 0
        self.begun: list[str] = []
        self.bounds: set[tuple[float, int]] = set()

    async def query(self, query: str, *, seconds: float, most_bytes: int) -> list[PrometheusSeries]:
        """An empty answer, or none in time."""
        self.bounds.add((seconds, most_bytes))
        self.begun.append(query)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            async with asyncio.timeout(seconds):
                await asyncio.sleep(float(query.split()[1]))
        except TimeoutError:
            raise Unavailable("no answer in time") from None
        finally:
            self.now -= 1
        return []


async def _waits(queries: Mapping[str, str], mine: str, ticks: int) -> tuple[list[float], Prometheus]:
    """How long this query waits for its answer in each of so many ticks of a second."""
    prometheus, waits = Prometheus(), []
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        api: Any = prometheus
        readings = GateQueryRunner(api, tasks.create_task, at_once=8)
        for _ in range(ticks):
            began, answered = loop.time(), False
            await readings.ask(queries)
            while not answered:
                answered = mine in await readings.taken(0.05)
            waits.append(loop.time() - began)
            await asyncio.sleep(max(1.0 - waits[-1], 0.0))
    return waits, prometheus


@in_virtual_time
async def test_s14_slow_queries_of_one_namespace_keep_no_other_waiting() -> None:
    """Sixty of five seconds each, written by one; the other's takes a moment."""
    queries = {f"mallory 5 {number}": "mallory" for number in range(60)} | {"shop 0.01": "shop"}
    waits, prometheus = await _waits(queries, "shop 0.01", 20)
    assert max(waits) <= 0.1
    assert prometheus.most <= 3


@in_virtual_time
async def test_s14_slow_queries_of_many_namespaces_keep_no_other_waiting_once_they_are_known() -> None:
    queries = {f"tenant-{tenant} 5 {n}": f"tenant-{tenant}" for tenant in range(20) for n in range(5)}
    waits, prometheus = await _waits({**queries, "shop 0.01": "shop"}, "shop 0.01", 60)
    assert max(waits) <= 2 * LONGEST_QUERY_S + 0.1, "before anybody knows who is slow"
    late = sorted(waits)[len(waits) * 3 // 4]
    assert late <= 0.1
    assert prometheus.most <= 8
    assert {query.split()[0] for query in prometheus.begun} >= {f"tenant-{tenant}" for tenant in range(20)}


@in_virtual_time
async def test_s14_a_query_has_bounds_of_its_own_and_a_slow_one_rests() -> None:
    _, prometheus = await _waits({"mallory 5 1": "mallory", "shop 0.01": "shop"}, "shop 0.01", 60)
    assert prometheus.begun.count("mallory 5 1") <= 60 / (LONGEST_QUERY_S * 5) + 1
    assert prometheus.begun.count("shop 0.01") == 60
    assert prometheus.bounds == {(3.0, 256 * 1024)}
