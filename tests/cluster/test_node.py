"""The node of the test bed is what it says: real pods behind a real gateway, and a Prometheus that sees both arms."""

from typing import Any

from tests.cluster.bed import Node, until
from tests.cluster.objects import route, service

REQUESTS = 2000


def by_arm(counts: dict[str, int]) -> dict[str, int]:
    """Sample servers call themselves by their pod's `app` label, `isvc.NAME-predictor`."""
    return {name.removeprefix("isvc.").removesuffix("-predictor"): count for name, count in counts.items()}


def test_the_gateway_splits_traffic_by_weight_and_prometheus_counts_both_arms(node: Node, namespace: str) -> None:
    """2000 requests at 95:5: no failure, each arm within five standard deviations, Envoy's own counts agree."""
    host = f"chat.{namespace}.example.com"
    node.apply(
        service("stable", namespace),
        service("canary", namespace),
        route("chat", namespace, host, {"stable": 95, "canary": 5}),
    )
    node.until_ready(namespace, "stable", "canary")
    until("the route to serve", lambda: _serves(node, host, arms=2))
    with node.load(host, requests=REQUESTS) as load:
        load.wait()
    assert load.failures() == {}
    arms = by_arm(load.answered())
    assert arms["stable"] + arms["canary"] == REQUESTS
    assert abs(arms["canary"] - 0.05 * REQUESTS) < 5 * (REQUESTS * 0.05 * 0.95) ** 0.5
    mine = f'envoy_cluster_name=~"httproute/{namespace}/chat/rule/0/backend/.*"'
    counted = f"envoy_cluster_upstream_rq_total{{{mine}}}"
    until("Envoy's counts of both arms in Prometheus", lambda: len(_sums(node, counted)) == 2)
    seen = f'http_requests_total{{namespace="{namespace}",status="2xx"}}'
    until("every answer in Prometheus", lambda: sum(_sums(node, seen)) >= REQUESTS)


def test_a_knob_turned_in_the_pods_makes_a_healthy_server_fail(node: Node, namespace: str) -> None:
    """`Node.turn` reaches every pod, and what clients see changes at once."""
    host = f"chat.{namespace}.example.com"
    node.apply(service("stable", namespace, replicas=2), route("chat", namespace, host, {"stable": 1}))
    node.until_ready(namespace, "stable")
    until("the route to serve", lambda: _serves(node, host))
    node.turn(namespace, "stable", error_rate=1.0)
    with node.load(host, requests=50) as load:
        load.wait()
    assert [hit.status for hit in load.hits] == [500] * 50


def test_a_service_that_asks_for_more_gpus_than_there_are_is_unschedulable(node: Node, namespace: str) -> None:
    """The node has four pretended GPUs; the scheduler says on the pod what is missing."""
    node.apply(service("huge", namespace, gpus=5))

    def refused() -> dict[str, Any] | None:
        conditions = [
            condition
            for pod in node.find("pods", namespace)
            for condition in pod["status"].get("conditions", [])
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
        return conditions[0] if conditions else None

    condition = until("the scheduler's word", refused)
    assert condition["reason"] == "Unschedulable"
    assert "Insufficient nvidia.com/gpu" in condition["message"]


def test_a_container_that_outgrows_its_memory_is_killed_by_the_kernel(node: Node, namespace: str) -> None:
    """Real cgroups: the reason on the pod is OOMKilled, not a pretended exit."""
    hungry = service("hungry", namespace)
    hungry["spec"]["predictor"]["model"] |= {"command": ["python3", "-c", "b'x' * (1 << 30)"]}
    node.apply(hungry)

    def killed() -> str | None:
        ends = [
            state["terminated"]["reason"]
            for pod in node.find("pods", namespace)
            for status in pod["status"].get("containerStatuses", [])
            for state in (status["state"], status["lastState"])
            if "terminated" in state
        ]
        return ends[0] if ends else None

    assert until("the container's end", killed) == "OOMKilled"


def test_a_killed_api_server_is_back_at_once_and_traffic_never_stopped(node: Node, namespace: str) -> None:
    """The node starts its daemons again; the gateway serves on without the API server."""
    host = f"chat.{namespace}.example.com"
    node.apply(service("stable", namespace), route("chat", namespace, host, {"stable": 1}))
    node.until_ready(namespace, "stable")
    until("the route to serve", lambda: _serves(node, host))
    with node.load(host, rate=100) as load:
        node.restart("apiserver")
        until("the API server to be away", lambda: "ok" not in node.kubectl("get", "--raw", "/readyz", check=False))
        until("the API server to answer", lambda: node.kubectl("get", "--raw", "/readyz", check=False).strip() == "ok")
    assert load.hits
    assert load.failures() == {}


def _serves(node: Node, host: str, arms: int = 1) -> bool:
    """Whether so many arms answer, and nothing fails: a gateway may know a new route before all that is behind it."""
    with node.load(host, requests=100 if arms > 1 else 5) as load:
        load.wait()
    return not load.failures() and len(load.answered()) >= arms


def _sums(node: Node, promql: str) -> list[float]:
    return [float(found["value"][1]) for found in node.query(promql)]
