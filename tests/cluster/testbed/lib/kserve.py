"""Turns KServe's shipped manifests (JSON from kubectl on standard input) into the test bed's (JSON on standard output).

Called by `parts.sh`: `kserve.py config` for the ConfigMap of the controllers, `kserve.py webhooks SERVICE CA [URL]` for
the webhook configurations. It talks to no cluster.
"""

import base64
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any


def objects(text: str) -> Iterator[dict[str, Any]]:
    """One after the other, lists taken apart: kubectl prints several documents without a separator."""
    decoder, rest = json.JSONDecoder(), text.lstrip()
    while rest:
        found, end = decoder.raw_decode(rest)
        yield from found["items"] if found["kind"].endswith("List") else [found]
        rest = rest[end:].lstrip()


def config(found: dict[str, Any]) -> dict[str, Any]:
    """Standard mode, Gateway API, and requests that fit a small node."""
    data = found["data"]
    data.pop("_example", None)

    def edit(key: str, **values: Any) -> None:
        data[key] = json.dumps(json.loads(data[key]) | values)

    edit("deploy", defaultDeploymentMode="Standard")
    # Without disableIstioVirtualHost every reconcile emits a warning event about a missing Istio.
    edit("ingress", enableGatewayApi=True, disableIstioVirtualHost=True)
    downloads_nothing = "localhost/storage-initializer:testbed"
    edit("storageInitializer", image=downloads_nothing, cpuRequest="1m", memoryRequest="8Mi", enableModelcar=False)
    # The shipped default asks for 1 CPU and 2 GiB per model container: two of them fill a small node.
    small = {"cpuLimit": "1", "memoryLimit": "512Mi", "cpuRequest": "10m", "memoryRequest": "64Mi"}
    edit("inferenceService", resource=small)
    found["metadata"] = {"name": "inferenceservice-config", "namespace": "kserve"}
    return found


def webhooks(found: dict[str, Any], name: str, authority: str, url: str = "") -> dict[str, Any]:
    """Our certificate authority, and a URL in place of the Service when the manager runs outside the cluster."""
    found["metadata"] = {"name": found["metadata"]["name"]}
    for webhook in found["webhooks"]:
        path = webhook["clientConfig"]["service"]["path"]
        service = {"name": name, "namespace": "kserve", "path": path}
        client: dict[str, Any] = {"url": url + path} if url else {"service": service}
        client["caBundle"] = base64.b64encode(Path(authority).read_bytes()).decode()
        webhook["clientConfig"] = client
        webhook["timeoutSeconds"] = 10
    return found


def main() -> None:
    """Read, turn, write."""
    turns: dict[str, Callable[..., dict[str, Any]]] = {"config": config, "webhooks": webhooks}
    turn = turns[sys.argv[1]]
    items = [turn(found, *sys.argv[2:]) for found in objects(sys.stdin.read())]
    json.dump({"apiVersion": "v1", "kind": "List", "items": items}, sys.stdout)


if __name__ == "__main__":
    main()
