"""KServe's controller for LLMInferenceServices over an API server in memory: Deployments, pods, and the routing group.

Behaves as the real controller was seen to (`docs/kserve.md`): the group in each member's status is rendered from all
members' weights; a member that is not ready is left out of it.
"""

from typing import Any

from controlplane.kserve.caches import LLM_LABEL, Caches
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.memory import MemoryKube
from controlplane.kubernetes.resources import DEPLOYMENT, LLM_INFERENCE_SERVICE, POD

PART = {"app.kubernetes.io/part-of": "llminferenceservice"}


class FakeLlm:
    """Everything that a real cluster does with LLMInferenceServices."""

    def __init__(self, kube: MemoryKube, *, load_s: float = 0.0) -> None:
        """A pod is ready `load_s` seconds after it was made."""
        self._kube = kube
        self._now = kube.clock.now
        self._load_s = load_s
        self._pods = 0
        self.asleep = False
        """Leave the routes as they are."""
        self.shares: list[float] = []
        """The second member's share of the group, each time that it became another one."""

    def step(self) -> None:
        """Bring everything to where it would be now."""
        services = list(self._kube.objects(LLM_INFERENCE_SERVICE).values())
        ready = {each["metadata"]["name"]: self._serve(each) for each in services}
        if self.asleep:
            return
        members = [
            {"name": each["metadata"]["name"], "weight": each["spec"]["router"]["route"]["weight"]}
            for each in services
            if ready[each["metadata"]["name"]]
        ]
        self._note(members)
        for each in services:
            status = {"router": {"group": {"name": each["spec"]["router"]["route"]["group"], "members": members}}}
            if each.get("status") != status and members:
                self._kube.seed(LLM_INFERENCE_SERVICE, {**each, "status": status})

    def feed(self, caches: Caches) -> None:
        """What reflectors do."""
        for cache in caches.all():
            cache.replace(list(self._kube.objects(cache.resource).values()))

    def _note(self, members: list[dict[str, Any]]) -> None:
        total = sum(each["weight"] for each in members)
        if len(members) == 2:
            assert total, "all weights of the group are zero"
            share = members[1]["weight"] / total
            if not self.shares or self.shares[-1] != share:
                self.shares.append(share)

    def _serve(self, service: Object) -> bool:
        """The Deployment and its pods; answers whether all of them are ready."""
        meta, replicas = service["metadata"], service["spec"]["replicas"]
        name = f"{meta['name']}-kserve"
        owner = [{"kind": service["kind"], "name": meta["name"], "uid": meta["uid"]}]
        if (meta["namespace"], name) not in self._kube.objects(DEPLOYMENT):
            made = {"name": name, "namespace": meta["namespace"], "ownerReferences": owner, "labels": PART}
            self._kube.seed(DEPLOYMENT, {"metadata": made, "spec": {"replicas": replicas}})
        mine = [pod for pod in self._kube.objects(POD).values() if pod["metadata"]["labels"][LLM_LABEL] == meta["name"]]
        for _ in range(replicas - len(mine)):
            self._pods += 1
            labels, annotations = {LLM_LABEL: meta["name"], **PART}, {"made": repr(self._now())}
            made = {"name": f"{name}-{self._pods}", "namespace": meta["namespace"], "labels": labels}
            made |= {"annotations": annotations, "ownerReferences": owner}
            container = {"name": "main", "ports": [{"containerPort": 8000}]}
            status: dict[str, Any] = {"podIP": f"10.0.0.{self._pods}", "conditions": []}
            spec = {"containers": [container], "nodeName": "node"}
            self._kube.seed(POD, {"metadata": made, "spec": spec, "status": status})
        for pod in mine:
            if self._now() >= float(pod["metadata"]["annotations"]["made"]) + self._load_s:
                told = {"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
                if pod["status"]["conditions"] != [told]:
                    self._kube.seed(POD, {**pod, "status": {**pod["status"], "conditions": [told]}})
        return len(mine) >= replicas and all(pod["status"]["conditions"] for pod in mine)
