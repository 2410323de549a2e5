"""Stable's own past for a plan that was never started: at whichever of a route's two places the traffic is."""

from collections.abc import AsyncIterator

import pytest

from canary.errors import Unavailable
from canary.spec import parse
from controlplane.evidence.baseline_history import stable_before
from tests.controlplane.adapters.test_prometheus_history import Remembering

PLAN = """
metadata: {name: chat, namespace: shop}
spec:
  model: {name: chat, uri: "hf://a/b"}
  platform: {kserve: {gateway: a/b, hostname: c.d}}
  stable: {name: bf16}
  canary: {name: int4}
  stages: [{traffic: 10%, hold: 10m, gates: [error_rate not worse than stable by 2%]}, {traffic: 100%}]
"""
LOCAL = PLAN.replace("platform: {kserve: {gateway: a/b, hostname: c.d}}", "platform: {local: {}}")
NOW = 10_000.0
TIMES = [NOW - 600 + 5 * step for step in range(120)]


@pytest.fixture
async def server() -> AsyncIterator[Remembering]:
    async with Remembering() as server:
        yield server


def _place(number: int) -> dict[str, str]:
    return {
        "__name__": "envoy_cluster_upstream_rq_completed",
        "envoy_cluster_name": f"httproute/shop/chat/rule/0/backend/{number}",
        "namespace": "envoy-gateway-system",
        "pod": "envoy-a",
    }


@pytest.mark.parametrize("busy", [0, 1])
async def test_stable_stands_where_the_traffic_is(server: Remembering, busy: int) -> None:
    """After each promotion the two places have changed their roles. An old total is no traffic."""
    idle = 1 - busy
    server.points = [
        (_place(busy), [(at, 10 * (at - TIMES[0])) for at in TIMES]),
        (_place(idle), [(at, 1e9) for at in TIMES]),
    ]
    plan = parse(PLAN, "canary.yml")
    past = await stable_before(plan, server.url(""), NOW, namespace="shop", interval=5.0)
    assert len(past) >= 75, "every 7.5 s of its ten minutes"
    [(name, pod)] = past[-1].arms["stable"].items()
    assert name.startswith(f"envoy-a/backend/{busy}@")
    assert pod.requests == 10 * (TIMES[-1] - TIMES[0])
    assert "canary" not in past[-1].arms


async def test_on_one_machine_stable_is_known_by_its_name(server: Remembering) -> None:
    """Also as the canary that it was in the rollout before."""
    labels = {"__name__": "envoy_cluster_upstream_rq_completed", "job": "serinus-proxy"}
    labels |= {"arm": "canary", "replica": "canary-0", "variant": "bf16"}
    server.points = [(labels, [(at, at) for at in TIMES])]
    past = await stable_before(parse(LOCAL, "canary.yml"), server.url(""), NOW, namespace="", interval=5.0)
    assert past[-1].arms["stable"]["canary-0"].requests == TIMES[-1]


async def test_a_prometheus_that_is_not_there_is_said() -> None:
    with pytest.raises(Unavailable):
        await stable_before(parse(PLAN, "canary.yml"), "http://127.0.0.1:9", NOW, namespace="shop", interval=5.0)
