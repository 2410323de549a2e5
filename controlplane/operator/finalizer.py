"""The finalizer of a ModelCanary: it keeps a deleted one until its traffic is back on stable.

Added before anything is started, taken off by the controller. Touches nothing else of the metadata.
"""

from collections.abc import Mapping
from typing import Any

from canary.rollout import Phase, Rollout
from canary.spec.models import ModelCanary, Variant
from controlplane.kserve.knative_service import service_of
from controlplane.kserve.llm_service import llm_name
from controlplane.kubernetes.api import Kube, NotFound, Object
from controlplane.kubernetes.names import service_name
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE

FINALIZER = "serinus.dev/traffic-back"


def is_leaving(object_: Object) -> bool:
    """Whether somebody deleted it."""
    return "deletionTimestamp" in object_["metadata"]


def is_held(object_: Object) -> bool:
    """Whether it waits for us."""
    return FINALIZER in (object_["metadata"].get("finalizers") or ())


async def hold(kube: Kube, object_: Object) -> Object:
    """Keep it, when it is deleted, until `let_go`; raises `Conflict` when it changed meanwhile."""
    meta = object_["metadata"]
    patch = [_unchanged(meta), {"op": "add", "path": "/metadata/finalizers", "value": [*_others(meta), FINALIZER]}]
    return await kube.patch(MODEL_CANARY, meta["namespace"], meta["name"], patch)


async def let_go(kube: Kube, object_: Object) -> Object | None:
    """Let the deletion happen; answers what is left, None where nothing is."""
    meta = object_["metadata"]
    patch = [_unchanged(meta), {"op": "add", "path": "/metadata/finalizers", "value": _others(meta)}]
    try:
        return await kube.patch(MODEL_CANARY, meta["namespace"], meta["name"], patch)
    except NotFound:
        return None


async def is_namespace_leaving(kube: Kube, namespace: str) -> bool:
    """Whether everything around it is being deleted too. Raises `ExternalError` where we may not know."""
    try:
        found = await kube.get(NAMESPACE, None, namespace)
    except NotFound:
        return True
    return is_leaving(found)


def what_serves_on(plan: ModelCanary, rollout: Rollout | None, namespace: str) -> str:
    """What a deleted ModelCanary leaves behind, and how it is removed."""
    name = plan.metadata.name
    promoted = rollout is not None and rollout.phase is Phase.SUCCEEDED
    variant = plan.spec.canary if promoted else plan.spec.stable
    return (
        f"{name} was deleted: {variant.name} serves on, with all of the traffic. To remove that too: "
        f"kubectl -n {namespace} delete {' '.join(_objects(plan, variant))}"
    )


def what_is_left(plan: ModelCanary, *, promoted: bool, namespace: str) -> str:
    """What could not be put away, and how it is removed; in modes with one InferenceService that is part of it."""
    variant = plan.spec.stable if promoted else plan.spec.canary
    kserve = plan.spec.platform.kserve
    if kserve is not None and kserve.mode in {"knative", "native"}:
        return f"{variant.name} is still part of inferenceservice/{service_of(plan)} in {namespace}, without traffic."
    return f"{variant.name} is still there: kubectl -n {namespace} delete {_objects(plan, variant)[-1]}."


def _objects(plan: ModelCanary, variant: Variant) -> list[str]:
    """What serves the variant, by KServe's mode."""
    name, mode = plan.metadata.name, plan.spec.platform.kserve.mode if plan.spec.platform.kserve else "standard"
    if mode == "llm":
        return [f"llminferenceservice/{llm_name(plan, variant)}"]
    if mode in {"knative", "native"}:
        return [f"inferenceservice/{service_of(plan)}"]
    return [f"httproute/{name}", f"inferenceservice/{variant.inference_service or service_name(name, variant.name)}"]


def _others(meta: Mapping[str, Any]) -> list[str]:
    return [each for each in meta.get("finalizers") or () if each != FINALIZER]


def _unchanged(meta: Mapping[str, Any]) -> Mapping[str, Any]:
    return {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]}
