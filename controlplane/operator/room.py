"""Whether the nodes have the GPUs that a canary asks for, said before it waits for them. Pure.

Called by `world.py` when a rollout begins. Never a refusal: nodes may be added on demand, and other pods end. Counts
only the pods that the operator follows, so there may be less room than it says, never more.
"""

from collections.abc import Iterable, Mapping

from canary.spec.models import ModelCanary, Variant
from canary.spec.pods import Toleration
from canary.wording import duration
from controlplane.kserve.pods import condition, leaving
from controlplane.kserve.render import placement
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import ROLLOUT_LABEL, VARIANT_LABEL
from profiles.catalogue import Catalogue, builtin
from profiles.errors import Unknown

GPU = ".com/gpu"
"""How the resource of every vendor's GPUs ends."""
HARD = frozenset({"NoSchedule", "NoExecute"})


def lacking(
    plan: ModelCanary, nodes: Iterable[Object], pods: Iterable[Object], catalogue: Catalogue | None = None
) -> str:
    """What the canary needs and no nodes have left, as a sentence; empty where there is room, or nothing is known."""
    variant = plan.spec.canary
    resource, each = gpus_of(variant, catalogue or builtin())
    known = list(nodes)
    if not each or not known or variant.inference_service:
        return ""
    fitting = [node for node in known if _may_run(node, variant)]
    taken: dict[str, int] = {}
    for pod in pods:
        name = (pod.get("spec") or {}).get("nodeName")
        if name and not leaving(pod) and not _is_canarys(pod, plan):
            taken[name] = taken.get(name, 0) + _asked(pod, resource)
    free = {name: max(_has(node, resource) - taken.get(name, 0), 0) for node in fitting if (name := _name(node))}
    if sum(left // each for left in free.values()) >= variant.replicas:
        return ""
    needs = f"{variant.replicas} times {each}" if variant.replicas > 1 else str(each)
    where = _described(variant)
    if not fitting:
        found = f"no node {where}" if where else "no node takes it"
    else:
        most = max(free, key=lambda name: free[name])
        found = f"{sum(free.values())} are free on nodes {where or 'that take it'}, at most {free[most]} ({most})"
    waits = duration(plan.spec.progress_deadline)
    return f"{variant.name} needs {needs} of {resource}: {found}. It waits for up to {waits} (progressDeadline)."


def gpus_of(variant: Variant, catalogue: Catalogue) -> tuple[str, int]:
    """The resource and how many of it one replica asks for; 0 where it asks for none."""
    for name, amount in variant.resources.items():
        if name.endswith(GPU) and str(amount).isdigit():
            return name, int(amount)
    if variant.profile is None:
        return "", 0
    try:
        vendor = "nvidia" if variant.runtime else catalogue.gpu(variant.profile.gpu).vendor
    except Unknown:
        vendor = "nvidia"
    return f"{vendor}{GPU}", variant.profile.count


def _is_canarys(pod: Object, plan: ModelCanary) -> bool:
    """Whether it is this canary's own: after a change of leader it is there already."""
    labels = pod["metadata"].get("labels") or {}
    own = (plan.metadata.name, plan.spec.canary.name)
    return (labels.get(ROLLOUT_LABEL), labels.get(VARIANT_LABEL)) == own


def _may_run(node: Object, variant: Variant) -> bool:
    """Whether the scheduler would look at this node: its labels and taints, whether it is up."""
    spec, labels = node.get("spec") or {}, node["metadata"].get("labels") or {}
    if condition(node, "Ready").get("status", "True") != "True":
        return False
    if spec.get("unschedulable") or any(labels.get(key) != value for key, value in variant.node_selector.items()):
        return False
    tolerated = [Toleration.model_validate(each) for each in placement(variant).get("tolerations", ())]
    hard = [taint for taint in spec.get("taints") or () if taint.get("effect") in HARD]
    return all(any(_tolerates(each, taint) for each in tolerated) for taint in hard)


def _tolerates(toleration: Toleration, taint: Mapping[str, str]) -> bool:
    said = toleration.model_dump(by_alias=True, exclude_none=True)
    if said.get("effect") not in {None, taint.get("effect")}:
        return False
    if "key" not in said:
        return said.get("operator") == "Exists"
    same = said["key"] == taint.get("key")
    return same and (said.get("operator") == "Exists" or said.get("value", "") == taint.get("value", ""))


def _described(variant: Variant) -> str:
    selected = ", ".join(f"{key}={value}" for key, value in variant.node_selector.items())
    return f"with {selected}" if selected else ""


def _asked(pod: Object, resource: str) -> int:
    containers = (pod.get("spec") or {}).get("containers") or ()
    limits = ((each.get("resources") or {}).get("limits") or {} for each in containers)
    return sum(int(each.get(resource, 0)) for each in limits)


def _has(node: Object, resource: str) -> int:
    return int(((node.get("status") or {}).get("allocatable") or {}).get(resource, 0))


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])
