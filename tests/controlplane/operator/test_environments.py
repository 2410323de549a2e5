"""Two namespaces at one Gateway: whose a host name is, seen by whole operators with their real router."""

import asyncio
from typing import Any

from controlplane.gateway.hostnames import Allowed
from controlplane.kubectl.record import record_of
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import EVENT, HTTP_ROUTE, MODEL_CANARY
from tests.controlplane.operator.cluster import NAME, PLACE, Cluster, a_canary, plays

HOST = "chat.example.com"


def theirs(made: str, host: str = HOST) -> Object:
    """A route of another namespace, as somebody wrote it."""
    return {
        "metadata": {"name": "shop", "namespace": "team-b", "creationTimestamp": made},
        "spec": {
            "parentRefs": [{"namespace": "kserve", "name": "kserve-ingress-gateway"}],
            "hostnames": [host],
            "rules": [{"backendRefs": [{"name": "shop", "port": 80}]}],
        },
    }


LONG_AGO, LATER = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"


def drifted(cluster: Cluster) -> str:
    """What the condition says of others' changes; empty where there are none."""
    told = [each for each in cluster.status().get("conditions", ()) if each["type"] == "Drifted"]
    return str(told[0]["message"]) if told and told[0]["status"] == "True" else ""


def notes(cluster: Cluster) -> str:
    """Every Kubernetes Event so far."""
    return " ".join(each["note"] for each in cluster.kube.objects(EVENT).values())


def parents(cluster: Cluster) -> list[Any]:
    """What our route hangs on."""
    return list(cluster.kube.objects(HTTP_ROUTE)[PLACE, NAME]["spec"].get("parentRefs", ()))


@plays
async def test_s14_no_route_is_written_for_a_name_that_another_namespace_has(cluster: Cluster) -> None:
    """Whatever header its cohort names: the condition and an Event name that route, and once it is gone it begins."""
    stop = asyncio.Event()
    cluster.kube.seed(HTTP_ROUTE, theirs(LATER))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(cluster.operator().run(stop))
        cohort = {"header": "content-type", "in": ["application/json"]}
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(cohort=cohort))
        await cluster.until(lambda: cluster.accepted().get("status") == "False")
        await asyncio.sleep(30)
        assert set(cluster.kube.objects(HTTP_ROUTE)) == {("team-b", "shop")}
        assert cluster.services() == set()
        shown = record_of(cluster.kube.objects(MODEL_CANARY)[PLACE, NAME])  # what kubectl canary says
        for said in (cluster.accepted()["message"], notes(cluster), str(shown)):
            assert "HTTPRoute team-b/shop has chat.example.com on Gateway kserve/kserve-ingress-gateway" in said
        await cluster.kube.acting_as("kubectl").delete(HTTP_ROUTE, "team-b", "shop")
        await cluster.until(lambda: (PLACE, NAME) in cluster.kube.objects(HTTP_ROUTE))
        await cluster.until(cluster.at_rest)
        stop.set()
    assert cluster.status()["result"] == "promoted"


@plays
async def test_s14_a_name_that_the_settings_give_to_others_is_refused(cluster: Cluster) -> None:
    operator = cluster.operator(hosts=Allowed.of([f"{PLACE}=*.{PLACE}.example.com"]))
    async with cluster.operated(operator):
        await cluster.until(lambda: cluster.accepted().get("status") == "False")
        assert f"not a name that namespace {PLACE} may have (*.{PLACE}.example.com)" in cluster.accepted()["message"]
        named = {"kserve": {"gateway": "kserve/kserve-ingress-gateway", "hostname": f"chat.{PLACE}.example.com"}}
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(platform=named))
    assert cluster.status()["result"] == "promoted"


@plays
async def test_s14_a_route_leaves_its_name_to_an_older_one_and_hangs_on_its_gateway_again_afterwards(
    cluster: Cluster,
) -> None:
    """Two took it at one moment: the younger lets go of its Gateway, and both variants run on."""
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.kube.seed(HTTP_ROUTE, theirs(LONG_AGO))
        await cluster.until(lambda: not parents(cluster), seconds=3)
        await cluster.until(lambda: "Nobody is served through it" in drifted(cluster))
        assert "HTTPRoute team-b/shop has chat.example.com" in drifted(cluster)
        assert "HTTPRoute team-b/shop" in notes(cluster)
        assert len(cluster.services()) == 2
        await asyncio.sleep(20)
        assert not parents(cluster)
        await cluster.kube.acting_as("kubectl").delete(HTTP_ROUTE, "team-b", "shop")
        await cluster.until(lambda: bool(parents(cluster)), seconds=5)
    assert cluster.status()["result"] == "promoted"
    assert drifted(cluster) == ""


@plays
async def test_s14_a_younger_route_with_the_same_name_is_named_and_changes_nothing(cluster: Cluster) -> None:
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.kube.seed(HTTP_ROUTE, theirs(LATER, "*.example.com"))
        await cluster.until(lambda: "had it first" in drifted(cluster), seconds=5)
        assert "HTTPRoute team-b/shop has chat.example.com (as *.example.com)" in drifted(cluster)
        assert parents(cluster)
    assert cluster.status()["result"] == "promoted"


@plays
async def test_s14_a_rollback_is_not_kept_up_by_a_name_that_is_anothers(cluster: Cluster) -> None:
    """The share falls in the route as it is: nothing of the canary is left when it hangs on its Gateway again."""
    async with cluster.operated():
        await cluster.until(lambda: cluster.status().get("stage") == 1)
        cluster.kube.seed(HTTP_ROUTE, theirs(LONG_AGO))
        await cluster.until(lambda: not parents(cluster), seconds=3)
        await cluster.ask("abort")
        await cluster.until(lambda: cluster.shares().get("v2", 0.0) < 0.01, seconds=5)
        assert not parents(cluster)
        await cluster.kube.acting_as("kubectl").delete(HTTP_ROUTE, "team-b", "shop")
    assert cluster.status()["result"] == "aborted"
    assert cluster.shares() == {"v1": 1.0}


@plays
async def test_s14_an_operator_of_one_namespace_sees_the_names_of_all(
    cluster: Cluster,
) -> None:
    """By a cache of its own, with what routes claim and no more."""
    stop = asyncio.Event()
    cluster.kube.seed(HTTP_ROUTE, theirs(LATER))
    operator = cluster.operator(namespace=PLACE)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(operator.run(stop))
        await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary())
        await cluster.until(lambda: "team-b/shop" in cluster.accepted().get("message", ""))
        stop.set()
    (kept,) = [
        each for each in operator.following.caches.routes_elsewhere.items() if each["metadata"]["name"] == "shop"
    ]
    assert set(kept["metadata"]) <= {"name", "namespace", "uid", "resourceVersion", "creationTimestamp"}
