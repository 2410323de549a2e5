"""Which profile fits, and a library that is kept from following, guessing and drowning."""

import json
from collections.abc import AsyncIterator

import pytest

from canary.errors import Unavailable, WorldError
from controlplane.adapters.prometheus_access import Access
from controlplane.evidence import discover
from controlplane.evidence.discover import Discovery, choose
from tests.controlplane.adapters.pages import PageServer

BACKEND = "httproute/shop/chat/rule/0/backend/0"
NAMES = "/api/v1/label/__name__/values"
CLUSTERS = "/api/v1/label/envoy_cluster_name/values"


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


@pytest.fixture
async def server() -> AsyncIterator[PageServer]:
    async with PageServer() as server:
        yield server


def _listed(*values: str) -> str:
    return json.dumps({"status": "success", "data": list(values)})


async def test_names_and_clusters_of_a_prometheus_decide_and_our_headers_are_sent(server: PageServer) -> None:
    server.put(NAMES, _listed("up", "envoy_cluster_upstream_rq_xx"))
    server.put(CLUSTERS, _listed(BACKEND))
    discovery = Discovery(server.url(""), access=Access(headers={"X-Scope-OrgID": "team-a"}))
    assert (await discovery.choice("shop")).profile == "envoy-gateway"
    assert server.asked[0].fields["match[]"] == ['{__name__=~".+",namespace="shop"}']
    assert {asked.headers["x-scope-orgid"] for asked in server.asked} == {"team-a"}


async def test_a_redirect_is_not_followed(server: PageServer) -> None:
    """The library would take our credentials along."""
    server.put(NAMES, "", status=302, headers={"location": server.url("/elsewhere")})
    with pytest.raises(Unavailable, match="TooManyRedirects"):
        await Discovery(server.url("")).names()
    assert [asked.path for asked in server.asked] == [NAMES]


@pytest.mark.parametrize(("body", "status"), [("<html>", 200), ("no", 403), (json.dumps({"status": "error"}), 200)])
async def test_an_answer_of_another_kind_is_said(server: PageServer, body: str, status: int) -> None:
    server.put(NAMES, body, status=status)
    with pytest.raises(WorldError, match="Prometheus on"):
        await Discovery(server.url("")).names()


async def test_an_answer_without_end_is_dropped(server: PageServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "MOST_BYTES", 100)
    server.put(NAMES, _listed("x" * 200))
    with pytest.raises(WorldError):
        await Discovery(server.url("")).names()


async def test_nobody_there_is_an_outage(server: PageServer) -> None:
    await server.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        await Discovery(server.url("")).names()
