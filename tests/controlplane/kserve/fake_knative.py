"""KServe in Knative mode over an API server in memory: revisions, their pods, and the status that KServe copies.

Behaves as the real controller was seen to (`docs/kserve.md`): a template that changes is a new revision, the share is
ignored before anything was rolled out, the newest revision gets traffic only once it is ready, and `rolled out` moves
when a revision is seen with all of the traffic, or back when 0 is written after that.
"""

import json
from typing import Any

from controlplane.kserve.caches import Caches
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import CLUSTER_SERVING_RUNTIME, INFERENCE_SERVICE, POD
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kserve.fake_kserve import SIM


class FakeKnative:
    """Everything that a real cluster does with one InferenceService in Knative mode."""

    def __init__(self, kube: MemoryKube, *, load_s: float = 0.0) -> None:
        """A pod is ready `load_s` seconds after it was made."""
        self._kube = kube
        self._now = kube.clock.now
        self.load_s = load_s
        self._templates: list[str] = []
        self._pods = 0
        self.ignores_shares = False
        """Leave the traffic as it is, whatever is written."""
        kube.seed(CLUSTER_SERVING_RUNTIME, SIM)

    def step(self) -> None:
        """Bring everything to where it would be now."""
        for service in self._kube.objects(INFERENCE_SERVICE).values():
            self._reconcile(service)

    def feed(self, caches: Caches) -> None:
        """What reflectors do."""
        for cache in caches.all():
            cache.replace(list(self._kube.objects(cache.resource).values()))

    def _reconcile(self, service: Object) -> None:
        predictor = dict(service["spec"]["predictor"])
        share = predictor.pop("canaryTrafficPercent", None)
        template = json.dumps([predictor, service["metadata"]["annotations"]], sort_keys=True)
        if not self._templates or self._templates[-1] != template:
            self._templates.append(template)
        newest = self._named(len(self._templates))
        status: dict[str, Any] = dict(((service.get("status") or {}).get("components") or {}).get("predictor") or {})
        rolled, before = status.get("latestRolledoutRevision", ""), status.get("previousRolledoutRevision", "")
        self._scale(service, newest, predictor["minReplicas"])
        ready = self._is_ready(newest, predictor["minReplicas"])
        serving = newest if ready else status.get("latestReadyRevision", "")
        if self.ignores_shares and status:
            return
        if share is None or not rolled:
            traffic = [{"revisionName": serving, "percent": 100, "latestRevision": True}]
        elif share == 0 and rolled == newest and before:
            traffic = self._two(serving, 0, before)
            rolled = before
        else:
            traffic = self._two(serving, share, rolled) if share < 100 else [{"revisionName": serving, "percent": 100}]
        if ready and traffic[0] == {**traffic[0], "revisionName": newest, "percent": 100} and rolled != newest:
            before, rolled = rolled, newest
        for number in range(1, len(self._templates)):
            if self._named(number) not in {each["revisionName"] for each in traffic if each["percent"]}:
                self._scale(service, self._named(number), 0)
        status = {
            "latestCreatedRevision": newest,
            "latestReadyRevision": serving,
            "latestRolledoutRevision": rolled,
            "previousRolledoutRevision": before,
            "traffic": [each for each in traffic if each["revisionName"]],
        }
        after = {**service, "status": {"components": {"predictor": {k: v for k, v in status.items() if v}}}}
        if after != service:
            self._kube.seed(INFERENCE_SERVICE, after)

    def _two(self, serving: str, share: int, rolled: str) -> list[dict[str, Any]]:
        latest = {"revisionName": serving, "percent": share, "latestRevision": True}
        return [latest, {"revisionName": rolled, "percent": 100 - share, "tag": "prev"}]

    def _named(self, number: int) -> str:
        return f"revision-{number:05}"

    def _scale(self, service: Object, revision: str, replicas: int) -> None:
        """The pods of a revision: so many, each ready once it has loaded."""
        namespace = service["metadata"]["namespace"]
        mine = [pod for pod in self._kube.objects(POD).values() if _revision(pod) == revision]
        for pod in mine[replicas:]:
            self._kube.server.delete(POD, (namespace, pod["metadata"]["name"]))
        for _ in range(replicas - len(mine)):
            self._pods += 1
            labels = {"serving.kserve.io/inferenceservice": service["metadata"]["name"]}
            labels |= {"serving.knative.dev/revision": revision, **service["spec"]["predictor"]["labels"]}
            meta = {"name": f"pod-{self._pods}", "namespace": namespace, "labels": labels}
            meta["annotations"] = {"made": repr(self._now())}
            status: dict[str, Any] = {"podIP": f"10.0.0.{self._pods}", "conditions": []}
            self._kube.seed(POD, {"metadata": meta, "spec": {"containers": []}, "status": status})
        for pod in mine[:replicas]:
            if self._now() >= float(pod["metadata"]["annotations"]["made"]) + self.load_s:
                told = {"type": "Ready", "status": "True", "lastTransitionTime": pod["metadata"]["creationTimestamp"]}
                if pod["status"]["conditions"] != [told]:
                    self._kube.seed(POD, {**pod, "status": {**pod["status"], "conditions": [told]}})

    def _is_ready(self, revision: str, replicas: int) -> bool:
        pods = [pod for pod in self._kube.objects(POD).values() if _revision(pod) == revision]
        return len(pods) >= replicas and all(pod["status"]["conditions"] for pod in pods)


def _revision(pod: Object) -> str:
    return str(pod["metadata"]["labels"]["serving.knative.dev/revision"])
