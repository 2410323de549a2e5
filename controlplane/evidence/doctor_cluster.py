"""What has to be so in a cluster before a rollout can be trusted to it, looked at one by one.

For `serinus doctor`. Each check answers in one sentence what is the case and, where something is wrong, what to do.
Changes nothing: the only objects that are made are reviews, which no server keeps.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from canary.errors import ExternalError
from canary.format import duration
from controlplane.kubernetes.api import Kube, NotFound, Object, Resource
from controlplane.kubernetes.resources import (
    CLUSTER_SERVING_RUNTIME,
    CONFIG_MAP,
    CUSTOM_RESOURCE_DEFINITION,
    DEPLOYMENT,
    EVENT,
    GATEWAY,
    HTTP_ROUTE,
    INFERENCE_SERVICE,
    KNATIVE_SERVICE,
    LEASE,
    LLM_INFERENCE_SERVICE,
    MODEL_CANARY,
    NAMESPACE,
    NODE,
    POD,
    ROLLOUT_HISTORY,
    SERVING_RUNTIME,
)
from controlplane.ports import Clock

WHO_AM_I = Resource("authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", namespaced=False)
MAY_I = Resource("authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False)
LONGEST_SKEW_S = 5.0
"""Seconds that clocks may differ: ages are computed from them, and leases are held by them."""
WATCHED = ("list", "watch")
MADE = (*WATCHED, "create", "patch", "delete")
NEEDED: Sequence[tuple[Resource, str, Sequence[str]]] = (
    (MODEL_CANARY, "", ("get", *WATCHED, "patch")),
    (MODEL_CANARY, "status", ("patch",)),
    (INFERENCE_SERVICE, "", MADE),
    (SERVING_RUNTIME, "", MADE),
    (LLM_INFERENCE_SERVICE, "", MADE),
    (HTTP_ROUTE, "", (*WATCHED, "create", "patch")),
    (DEPLOYMENT, "", WATCHED),
    (POD, "", WATCHED),
    (KNATIVE_SERVICE, "", WATCHED),
    (CLUSTER_SERVING_RUNTIME, "", WATCHED),
    (GATEWAY, "", WATCHED),
    (NODE, "", WATCHED),
    (NAMESPACE, "", ("get",)),
    (ROLLOUT_HISTORY, "", ("get", "create", "patch")),
    (EVENT, "", ("create",)),
    (LEASE, "", ("get", "create", "patch")),
)
"""What the operator does with which kind; a test holds the chart's roles against it."""
State = Literal["ok", "note", "problem"]


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor."""

    about: str
    state: State
    says: str
    """What is the case, one sentence."""
    do: str = ""
    """What to do about it; empty when nothing is wrong."""


async def of_cluster(kube: Kube, clock: Clock, *, namespace: str | None, gateway: str) -> list[Check]:
    """Everything about the cluster but its metrics; `gateway` is namespace/name. Never raises for what is wrong."""
    checks: list[Callable[[], Awaitable[list[Check]]]] = [
        lambda: _server(kube, clock),
        lambda: _permissions(kube, namespace),
        lambda: _crd(kube),
        lambda: _kserve(kube),
        lambda: _gateway(kube, gateway),
        lambda: _gpus(kube),
    ]
    abouts = ("API server", "permissions", "ModelCanary", "KServe", "gateway", "GPUs")
    return [
        check
        for each in await asyncio.gather(*(_safely(about, one) for about, one in zip(abouts, checks, strict=True)))
        for check in each
    ]


async def _safely(about: str, check: Callable[[], Awaitable[list[Check]]]) -> list[Check]:
    try:
        return await check()
    except ExternalError as error:
        return [Check(about, "problem", f"It could not be looked at: {error}", "See whether you may read it.")]


async def _server(kube: Kube, clock: Clock) -> list[Check]:
    review = await kube.create(WHO_AM_I, {"metadata": {}})
    who = (review.get("status") or {}).get("userInfo", {}).get("username", "somebody")
    found = [Check("API server", "ok", f"It answers, and knows us as {who}.")]
    stamp = review["metadata"].get("creationTimestamp")
    if stamp:
        theirs = datetime.fromisoformat(stamp).timestamp()
        found.append(clock_check("its clock", clock.now() - theirs, coarse=1.0))
    return found


def clock_check(whose: str, skew: float, *, coarse: float = 0.0) -> Check:
    """How far our clock is from another one, in seconds; `coarse` is how finely that one was read."""
    off = max(abs(skew) - coarse, 0.0)
    if off <= LONGEST_SKEW_S:
        return Check("clocks", "ok", f"Ours and {whose} differ by {duration(off)} at most.")
    way = "ahead of" if skew > 0 else "behind"
    return Check(
        "clocks", "problem", f"Ours is {duration(off)} {way} {whose}.", "Set both by NTP: ages of numbers rest on them."
    )


async def _permissions(kube: Kube, namespace: str | None) -> list[Check]:
    asked = [(resource, sub, verb) for resource, sub, verbs in NEEDED for verb in verbs]
    answers = await asyncio.gather(*(_may(kube, namespace, *each) for each in asked))
    refused: dict[str, list[str]] = {}
    for (resource, sub, verb), allowed in zip(asked, answers, strict=True):
        if not allowed:
            refused.setdefault("/".join(filter(None, (resource.plural, sub))), []).append(verb)
    where = f"in {namespace}" if namespace else "in every namespace"
    if not refused:
        return [Check("permissions", "ok", f"All {len(asked)} that the operator needs {where} are there.")]
    missing = "; ".join(f"{what}: {', '.join(verbs)}" for what, verbs in refused.items())
    return [
        Check("permissions", "problem", f"Missing {where}: {missing}.", "Apply the roles of the chart or of manifests.")
    ]


async def _may(kube: Kube, namespace: str | None, resource: Resource, sub: str, verb: str) -> bool:
    attributes = {"group": resource.group, "resource": resource.plural, "subresource": sub, "verb": verb}
    if namespace and resource.namespaced:
        attributes["namespace"] = namespace
    review = await kube.create(MAY_I, {"metadata": {}, "spec": {"resourceAttributes": attributes}})
    return bool((review.get("status") or {}).get("allowed"))


async def _crd(kube: Kube) -> list[Check]:
    name = f"{MODEL_CANARY.plural}.{MODEL_CANARY.group}"
    found = await _definition(kube, name)
    if found is None:
        return [Check("ModelCanary", "problem", f"{name} is not installed.", "kubectl apply -k manifests/crd")]
    served = [version["name"] for version in found["spec"]["versions"] if version.get("served")]
    if MODEL_CANARY.version not in served:
        return [Check("ModelCanary", "problem", f"It is served as {', '.join(served)}.", "Install this release's CRD.")]
    return [Check("ModelCanary", "ok", f"It is installed as {', '.join(served)}.")]


async def _kserve(kube: Kube) -> list[Check]:
    if await _definition(kube, f"{INFERENCE_SERVICE.plural}.{INFERENCE_SERVICE.group}") is None:
        return [Check("KServe", "problem", "There is no InferenceService kind.", "Install KServe in Standard mode.")]
    managers = (await kube.list(DEPLOYMENT, labels="control-plane=kserve-controller-manager")).items
    if not managers:
        return [Check("KServe", "problem", "Its kind is there, its controller is not.", "See the namespace kserve.")]
    manager = managers[0]
    place = manager["metadata"]["namespace"]
    images = [container["image"] for container in manager["spec"]["template"]["spec"]["containers"]]
    ready = (manager.get("status") or {}).get("readyReplicas", 0)
    running = Check("KServe", "ok", f"Its controller runs in {place} ({images[0]}).")
    if not ready:
        running = Check(
            "KServe",
            "problem",
            f"Its controller in {place} ({images[0]}) is not ready; its webhook refuses every write while it is away.",
            f"kubectl -n {place} describe deployment {manager['metadata']['name']}",
        )
    settings = await kube.get(CONFIG_MAP, place, "inferenceservice-config")
    return [running, *kserve_settings(settings.get("data") or {})]


def kserve_settings(data: Mapping[str, str]) -> list[Check]:
    """What KServe's ConfigMap means for us."""
    mode = _json(data, "deploy").get("defaultDeploymentMode", "Serverless")
    found = [Check("KServe's mode", "ok", "Standard is its default.")]
    if mode not in {"Standard", "RawDeployment"}:
        found = [
            Check(
                "KServe's mode",
                "note",
                f"{mode} is its default; our InferenceServices say Standard themselves.",
            )
        ]
    kept = _json(data, "inferenceService").get("serviceAnnotationDisallowedList") or []
    spared = f"except {', '.join(kept)}" if kept else "except KServe's own few"
    found.append(
        Check(
            "restarts",
            "note",
            f"An annotation that somebody writes on an InferenceService restarts its pods, {spared}; we write none.",
            "Let deployment tools keep theirs elsewhere, or list their prefix under serviceAnnotationDisallowedList.",
        )
    )
    return found


