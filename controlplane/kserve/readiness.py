"""Readiness of one variant, and its trouble in one clause: from its pods, its Deployment and its InferenceService.

Called by the platforms at every look. Loading, no GPU left, a crash loop, an image that cannot be pulled, a quota and
KServe's own objections are told apart, and `hopeless` is said only where waiting cannot help: the server ended three
times running, or what somebody else could have put right was not within a minute. Pure: it reads no clock and no cache.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from canary.format import duration
from canary.snapshot import VariantStatus
from controlplane.kserve.pods import (
    PATIENCE,
    PodProblem,
    condition,
    leaving,
    problem_of,
    ready_since,
    seconds,
    unsettled_reason,
)
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.quantity import whole

HASH = "pod-template-hash"
KSERVE_PATIENCE = 10.0
"""Seconds that KServe may take to see a runtime that was made just before."""
INVALID = frozenset({"InvalidSpec", "BlockedByFailedLoad"})
"""`modelStatus.transitionStatus` when KServe objects."""


@dataclass(frozen=True, slots=True)
class VariantObjects:
    """What there is of one variant at one moment."""

    service: Object
    deployment: Object | None
    pods: Sequence[Object]
    nodes: Iterable[Object] = ()
    neighbours: Iterable[Object] = ()
    """All nodes and pods, for counting what is left; read only when there is no room."""
    wanted: int | None = None
    """How many there should be, where the InferenceService does not say it of this variant alone."""
    wary: bool = False
    """Whether ready pods are relied on only after they have stayed so: asked of a canary, never of what serves."""
    revision: str = ""
    """Knative's name for it, where it has one: what the InferenceService says of revisions is meant by name."""


def variant_status(parts: VariantObjects, now: float) -> VariantStatus:
    """How many replicas are wanted and ready, and why the rest is not."""
    alive = [pod for pod in parts.pods if not leaving(pod)]
    newest = newest_template(alive, parts.deployment)
    ready = sum(ready_since(pod) is not None for pod in alive)
    wanted = replicas(parts)
    if len({template_of(pod) for pod in alive}) > 1:
        wanted = max(wanted, len(alive))  # a restart is under way: whoever takes over has to be ready as well
    if ready >= wanted:
        unsure = next(filter(None, (unsettled_reason(pod, now) for pod in alive)), "") if parts.wary else ""
        return VariantStatus(now, wanted, min(ready, wanted), unsure, steady=not unsure)
    said = _worst(parts, [pod for pod in alive if template_of(pod) == newest], now)
    return VariantStatus(now, wanted, ready, said.clause, said.hopeless and not ready, stuck=said.weight > 0)


def replicas(parts: VariantObjects) -> int:
    """How many there should be: as the Deployment says, or the InferenceService before there is one."""
    if parts.wanted is not None:
        return parts.wanted
    if parts.deployment is not None:
        return int(parts.deployment["spec"].get("replicas", 1))
    return int(parts.service["spec"]["predictor"].get("minReplicas", 1))


def template_of(pod: Object) -> str:
    """Which template of its Deployment the pod was made from."""
    return str((pod["metadata"].get("labels") or {}).get(HASH, ""))


def newest_template(pods: Sequence[Object], deployment: Object | None = None) -> str:
    """The template that is being brought up: the one that the Deployment speaks of, or else the youngest pod's."""
    spoken = re.search(r'ReplicaSet "\S+-([a-z0-9]+)"', condition(deployment or {}, "Progressing").get("message", ""))
    if spoken and any(template_of(pod) == spoken[1] for pod in pods):
        return spoken[1]
    youngest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp", "")), default=None)
    return "" if youngest is None else template_of(youngest)


def _worst(parts: VariantObjects, pods: Sequence[Object], now: float) -> PodProblem:
    """The heaviest thing that there is to say, of the pods first; KServe knows less and says it later."""
    unready = [pod for pod in pods if ready_since(pod) is None]
    gpus = _gpus_left(parts, unready)
    said = [problem_of(pod, now, gpus) for pod in unready]
    if quota := _not_allowed(parts.deployment, now):
        said.append(quota)
    worst = max(said, key=lambda each: each.weight, default=None)
    if worst is not None and worst.weight:
        return worst
    return (
        _objection(parts.service, now)
        or _failed_revision(parts, now)
        or _late(parts.deployment)
        or worst
        or _nothing_yet(parts, now)
    )


