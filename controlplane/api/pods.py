"""The pods of a cluster's rollouts: which arm each belongs to, whether it is ready, and what troubles it.

Followed by `cluster.py` with one watch for everybody; people are shown those that they may list themselves. The clause
about what is wrong is the operator's own (`kserve/pods.py`). Counts nothing and decides nothing.
"""

import asyncio
from collections.abc import Iterator, Sequence

from canary.spec.models import CanarySpec, KServePlatform
from canary.weights import ARMS, Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.llm_service import WORKLOAD_SERVICE
from controlplane.kserve.native_service import workload
from controlplane.kserve.pods import leaving, problem_of, ready_since, seconds
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.names import LONGEST_LABEL, PREDICTOR, predictor, service_name, shortened
from controlplane.kubernetes.reflector import Reflector
from controlplane.kubernetes.resources import POD
from controlplane.operator.informers import KSERVE_PODS, LLM_PODS, slim_pod
from controlplane.ports import Clock
from controlplane.view.facts import Replica

SERVES = ("kserve-container", "main")
"""What KServe calls the container that serves; the others of a pod stand beside it."""
UNSYNCED = "Pods were not listed yet."


class Pods:
    """All pods that KServe made, kept equal to the server's."""

    def __init__(self, kube: Kube, clock: Clock, namespace: str | None) -> None:
        """`namespace`: the only one that is followed; None for all."""
        self._caches = Caches()
        self._reflectors = [
            Reflector(kube, POD, cache, clock=clock, namespace=namespace, labels=labels, slim=slim_pod)
            for cache, labels in ((self._caches.pods, KSERVE_PODS), (self._caches.llm_pods, LLM_PODS))
        ]

    async def run(self) -> None:
        """Follow for ever; ends by being cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for each in self._reflectors:
                tasks.create_task(each.run(), name="pods reflector")

    def of(self, namespace: str, name: str, spec: CanarySpec, now: float) -> tuple[tuple[Replica, ...], str]:
        """The pods of this rollout, stable's first, and why they may not be all (empty while they are)."""
        kserve = spec.platform.kserve
        if kserve is None:
            return (), ""
        follows = self._reflectors[kserve.mode == "llm"]
        unseen = follows.problem or ("" if follows.synced.is_set() else UNSYNCED)
        if unseen and not follows.problem.endswith("."):
            unseen = f"{unseen.rstrip('.')}."
        found = [_replica(arm, pod, now) for arm, pod in self._found(namespace, name, spec, kserve)]
        return tuple(sorted(found, key=lambda each: (each.arm != "stable", each.arm, each.name))), unseen

    def _found(
        self, namespace: str, name: str, spec: CanarySpec, kserve: KServePlatform
    ) -> Iterator[tuple[str, Object]]:
        caches, variants = self._caches, {"stable": spec.stable, "canary": spec.canary}
        if kserve.mode == "knative":
            # Which revision is whose changes with a promotion, and only the InferenceService knows.
            service = shortened(name, LONGEST_LABEL - len(PREDICTOR))
            for pod in caches.pods.items(namespace):
                labels = pod["metadata"].get("labels") or {}
                if labels.get(KSERVE_PODS) == service:
                    yield labels.get("serving.knative.dev/revision", "–"), pod
            return
        for arm in ARMS:
            variant = variants[arm]
            if kserve.mode == "llm":
                called = shortened(f"{name}-{variant.name}", LONGEST_LABEL - len(WORKLOAD_SERVICE))
                pods = caches.pods_of_llms.of(namespace, called)
            elif kserve.mode == "native":
                made = workload(shortened(name, LONGEST_LABEL - len(PREDICTOR)), variant)
                pods = caches.pods_of_apps.of(namespace, f"isvc.{made}")
            else:
                called = variant.inference_service or service_name(name, variant.name)
                pods = caches.pods_of_apps.of(namespace, f"isvc.{predictor(called)}")
            for pod in pods:
                yield arm, pod


def _replica(arm: Arm | str, pod: Object, now: float) -> Replica:
    ready = ready_since(pod) is not None
    trouble = "" if ready else "it is being stopped" if leaving(pod) else problem_of(pod, now).clause
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    containers: Sequence[Object] = spec.get("containers") or ()
    server: Object = next((each for each in containers if each.get("name") in SERVES), next(iter(containers), {}))
    told = status.get("containerStatuses") or ()
    return Replica(
        arm=arm,
        name=pod["metadata"]["name"],
        ready=ready,
        since=seconds(pod["metadata"].get("creationTimestamp")),
        restarts=sum(int(each.get("restartCount") or 0) for each in told if each.get("name") == server.get("name")),
        place=str(spec.get("nodeName") or ""),
        serves=str(server.get("image") or ""),
        trouble=trouble,
    )
