"""Carries Knative's Ingresses out with HTTPRoutes of the test bed's own gateway.

Runs as a pod of the part `knative`, beside Knative's own controllers: their usual ingress programs cannot be had from
the Go module proxy. It does what an ingress implementation has to: routes by host and header, splits by percent, and
says that an Ingress is ready once the gateway has taken its route. TLS, timeouts, rewritten hosts and more than one
gateway are left out. Standard library only, so that it runs in the test bed's plain Python image.
"""

import json
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
SERVER = "https://kubernetes.default.svc"
INGRESSES = "/apis/networking.internal.knative.dev/v1alpha1"
ROUTES = "/apis/gateway.networking.k8s.io/v1"
GATEWAY = {"name": "kserve-ingress-gateway", "namespace": "kserve"}
INSIDE = "gateway.envoy-gateway-system.svc.cluster.local"
LOOK_S = 0.1
SETTLED_S = 0.3
"""Seconds from a route that is accepted to one that every thread of the proxy knows."""
CONDITIONS = ("NetworkConfigured", "LoadBalancerReady", "Ready")


def ask(path: str, method: str = "GET", body: Any = None, kind: str = "application/json") -> Any:
    """One request to the API server; raises `HTTPError` for what it refuses."""
    token = (ACCOUNT / "token").read_text()
    request = urllib.request.Request(SERVER + path, method=method)  # noqa: S310 - the API server's own address
    request.add_header("Authorization", f"Bearer {token}")
    request.add_header("Content-Type", kind)
    data = None if body is None else json.dumps(body).encode()
    trusted = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(request, data, timeout=30, context=trusted) as answer:  # noqa: S310 - as above
        return json.load(answer)


def rules(ingress: dict[str, Any], number: int) -> Iterator[dict[str, Any]]:
    """The rules of one Ingress rule as an HTTPRoute has them."""
    for path in ingress["spec"]["rules"][number]["http"]["paths"]:
        match: dict[str, Any] = {"path": {"type": "PathPrefix", "value": path.get("path") or "/"}}
        if path.get("headers"):
            match["headers"] = [{"name": name, "value": each["exact"]} for name, each in path["headers"].items()]
        splits = [each for each in path["splits"] if each.get("percent", 100)]
        behind = [
            {"name": each["serviceName"], "port": each["servicePort"], "weight": each.get("percent", 100)}
            for each in splits
        ]
        # Headers of one split alone go on the rule: on a backendRef they would give it a cluster of its own in the
        # proxy, which loses requests when it comes and goes. The activator, who needs them, is in no mixed split.
        added = {**path.get("appendHeaders", {}), **(splits[0].get("appendHeaders", {}) if len(splits) == 1 else {})}
        filters = [
            {
                "type": "RequestHeaderModifier",
                "requestHeaderModifier": {"set": [{"name": name, "value": value} for name, value in added.items()]},
            }
        ]
        yield {
            "matches": [match],
            "backendRefs": behind,
            "timeouts": {"request": "0s"},
            **({"filters": filters} if added else {}),
        }


def routes(ingress: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An HTTPRoute for each rule, owned by the Ingress."""
    meta = ingress["metadata"]
    owner = {
        "apiVersion": ingress["apiVersion"],
        "kind": ingress["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        "controller": True,
    }
    for number, rule in enumerate(ingress["spec"]["rules"]):
        yield {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {
                "name": f"kn-{meta['name']}-{number}",
                "namespace": meta["namespace"],
                "ownerReferences": [owner],
            },
            "spec": {"parentRefs": [GATEWAY], "hostnames": rule["hosts"], "rules": list(rules(ingress, number))},
        }


def is_accepted(route: dict[str, Any]) -> bool:
    """Whether the gateway says so of this very generation."""
    return any(
        each["type"] == "Accepted"
        and each["status"] == "True"
        and each["observedGeneration"] == route["metadata"]["generation"]
        for parent in route.get("status", {}).get("parents", ())
        for each in parent["conditions"]
    )


def carry_out(ingress: dict[str, Any]) -> None:
    """Write its routes, wait until they are taken, and say so in its status."""
    meta = ingress["metadata"]
    where = f"{ROUTES}/namespaces/{meta['namespace']}/httproutes"
    for route in routes(ingress):
        path = f"{where}/{route['metadata']['name']}"
        ask(f"{path}?fieldManager=knative-ingress&force=true", "PATCH", route, "application/apply-patch+yaml")
        while not is_accepted(ask(path)):
            time.sleep(LOOK_S)
    time.sleep(SETTLED_S)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    inside = {"ingress": [{"domainInternal": INSIDE}]}
    status = {
        "observedGeneration": meta["generation"],
        "conditions": [{"type": each, "status": "True", "lastTransitionTime": now} for each in CONDITIONS],
        "publicLoadBalancer": inside,
        "privateLoadBalancer": inside,
    }
    one = f"{INGRESSES}/namespaces/{meta['namespace']}/ingresses/{meta['name']}/status"
    ask(one, "PATCH", {"status": status}, "application/merge-patch+json")
    say(f"{meta['namespace']}/{meta['name']}: generation {meta['generation']} is in force")


def say(line: str) -> None:
    """A line for the pod's log."""
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Look for Ingresses whose newest generation is not in force yet, for ever."""
    while True:
        for ingress in ask(f"{INGRESSES}/ingresses")["items"]:
            ingress |= {"apiVersion": "networking.internal.knative.dev/v1alpha1", "kind": "Ingress"}
            if ingress.get("status", {}).get("observedGeneration") == ingress["metadata"]["generation"]:
                continue
            try:
                carry_out(ingress)
            except (urllib.error.URLError, TimeoutError) as error:
                said = error.read().decode() if isinstance(error, urllib.error.HTTPError) else error
                say(f"{ingress['metadata']['name']}: {said}; tried again")
        time.sleep(LOOK_S)


if __name__ == "__main__":
    main()
