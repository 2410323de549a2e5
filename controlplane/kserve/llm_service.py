"""One member of a routing group: the LLMInferenceService of a variant, and what it says of itself. Pure.

Used by `llm.py`, which runs members, and by `llm_router.py`, which weighs them. Whether the plan can be served that way
at all is found out here, before anything is made.
"""

from collections.abc import Mapping
from typing import Any

from canary.errors import BadInput
from canary.spec.models import ModelCanary, Variant
from controlplane.kserve.render import location, placement
from controlplane.kserve.server_spec import served
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import LONGEST_LABEL, MANAGED_BY, ROLLOUT_LABEL, labels, shortened
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from profiles.catalogue import Catalogue

WORKLOAD = "-kserve"
WORKLOAD_SERVICE = "-kserve-workload-svc"
"""What KServe adds to the name: the Service's is the longest."""
POOL = "-inference-pool"
"""Likewise; there with a scheduler, in the Service's place."""
ROUTE = "-kserve-route"
"""Likewise."""


def llm_name(plan: ModelCanary, variant: Variant) -> str:
    """The LLMInferenceService of a variant, with room for what KServe adds."""
    return shortened(f"{plan.metadata.name}-{variant.name}", LONGEST_LABEL - len(WORKLOAD_SERVICE))


def llm_service(plan: ModelCanary, variant: Variant, weight: int, *, namespace: str, known: Catalogue) -> Object:
    """The LLMInferenceService of a variant. Raises `BadInput` for what it cannot carry out."""
    if variant.inference_service or variant.runtime:
        raise BadInput(f"{variant.name} names a service or runtime of its own, and mode llm has neither.")
    if variant.profile is None:
        raise BadInput(f"{variant.name} says no profile: mode llm serves on GPUs; write profile: {{gpu: …}}.")
    if variant.system_prompt:
        raise BadInput(f"{variant.name} has a system prompt, and mode llm has no server that reads one.")
    uri, made = location(plan.spec, variant), served(plan.spec, variant, known)
    if not uri:
        raise BadInput(f"{variant.name} says no uri, and neither does the model: there are no weights to serve.")
    # The served name is the model's; the server's own template passes it, and another one beside it.
    words = [word for word in made.words if not word.startswith(("--served-model-name", "--enable-lora", "--lora-"))]
    container: dict[str, Any] = {
        "name": "main",
        "args": words,
        "env": [{"name": name, "value": value} for name, value in variant.env.items()],
        "resources": {"requests": dict(made.requests), "limits": dict(made.requests)},
    }
    if variant.image:
        container["image"] = variant.image
    adapters = [{"name": name, "uri": place} for name, place in variant.lora.items()]
    return {
        "apiVersion": LLM_INFERENCE_SERVICE.api_version,
        "kind": LLM_INFERENCE_SERVICE.kind,
        "metadata": {
            "name": llm_name(plan, variant),
            "namespace": namespace,
            "labels": {**variant.labels, **labels(plan.metadata.name, variant.name)},
        },
        "spec": {
            "model": {
                "name": plan.spec.model.name,
                "uri": uri,
                **({"lora": {"adapters": adapters}} if adapters else {}),
            },
            "replicas": variant.replicas,
            "router": {"gateway": {}, "route": {"group": group_of(plan), "weight": weight}},
            "template": {**placement(variant), "containers": [container]},
        },
    }


def backend_names(member: str) -> frozenset[str]:
    """What routes may call the member's pods."""
    return frozenset((member + WORKLOAD_SERVICE, member + POOL))


def weighed(weight: int) -> Mapping[str, Any]:
    """A merge patch that gives a member this weight."""
    return {"spec": {"router": {"route": {"weight": weight}}}}


def weight_of(live: Object) -> int:
    """What it asks of the group; held against the other members' weights, whatever they add up to."""
    return int(((live["spec"].get("router") or {}).get("route") or {}).get("weight", 0))


def group_of(plan: ModelCanary) -> str:
    """The name of the rollout's routing group."""
    return shortened(plan.metadata.name, LONGEST_LABEL)


def is_of(live: Object, plan: ModelCanary) -> bool:
    """Whether Serinus made it for this rollout."""
    given = live["metadata"].get("labels") or {}
    return bool(given.get(MANAGED_BY) == "serinus" and given.get(ROLLOUT_LABEL) == plan.metadata.name)
