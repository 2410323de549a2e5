"""KServe's controller, the Deployment controller, a scheduler and a kubelet in one, over an API server in memory.

Behaves as KServe 0.20 was seen to (`docs/kserve.md`): the same names, labels, conditions and order of things, and as
silent about trouble. A test says what goes wrong (`modes`), and `step` brings the cluster to where it would be by now.
"""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Literal

from controlplane.kserve.caches import Caches
from controlplane.kserve.served_model import SOURCE
from controlplane.kubernetes.api import Object, Resource
from controlplane.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIME,
    DEPLOYMENT,
    INFERENCE_SERVICE,
    NODE,
    POD,
    SERVING_RUNTIME,
)
from testing.fake_apiserver.kube import MemoryKube

Mode = Literal["well", "hang", "crash", "oom", "image", "config", "quota"]
SIM = {
    "metadata": {"name": "serinus-sim"},
    "spec": {
        "supportedModelFormats": [{"name": "serinus-sim", "version": "1"}],
        "containers": [{"name": "kserve-container", "image": "sim:1"}],
    },
}
"""The test bed's runtime."""


class FakeKServe:
    """Everything that a real cluster does with an InferenceService."""

    def __init__(
        self, kube: MemoryKube, *, load_s: float = 0.0, gpus: int = 4, namespace: str | None = None, subnet: int = 0
    ) -> None:
        """One node with so many GPUs; a pod is ready `load_s` seconds after it was made.

        `namespace`: whose InferenceServices are its business; None: everybody's. `subnet`: of its pods' addresses.
        """
        self._subnet = subnet
        self._namespace = namespace
        self._kube = kube
        self._now = kube.clock.now
        self._load_s = load_s
        self._gpus = gpus
        self.modes: dict[str, Mode] = {}
        """What happens to the pods of an InferenceService, by its name."""
        kube.seed(NODE, {"metadata": {"name": "node"}, "status": {"allocatable": {"nvidia.com/gpu": str(gpus)}}})
        kube.seed(CLUSTER_SERVING_RUNTIME, SIM)
        self._made = 0

    def step(self) -> None:
        """Bring everything to where it would be now."""
        for (namespace, _), service in self._kube.objects(INFERENCE_SERVICE).items():
            if self._namespace not in {None, namespace}:
                continue
            runtime = self._runtime(service)
            if runtime is None:
                self._say_no_runtime(service)
                continue
            deployment = self._deployment(service, runtime)
            pods = self._pods_of(deployment, self.modes.get(service["metadata"]["name"], "well"))
            self._report(service, deployment, pods)

    def feed(self, caches: Caches) -> None:
        """What reflectors do."""
        for cache in caches.all():
            cache.replace(list(self._kube.objects(cache.resource).values()))

    def _runtime(self, service: Object) -> Object | None:
        name, namespace = service["spec"]["predictor"]["model"]["runtime"], service["metadata"]["namespace"]
        own = self._kube.objects(SERVING_RUNTIME).get((namespace, name))
        return own or self._kube.objects(CLUSTER_SERVING_RUNTIME).get(("", name))

    def _say_no_runtime(self, service: Object) -> None:
        failure = {"reason": "RuntimeNotRecognized", "message": "Waiting for runtime to become available"}
        self._write(
            INFERENCE_SERVICE, service, {"modelStatus": {"transitionStatus": "InvalidSpec", "lastFailureInfo": failure}}
        )

    def _deployment(self, service: Object, runtime: Object) -> Object:
        meta, predictor = service["metadata"], service["spec"]["predictor"]
        name = f"{meta['name']}-predictor"
        labels = {"app": f"isvc.{name}", "serving.kserve.io/inferenceservice": meta["name"], **meta["labels"]}
        text = json.dumps([predictor, meta["labels"], meta.get("annotations"), runtime["spec"]], sort_keys=True)
        labels["pod-template-hash"] = hashlib.sha256(text.encode()).hexdigest()[:10]
        container = {
            "name": "kserve-container",
            "image": predictor["model"].get("image", runtime["spec"]["containers"][0]["image"]),
            "resources": predictor["model"].get("resources", {}),
            "ports": [{"containerPort": 8080}],
        }
        wanted: Object = {
            "metadata": {"name": name, "namespace": meta["namespace"], "ownerReferences": _owner(service)},
            "spec": {
                "replicas": predictor["minReplicas"],
                "template": {
                    "metadata": {"labels": labels, "annotations": {SOURCE: predictor["model"].get("storageUri", "")}},
                    "spec": {"containers": [container]},
                },
            },
        }
        found = self._kube.objects(DEPLOYMENT).get((meta["namespace"], name))
        if found is None or found["spec"] != wanted["spec"]:
            self._kube.seed(DEPLOYMENT, {**wanted, "status": (found or {}).get("status", {})})
        return self._kube.objects(DEPLOYMENT)[meta["namespace"], name]

    def _pods_of(self, deployment: Object, mode: Mode) -> list[Object]:
        """New pods first; the old ones go when these are ready, as a rolling update has it."""
        name, template = deployment["metadata"]["name"], deployment["spec"]["template"]
        mine = [
            each
            for (namespace, _), each in self._kube.objects(POD).items()
            if namespace == deployment["metadata"]["namespace"]
            and each["metadata"]["labels"].get("app") == f"isvc.{name}"
        ]
        hash_ = template["metadata"]["labels"]["pod-template-hash"]
        new = [each for each in mine if each["metadata"]["labels"]["pod-template-hash"] == hash_]
        while mode != "quota" and len(new) < deployment["spec"]["replicas"]:
            new.append(self._make_pod(deployment, template))
        for pod in new[deployment["spec"]["replicas"] :]:
            self._kube.server.delete(POD, (pod["metadata"]["namespace"], pod["metadata"]["name"]))
        new = [self._live(pod, mode) for pod in new[: deployment["spec"]["replicas"]]]
        if all(_is_ready(pod) for pod in new) and new:
            for pod in mine:
                if pod["metadata"]["labels"]["pod-template-hash"] != hash_:
                    self._kube.server.delete(POD, (pod["metadata"]["namespace"], pod["metadata"]["name"]))
        return new

    def _make_pod(self, deployment: Object, template: dict[str, Any]) -> Object:
        self._made += 1
        name = f"{deployment['metadata']['name']}-{self._made}"
        pod = {
            "metadata": {
                "name": name,
                "namespace": deployment["metadata"]["namespace"],
                "labels": template["metadata"]["labels"],
                "annotations": {"made": repr(self._now())},
                "ownerReferences": _owner(deployment),
            },
            "spec": template["spec"],
        }
        self._kube.seed(POD, pod)
        return self._kube.objects(POD)[pod["metadata"]["namespace"], name]

    def _live(self, pod: Object, mode: Mode) -> Object:
        """The pod's status by now."""
        status: dict[str, Any] = pod.get("status") or {}
        since = self._stamp(float(pod["metadata"]["annotations"]["made"]))
        if "nodeName" not in pod["spec"]:
            if self._taken() + _gpus(pod) > self._gpus:
                message = "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available."
                told = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
                return self._write(POD, pod, {"phase": "Pending", "conditions": [told | {"lastTransitionTime": since}]})
            pod = {**pod, "spec": {**pod["spec"], "nodeName": "node"}}
        loaded = self._now() >= float(pod["metadata"]["annotations"]["made"]) + self._load_s
        if mode == "well" and loaded and _is_ready({"status": status}):
            return pod
        container = {
            "name": "kserve-container",
            "image": "sim:1",
            "imageID": "sim@sha256:1",
            "ready": False,
            "restartCount": 0,
        }
        container |= _state(mode, since)
        ready = mode == "well" and loaded
        conditions = [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": since},
            {"type": "Ready", "status": str(ready), "lastTransitionTime": self._stamp(self._now())},
        ]
        address = status.get("podIP") or f"10.0.{self._subnet}.{pod['metadata']['name'].rpartition('-')[2]}"
        return self._write(
            POD,
            pod,
            {
                "phase": "Running",
                "podIP": address,
                "conditions": conditions,
                "containerStatuses": [container | {"ready": ready}],
            },
        )

    def _report(self, service: Object, deployment: Object, pods: list[Object]) -> None:
        """KServe's own status: it says the same of every trouble."""
        ready = len(pods) >= deployment["spec"]["replicas"] and all(_is_ready(pod) for pod in pods)
        conditions = [{"type": "Available", "status": str(ready)}]
        if self.modes.get(service["metadata"]["name"]) == "quota":
            message = (
                'pods "x" is forbidden: exceeded quota: gpus, requested: requests.nvidia.com/gpu=1, used: 4, limited: 4'
            )
            conditions.append(
                {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
            )
        self._write(DEPLOYMENT, deployment, {"conditions": conditions})
        told = {"type": "PredictorReady", "status": str(ready), "reason": "" if ready else "MinimumReplicasUnavailable"}
        model = {"transitionStatus": "UpToDate" if ready else "InProgress"}
        self._write(INFERENCE_SERVICE, service, {"conditions": [told], "modelStatus": model})

    def _write(self, resource: Resource, object_: Object, status: dict[str, Any]) -> Object:
        after = {**object_, "status": status}
        meta = object_["metadata"]
        if self._kube.objects(resource).get((meta.get("namespace", ""), meta["name"])) != after:
            self._kube.seed(resource, after)
        return after

    def _taken(self) -> int:
        return sum(_gpus(pod) for pod in self._kube.objects(POD).values() if "nodeName" in pod["spec"])

    def _stamp(self, at: float) -> str:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _state(mode: Mode, since: str) -> dict[str, Any]:
    """A container's state in the kubelet's words."""
    running = {"state": {"running": {"startedAt": since}}}
    backing_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container"}}
    match mode:
        case "crash":
            ended = {"terminated": {"exitCode": 1, "reason": "Error", "message": "ValueError: no such quantization"}}
            return {"restartCount": 3, "state": backing_off, "lastState": ended}
        case "oom":
            ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
            return {"restartCount": 2, "state": backing_off, "lastState": ended}
        case "image":
            return {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}}
        case "config":
            told = {"reason": "CreateContainerConfigError", "message": 'secret "hf-token" not found'}
            return {"state": {"waiting": told}}
        case _:
            return running


def _owner(object_: Object) -> list[dict[str, str]]:
    meta = object_["metadata"]
    return [{"kind": object_["kind"], "apiVersion": object_["apiVersion"], "name": meta["name"], "uid": meta["uid"]}]


def _is_ready(pod: Object) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)


def _gpus(pod: Object) -> int:
    containers = pod["spec"]["containers"]
    return sum(int(each["resources"].get("limits", {}).get("nvidia.com/gpu", 0)) for each in containers)
