"""A rollout's past, from the places where it stands now."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from canary.snapshot import PodCounters
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.metric_locations import RouteSlot
from controlplane.evidence.shared_prometheus import SharedPrometheus
from controlplane.ports import MetricHistory
from tests.controlplane.adapters.test_prometheus_history import Remembering
from tests.controlplane.evidence.scraped import STABLE, Standing, places
from tests.controlplane.reconcile.desk import Hand

KEY = ("shop", "chat")


@pytest.fixture
async def server() -> AsyncIterator[Remembering]:
    async with Remembering() as server:
        yield server


def _cluster(place: int) -> dict[str, str]:
    return {
        "__name__": "envoy_cluster_upstream_rq_completed",
        "envoy_cluster_name": f"httproute/shop/chat/rule/0/backend/{place}",
        "namespace": "envoy-gateway-system",
        "pod": "envoy-a",
    }


async def test_the_past_of_a_place_begins_with_who_stands_there_now(server: Remembering) -> None:
    """What the place counted for somebody else is not this canary's."""
    times = [100.0 + second for second in range(20)]
    server.points = [
        (_cluster(0), [(at, 10 * at) for at in times]),
        (_cluster(1), [(at, at) for at in times]),
    ]
    api = PrometheusApi(server.url(""), seconds=2)
    fleet = SharedPrometheus(api, clock=Hand(), interval=1.0)
    standing = Standing(STABLE, RouteSlot("int4", "chat-int4-predictor", since=110.0))
    fleet.register(KEY, places(standing=standing))
    source = fleet.source(KEY)
    assert isinstance(source, MetricHistory)
    told = await source.between(105.0, 119.0, most=1000)
    await api.close()
    assert [counters.at for counters in told] == times[6:]
    assert [sorted(counters.arms) for counters in told] == [["stable"]] * 4 + [["canary", "stable"]] * 10
    assert told[-1].arms == {
        "stable": {"envoy-a/backend/0@100.000": PodCounters(requests=1190, errors=None)},
        "canary": {"envoy-a/backend/1@110.000": PodCounters(requests=119, errors=None)},
    }


async def test_whoever_asks_for_the_past_waits_until_the_places_are_known(server: Remembering) -> None:
    """A new leader asks before it has found out which metrics profile fits."""
    server.points = [(_cluster(0), [(100.0 + second, 10.0 * second) for second in range(5)])]
    api = PrometheusApi(server.url(""), seconds=2)
    fleet = SharedPrometheus(api, clock=Hand(), interval=1.0)
    async with asyncio.TaskGroup() as tasks:
        told = tasks.create_task(fleet.source(KEY).between(99.0, 110.0, most=1000))
        await asyncio.sleep(0)
        assert not told.done()
        fleet.register(KEY, places(standing=Standing(STABLE, RouteSlot("int4", "chat-int4-predictor", since=0.0))))
    await api.close()
    assert [counters.at for counters in told.result()] == [100.0, 101.0, 102.0, 103.0, 104.0]
