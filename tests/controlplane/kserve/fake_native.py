"""KServe with `spec.canary` over an API server in memory: as 0.20 was seen to behave, or as later ones (`follows`).

Both repeat the share in the status. Only the later ones write it into their HTTPRoute, once the canary is ready.
"""

from typing import Any

from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import CLUSTER_SERVING_RUNTIME, DEPLOYMENT, HTTP_ROUTE, INFERENCE_SERVICE, POD
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kserve.fake_kserve import SIM


class FakeNative:
    """Everything that a real cluster does with one InferenceService in standard mode."""

    def __init__(self, kube: MemoryKube, *, follows: bool) -> None:
        """Pods are ready at once."""
        self._kube = kube
        self.follows = follows
        kube.seed(CLUSTER_SERVING_RUNTIME, SIM)

    def step(self) -> None:
        """Bring everything to where it would be now."""
        for service in self._kube.objects(INFERENCE_SERVICE).values():
            meta, spec = service["metadata"], service["spec"]
            canaries = spec.get("canary", [])
            wanted = [spec["predictor"], *(each["predictor"] for each in canaries)]
            names = [f"{meta['name']}-{each['name']}-predictor" for each in wanted]
            for predictor, name in zip(wanted, names, strict=True):
                self._serve(meta["name"], meta["namespace"], name, predictor["minReplicas"])
            for namespace, name in list(self._kube.objects(DEPLOYMENT)):
                if name not in names:
                    self._kube.server.delete(DEPLOYMENT, (namespace, name))
            share = sum(each["trafficPercent"] for each in canaries)
            split = (
                [(names[0], 100 - share), *((name, share) for name in names[1:])] if self.follows else [(names[0], 1)]
            )
            backends = [{"name": name, "weight": weight} for name, weight in split]
            self._write(HTTP_ROUTE, {"metadata": _place(meta), "spec": {"rules": [{"backendRefs": backends}]}})
            told = [{"name": each["predictor"]["name"], "trafficPercent": each["trafficPercent"]} for each in canaries]
            self._write(INFERENCE_SERVICE, {**service, "status": {"canaryStatuses": told}})

    def feed(self, caches: Caches) -> None:
        """What reflectors do."""
        for cache in caches.all():
            cache.replace(list(self._kube.objects(cache.resource).values()))

    def _serve(self, service: str, namespace: str, name: str, replicas: int) -> None:
        """The Deployment, which keeps its pods as long as it is there."""
        if (namespace, name) in self._kube.objects(DEPLOYMENT):
            return
        labels = {"app": f"isvc.{name}", "serving.kserve.io/inferenceservice": service}
        made = {"metadata": {"name": name, "namespace": namespace, "labels": labels}, "spec": {"replicas": replicas}}
        self._kube.seed(DEPLOYMENT, made)
        uid = self._kube.objects(DEPLOYMENT)[namespace, name]["metadata"]["uid"]
        since = self._kube.server.timestamp()
        for number in range(replicas):
            meta: dict[str, Any] = {"name": f"{name}-{number}", "namespace": namespace}
            meta |= {"labels": labels, "ownerReferences": [{"uid": uid}]}
            ready = [{"type": "Ready", "status": "True", "lastTransitionTime": since}]
            address = f"10.0.0.{len(self._kube.objects(POD)) + 1}"
            status = {"podIP": address, "conditions": ready}
            self._kube.seed(POD, {"metadata": meta, "spec": {"containers": []}, "status": status})

    def _write(self, resource: Any, object_: Object) -> None:
        meta = object_["metadata"]
        before = self._kube.objects(resource).get((meta["namespace"], meta["name"]), {})
        if any(before.get(part) != object_.get(part) for part in ("spec", "status")):
            self._kube.seed(resource, object_)


def _place(meta: dict[str, Any]) -> dict[str, Any]:
    return {"name": meta["name"], "namespace": meta["namespace"]}