async def _gateway(kube: Kube, gateway: str) -> list[Check]:
    definition = await _definition(kube, f"{HTTP_ROUTE.plural}.{HTTP_ROUTE.group}")
    if definition is None:
        return [Check("gateway", "problem", "There is no HTTPRoute kind.", "Install the Gateway API and a gateway.")]
    version = (definition["metadata"].get("annotations") or {}).get(f"{HTTP_ROUTE.group}/bundle-version", "unknown")
    place, _, name = gateway.partition("/")
    try:
        found = await kube.get(GATEWAY, place, name)
    except NotFound:
        listed = [each["metadata"] for each in (await kube.list(GATEWAY)).items]
        others = ", ".join(f"{each['namespace']}/{each['name']}" for each in listed) or "none"
        return [Check("gateway", "problem", f"{gateway} is not there; there is {others}.", "Name one with --gateway.")]
    conditions = {each["type"]: each for each in (found.get("status") or {}).get("conditions", ())}
    programmed = conditions.get("Programmed", {})
    if programmed.get("status") == "True":
        says = f"{gateway} is programmed (Gateway API {version}, class {found['spec']['gatewayClassName']})."
        return [Check("gateway", "ok", says)]
    why = programmed.get("message") or "no controller has answered"
    return [Check("gateway", "problem", f"{gateway} is not programmed: {why}.", "See its controller's log.")]


