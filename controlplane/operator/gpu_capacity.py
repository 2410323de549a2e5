"""Whether the nodes have the GPUs that a canary asks for, said before it waits for them. Pure.

Called by `cluster_environments.py` when a rollout begins. Never a refusal: nodes may be added on demand, and other pods
end. A stable that is not there yet is made first and takes its GPUs first, from where it leaves the canary most. Counts
only the pods that the operator follows, so there may be less room than it says, never more.
"""

from collections.abc import Collection, Iterable, Mapping

from canary.format import duration
from canary.spec.models import ModelCanary, Variant
from canary.spec.pods import Toleration
from controlplane.kserve.caches import LLM_LABEL
from controlplane.kserve.llm_service import llm_name
from controlplane.kserve.pods import condition, leaving
from controlplane.kserve.render import placement
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import ROLLOUT_LABEL, VARIANT_LABEL
from controlplane.kubernetes.quantity import whole
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
    stable, placed = plan.spec.stable, 0
    for pod in pods:
        name = (pod.get("spec") or {}).get("nodeName")
        if name and not leaving(pod) and not _is_of(pod, plan, variant):
            taken[name] = taken.get(name, 0) + _asked(pod, resource)
            placed += _is_of(pod, plan, stable)
    free = {_name(node): max(_has(node, resource) - taken.get(_name(node), 0), 0) for node in known}
    of_stable, count = gpus_of(stable, catalogue or builtin())
    awaited = 0 if stable.inference_service or of_stable != resource else stable.replicas - placed
    if count and awaited > 0:
        _seat(free, awaited, count, {_name(node) for node in known if _may_run(node, stable)}, each, fitting)
    free = {name: free[name] for node in fitting if (name := _name(node))}
    if sum(left // each for left in free.values()) >= variant.replicas:
        return ""
    needs = f"{variant.replicas} times {each}" if variant.replicas > 1 else str(each)
    where = _described(variant)
    if not fitting:
        found = f"no node {where}" if where else "no node takes it"
    else:
        most = max(free, key=lambda name: free[name])
        then = f" once {stable.name} has its own" if count and awaited > 0 else ""
        found = f"{sum(free.values())} are free on nodes {where or 'that take it'}{then}, at most {free[most]} ({most})"
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


def _seat(
    free: dict[str, int], replicas: int, count: int, allowed: Collection[str], each: int, fitting: Iterable[Object]
) -> None:
    """Take so many GPUs for so many replicas, each from the node where the canary loses least by it; in place."""
    wanted = {_name(node) for node in fitting}

    def lost(name: str) -> tuple[int, int]:
        """Replicas of the canary that have no place any more, and then what would be left over."""
        return (free[name] // each - (free[name] - count) // each if name in wanted else 0), free[name]

    for _ in range(replicas):
        nodes = [name for name, left in free.items() if name in allowed and left >= count]
        if not nodes:
            return
        free[min(nodes, key=lost)] -= count


def _is_of(pod: Object, plan: ModelCanary, variant: Variant) -> bool:
    """Whether it is this variant's own: after a change of leader they are there already."""
    labels = pod["metadata"].get("labels") or {}
    own = (labels.get(ROLLOUT_LABEL), labels.get(VARIANT_LABEL)) == (plan.metadata.name, variant.name)
    return own or labels.get(LLM_LABEL) == llm_name(plan, variant)


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
    return sum(whole(each.get(resource, 0)) for each in limits)


def _has(node: Object, resource: str) -> int:
    return whole(((node.get("status") or {}).get("allocatable") or {}).get(resource, 0))


def _name(node: Object) -> str:
    return str(node["metadata"]["name"])
