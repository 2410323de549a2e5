"""Which profile fits, and what one Prometheus cannot do to whoever looks."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator

import pytest

from canary.errors import ExternalError, Unavailable
from controlplane.adapters.bounded_http import BoundedHttp
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.discover import Discovery, choose
from tests.controlplane.adapters.pages import PageServer

BACKEND = "httproute/shop/chat/rule/0/backend/0"
NAMES = "/api/v1/label/__name__/values"
CLUSTERS = "/api/v1/label/envoy_cluster_name/values"


def _listed(*values: str) -> str:
    return json.dumps({"status": "success", "data": list(values)})


@pytest.mark.parametrize(
    ("names", "clusters", "profile", "why"),
    [
        ({"envoy_cluster_upstream_rq_xx", "http_requests_total"}, {BACKEND}, "envoy-gateway", "each place"),
        ({"envoy_cluster_upstream_rq_xx", "http_requests_total"}, {"xds"}, "vllm", "never arrived"),
        ({"envoy_cluster_upstream_rq_xx"}, {"httproute/shop/chat/rule/0"}, None, "has a filter"),
        ({"istio_requests_total"}, set(), "istio", "by workload"),
        ({"kn_serving_invocation_duration_seconds_count"}, set(), "knative", "1.19 or newer"),
        ({"kn_serving_invocation_duration_seconds"}, set(), "knative", "1.19 or newer"),  # as a native histogram
        ({"revision_app_request_count"}, set(), "knative-old", "until 1.18"),
        ({"request_predict_seconds_count"}, set(), "kserve", "no failures"),
        ({"vllm:generation_tokens_total"}, set(), None, "no metric that counts requests"),
        (set(), set(), None, "no metric that counts requests"),
    ],
)
def test_the_profile_is_that_of_the_best_witness(
    names: set[str], clusters: set[str], profile: str | None, why: str
) -> None:
    choice = choose(names, clusters)
    assert choice.profile == profile
    assert why in choice.reason


def test_s14_a_reason_names_no_route_of_another_namespace() -> None:
    clusters = {"httproute/attacker/x/rule/0", "httproute/shop/chat/rule/0", "xds_cluster"}
    for ours_to_come in (True, False):
        said = [
            choose(set(), clusters, ours_to_come=ours_to_come, namespace=each).reason for each in ("shop", "lab", None)
        ]
        assert ["attacker" in each for each in said] == [False, False, True]
        assert ["httproute/shop/chat" in each for each in said] == [True, False, False]


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with PageServer() as server:
        yield server


@pytest.fixture
async def api(server: PageServer) -> AsyncIterator[PrometheusApi]:
    http = BoundedHttp(most_bytes=100_000, headers=lambda: {"X-Scope-OrgID": "team-a"})
    api = PrometheusApi(server.url(""), seconds=0.3, http=http)
    yield api
    await api.close()


async def test_names_and_clusters_of_a_prometheus_decide_and_our_headers_are_sent(
    server: PageServer, api: PrometheusApi
) -> None:
    server.put(NAMES, _listed("up", "envoy_cluster_upstream_rq_xx"))
    server.put(CLUSTERS, _listed(BACKEND))
    assert (await Discovery(api).choice("shop")).profile == "envoy-gateway"
    assert server.asked[0].fields["match[]"] == ['{__name__=~".+",namespace="shop"}']
    assert {asked.headers["x-scope-orgid"] for asked in server.asked} == {"team-a"}


async def test_s14_what_others_make_up_decides_nothing(server: PageServer, api: PrometheusApi) -> None:
    """Gateways are asked for where they run, or a tenant's page would choose the profile of all."""
    server.put(NAMES, _listed())
    server.put(CLUSTERS, _listed())
    await Discovery(api).choice("shop")
    gateways = 'namespace=~"envoy-gateway-system|istio-system|istio-ingress'
    assert [gateways in asked.fields["match[]"][0] for asked in server.asked] == [False, True, True]


async def test_a_redirect_is_not_followed(server: PageServer, api: PrometheusApi) -> None:
    server.put(NAMES, "", status=302, headers={"location": server.url("/elsewhere")})
    with pytest.raises(Unavailable, match="redirect, which is not followed"):
        await Discovery(api).names()
    assert [asked.path for asked in server.asked] == [NAMES]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("<html>", 200),
        ("no", 403),
        (json.dumps({"status": "error"}), 200),
        (json.dumps({"status": "success", "data": [7]}), 200),
        (json.dumps({"status": "success", "data": {"a": "b"}}), 200),
        (_listed("x" * 200_000), 200),
    ],
)
async def test_an_answer_of_another_kind_is_said(
    server: PageServer, api: PrometheusApi, body: str, status: int
) -> None:
    server.put(NAMES, body, status=status)
    with pytest.raises(ExternalError, match=r"Prometheus on|What answers on"):
        await Discovery(api).names()


async def test_nobody_there_is_an_outage(server: PageServer, api: PrometheusApi) -> None:
    await server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        await Discovery(api).names()


class Dripping(PageServer):
    """Sends a byte now and then, and never comes to an end."""

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 X\r\ncontent-length: 100000\r\n\r\n")
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.02)


async def test_s14_a_prometheus_that_drips_holds_no_thread_and_no_name_waits_for_it() -> None:
    """The whole answer has its time, the connection is closed, and names are resolved as if nothing were."""
    before = set(threading.enumerate())
    async with Dripping() as server:
        api = PrometheusApi(server.url(""), seconds=0.3)
        async with asyncio.TaskGroup() as tasks:
            looks = [tasks.create_task(_complaint(Discovery(api))) for _ in range(40)]
            await asyncio.sleep(0.1)
            assert set(threading.enumerate()) <= before
            assert await asyncio.to_thread(lambda: "a thread is free") == "a thread is free"
            assert await asyncio.get_running_loop().getaddrinfo("localhost", 80)
        assert all("no answer within 0.3 s" in look.result() for look in looks)
        await api.close()


async def _complaint(discovery: Discovery) -> str:
    with pytest.raises(Unavailable) as caught:
        await discovery.names()
    return str(caught.value)