async def _gpus(kube: Kube) -> list[Check]:
    nodes, pods = (await kube.list(NODE)).items, (await kube.list(POD)).items
    allocatable: Counter[str] = Counter()
    for node in nodes:
        for name, amount in ((node.get("status") or {}).get("allocatable") or {}).items():
            if _is_gpu(name):
                allocatable[name] += int(amount)
    taken = Counter[str]()
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"} and pod["spec"].get("nodeName"):
            for container in pod["spec"].get("containers", ()):
                for name, amount in ((container.get("resources") or {}).get("limits") or {}).items():
                    if _is_gpu(name):
                        taken[name] += int(amount)
    if not allocatable:
        return [Check("GPUs", "note", f"No node of {len(nodes)} has any: only models for CPUs can run.")]
    listed = "; ".join(f"{name}: {total - taken[name]} of {total} free" for name, total in sorted(allocatable.items()))
    if all(total <= taken[name] for name, total in allocatable.items()):
        return [Check("GPUs", "problem", f"{listed}.", "A canary needs some beside stable's: free or add them first.")]
    return [Check("GPUs", "ok", f"{listed}.")]


def _is_gpu(resource: str) -> bool:
    return resource.partition("/")[2] in {"gpu", "gpu.shared"} or resource.startswith("nvidia.com/mig-")


async def _definition(kube: Kube, name: str) -> Object | None:
    try:
        return await kube.get(CUSTOM_RESOURCE_DEFINITION, None, name)
    except NotFound:
        return None


def _json(data: Mapping[str, str], key: str) -> Mapping[str, Any]:
    try:
        read = json.loads(data.get(key, "{}"))
    except ValueError:
        return {}
    return read if isinstance(read, dict) else {}
