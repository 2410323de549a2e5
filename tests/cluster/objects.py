"""Objects that tests put into a test bed by hand: InferenceServices with our sample server, and routes between them.

They are what a person would write, not what Serinus renders: its adapters have their own tests.
"""

from collections.abc import Mapping, Sequence
from typing import Any

RUNTIME = "serinus-sim"
HEADER = "X-Model-Variant"


def service(
    name: str,
    namespace: str,
    *,
    replicas: int = 1,
    gpus: int = 0,
    env: Mapping[str, object] | None = None,
    args: Sequence[str] = (),
    annotations: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """An InferenceService in Standard mode, reachable inside the cluster only.

    `env` are knobs at the start (`TTFT`, `ERROR_RATE`, `LOAD_SECONDS`, `CRASH_AFTER`, …), `annotations` those of its
    pods: `sim/load: 30s` and `sim/mode: crash` on a light bed.
    """
    limits = {"cpu": "1", "memory": "128Mi"} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"networking.kserve.io/visibility": "cluster-local"},
            "annotations": {
                "serving.kserve.io/deploymentMode": "Standard",
                "serving.kserve.io/autoscalerClass": "none",
            },
        },
        "spec": {
            "predictor": {
                "minReplicas": replicas,
                "annotations": dict(annotations or {}),
                "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
                "model": {
                    "modelFormat": {"name": RUNTIME},
                    # Without one KServe adds its agent, which waits for models of its own.
                    "storageUri": f"hf://example/{name}",
                    "env": [{"name": key, "value": str(value)} for key, value in (env or {}).items()],
                    "args": list(args),
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": limits},
                },
            }
        },
    }


def route(name: str, namespace: str, host: str, weights: Mapping[str, int]) -> dict[str, Any]:
    """An HTTPRoute from this host to the predictors of InferenceServices, by weight.

    Each backendRef has a filter: that makes Envoy Gateway build one Envoy cluster per arm, whose metrics tell them
    apart. Without `request: 0s` Envoy cuts streams after 15 s.
    """
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "parentRefs": [{"name": "kserve-ingress-gateway", "namespace": "kserve"}],
            "hostnames": [host],
            "rules": [
                {
                    "timeouts": {"request": "0s"},
                    "backendRefs": [_backend(service, weight) for service, weight in weights.items()],
                }
            ],
        },
    }


def _backend(service: str, weight: int) -> dict[str, Any]:
    named = {"set": [{"name": HEADER, "value": service}]}
    mark = {"type": "RequestHeaderModifier", "requestHeaderModifier": named}
    return {"name": f"{service}-predictor", "port": 80, "weight": weight, "filters": [mark]}
