"""What somebody else does to a route, or only seems to have done, met by a whole operator."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from controlplane.kubernetes.api import Resource, WatchEvent
from controlplane.kubernetes.resources import (
    HTTP_ROUTE,
    MODEL_CANARY,
)
from controlplane.operator.operator import Operator
from tests.controlplane.operator.cluster import NAME, PLACE, Cluster, a_canary, plays


def let_lag(operator: Operator, resource: Resource, seconds: float) -> None:
    """Let it hear of this kind so much later, one event after the other."""
    watch = operator._kube.watch

    async def late(kind: Resource, *place: Any, **how: Any) -> AsyncIterator[WatchEvent]:
        async for event in watch(kind, *place, **how):
            if kind is resource:
                await asyncio.sleep(seconds)
            yield event

    operator._kube.watch = late  # type: ignore[method-assign,assignment]  # its own client, and nobody else's


@plays
async def test_a_new_leader_whose_copy_of_the_route_lags_takes_that_for_nobodys_doing(cluster: Cluster) -> None:
    """It knows from the status that the canary has 50 %, and its cache still says 5 %: the route itself is asked."""
    first, second = cluster.operator("first"), cluster.operator("second")
    let_lag(second, HTTP_ROUTE, 2.0)
    async with cluster.led(first, second) as stop:
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        stop.set()
        await cluster.until(lambda: second.leading, seconds=2.0)
    assert cluster.status()["result"] == "promoted", cluster.status()["message"]


@plays
async def test_what_somebody_takes_away_at_the_route_is_not_written_over_before_its_gateway_has_heard(
    cluster: Cluster,
) -> None:
    """The gateway takes seconds, and until then has no weights in force that could be compared."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        cluster.gateway.delay_s = 3.0
        weights = [
            {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": value}
            for place, value in ((0, 950_000), (1, 50_000))
        ]
        await cluster.kube.acting_as("kubectl-edit").patch(HTTP_ROUTE, PLACE, NAME, weights)
        most = 0.0

        def taken_back() -> bool:
            nonlocal most
            most = max(most, cluster.shares().get("v2", 0.0))
            return cluster.at_rest()

        await cluster.until(taken_back, 60)
        stop.set()
    assert most <= 0.05
    story = [each["reason"] for each in cluster.status()["history"] if each["event"] == "phase"]
    assert story[-2:] == ["RouteLowered", "TrafficBack"]


@plays
async def test_a_route_that_somebody_else_edits_is_put_back_and_the_culprit_named(cluster: Cluster) -> None:
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1 and cluster.status()["phase"] == "Analyzing")
        meddling = [{"op": "replace", "path": "/spec/hostnames", "value": ["other.example.com"]}]
        await cluster.kube.acting_as("argocd-controller").patch(HTTP_ROUTE, PLACE, NAME, meddling)
        mended = ["chat.example.com"]
        await cluster.until(lambda: cluster.kube.objects(HTTP_ROUTE)[PLACE, NAME]["spec"]["hostnames"] == mended, 3.0)
    assert cluster.status()["result"] == "promoted"