def _not_allowed(deployment: Object | None, now: float) -> PodProblem | None:
    """Why no pod may be made: a quota, a policy, a missing ServiceAccount."""
    failure = condition(deployment or {}, "ReplicaFailure")
    if failure.get("status") != "True":
        return None
    message = failure.get("message", failure.get("reason", ""))
    waited = now - (seconds(failure.get("lastTransitionTime")) or now)
    never = "violates PodSecurity" in message
    return PodProblem(f"its pods may not be made: {message}", never or waited >= PATIENCE, 4)


def _objection(service: Object, now: float) -> PodProblem | None:
    """What KServe says where the pods say nothing: an unknown runtime, a failed load, an error of its own."""
    made = seconds(service["metadata"].get("creationTimestamp")) or now
    model = (service.get("status") or {}).get("modelStatus") or {}
    failure = model.get("lastFailureInfo") or {}
    transition = model.get("transitionStatus", "")
    if transition in INVALID and failure:
        message = failure.get("message") or failure.get("reason", transition)
        code = failure.get("exitCode")
        told = f"KServe says {transition}: {message}{f' (exit code {code})' if code is not None else ''}"
        return PodProblem(told, transition == "InvalidSpec" and now - made >= KSERVE_PATIENCE, 2)
    predictor = condition(service, "PredictorReady")
    if predictor.get("status") == "False" and predictor.get("reason") == "ReconcileFailed":
        return PodProblem(f"KServe cannot carry it out: {predictor.get('message', '')}", now - made >= PATIENCE, 2)
    if condition(service, "Stopped").get("status") == "True":
        return PodProblem("somebody stopped it (serving.kserve.io/stop)", weight=2)
    return None


def _failed_revision(parts: VariantObjects, now: float) -> PodProblem | None:
    """What Knative says of a revision that it makes no pods of: an image that no registry knows, first of all."""
    failed = condition(parts.service, "PredictorConfigurationReady")
    named = re.fullmatch(r'Revision "([^"]+)" failed with message: (.+?)\.?', failed.get("message", ""), re.DOTALL)
    if failed.get("status") != "False" or named is None or named[1] != parts.revision:
        return None
    waited = now - (seconds(failed.get("lastTransitionTime")) or now)
    return PodProblem(f"Knative's revision {parts.revision} failed: {named[2]}", waited >= PATIENCE, 2)


def _late(deployment: Object | None) -> PodProblem | None:
    progress = condition(deployment or {}, "Progressing")
    if progress.get("status") == "False" and progress.get("reason") == "ProgressDeadlineExceeded":
        limit = (deployment or {})["spec"].get("progressDeadlineSeconds", 600)
        return PodProblem(f"its Deployment has made no progress for {duration(limit)}", weight=1)
    return None


def _nothing_yet(parts: VariantObjects, now: float) -> PodProblem:
    made = seconds(parts.service["metadata"].get("creationTimestamp")) or now
    missing = "no Deployment" if parts.deployment is None else "no pod"
    return PodProblem(f"KServe has made {missing} of it yet, {duration(max(now - made, 0.0))} after it was asked for")


def _gpus_left(parts: VariantObjects, unready: Sequence[Object]) -> str:
    """` (asks for 2, at most 1 of 4 free on node-a)`, for the node that has most left; empty where unknown."""
    asked = max((_gpus(pod) for pod in unready if condition(pod, "PodScheduled").get("status") == "False"), default=0)
    has = {node["metadata"]["name"]: _whole(node, "allocatable") for node in parts.nodes} if asked else {}
    if not has:
        return ""
    taken: dict[str, int] = {}
    for pod in parts.neighbours:
        if not leaving(pod) and (node := (pod.get("spec") or {}).get("nodeName")):
            taken[node] = taken.get(node, 0) + _gpus(pod)
    name, total = max(has.items(), key=lambda each: each[1] - taken.get(each[0], 0))
    return f" (asks for {asked}, at most {max(total - taken.get(name, 0), 0)} of {total} free on {name})"


def _gpus(pod: Object) -> int:
    containers = (pod.get("spec") or {}).get("containers") or ()
    limits = [(each.get("resources") or {}).get("limits") or {} for each in containers]
    return sum(whole(amount) for each in limits for name, amount in each.items() if name.endswith(".com/gpu"))


def _whole(node: Object, field: str) -> int:
    amounts = (node.get("status") or {}).get(field) or {}
    return sum(whole(amount) for name, amount in amounts.items() if name.endswith(".com/gpu"))
