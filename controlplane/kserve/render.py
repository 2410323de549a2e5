"""From a plan to the objects of its variants: an InferenceService each, and the ServingRuntime that runs it.

Called by the platforms here and by `serinus render`. Pure: dicts come out, and whatever depends on the cluster (a
runtime that exists there) comes in. Written in the final form, as KServe's webhooks leave it, so that what is running
can be compared with it. State never goes into these objects: a label or annotation that changes restarts every pod.
"""

import copy
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary.errors import BadInput
from canary.spec.models import CanarySpec, ModelCanary, Variant
from controlplane.kserve.pods import PORT
from controlplane.kserve.server_spec import ADAPTERS, WEIGHTS, Family, ServerSpec, adapters, engine_flags, served
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import DOMAIN, labels, service_name
from controlplane.kubernetes.resources import INFERENCE_SERVICE, SERVING_RUNTIME
from profiles.catalogue import Catalogue

MODE = "serving.kserve.io/deploymentMode"
AUTOSCALER = "serving.kserve.io/autoscalerClass"
SERVER_TYPE = "serving.kserve.io/server-type"
CLUSTER_LOCAL = {"networking.kserve.io/visibility": "cluster-local"}
"""KServe then makes no route of its own; ours is the only way in."""
DIGEST = f"{DOMAIN}/rendered"
"""Annotation, written once when an object is made: digest of what was asked for."""
CONTAINER = "kserve-container"
PROMPT_VARIABLE = "SERINUS_SYSTEM_PROMPT"
MODEL_VARIABLE = "SERINUS_MODEL_NAME"
QUANTIZATION_VARIABLE = "SERINUS_QUANTIZATION"
LONGEST_REQUEST = 600
"""Seconds; the same on both arms, or a difference in time limits looks like a canary's errors."""
GRACE = 60
"""Seconds for open answers when a pod is stopped."""
FORMATS: Mapping[Family, str] = {"vllm": "vLLM", "huggingface": "huggingface"}
KNOWN_SERVERS: Mapping[str, Family] = {"vllmserver": "vllm", "huggingfaceserver": "huggingface"}
"""KServe's word for a server, in the annotation or the name of a runtime."""
PROBES: Mapping[Family, str] = {"vllm": "/health", "huggingface": "/v2/health/ready"}


@dataclass(frozen=True, slots=True)
class Rendered:
    """What has to be there for one variant."""

    service: Object
    runtime: Object | None = None
    """None where the plan names a runtime that exists."""
    notes: tuple[str, ...] = ()
    """What a person should know before it runs."""


def rendered(
    plan: ModelCanary, variant: Variant, *, namespace: str, known: Catalogue, runtime: Object | None = None
) -> Rendered:
    """The objects of one variant in standard mode. `runtime` is the ServingRuntime that the plan names, if it is known.

    Raises `BadInput` for a plan that no server can carry out, and for a variant with an InferenceService of its own.
    """
    if variant.inference_service:
        raise BadInput(f"{variant.name} is served by {variant.inference_service}, which Serinus does not make.")
    _refuse_two_servers(plan.spec)
    if variant.system_prompt and not variant.image and (not variant.runtime or _family(variant.runtime, runtime)):
        raise BadInput(
            f"{variant.name} has a system prompt, and neither vLLM nor the Hugging Face server reads one; name a "
            f"runtime or an image of your own that reads {PROMPT_VARIABLE}."
        )
    name = service_name(plan.metadata.name, variant.name)
    own = None if variant.runtime else served(plan.spec, variant, known)
    made = None if own is None else serving_runtime(plan, variant, own, namespace)
    predictor = {
        "minReplicas": variant.replicas,
        "maxReplicas": variant.replicas,
        "timeout": LONGEST_REQUEST,
        "terminationGracePeriodSeconds": GRACE,
        **placement(variant),
        **_model(plan.spec, variant, name, own, known, runtime),
    }
    service = {
        "apiVersion": INFERENCE_SERVICE.api_version,
        "kind": INFERENCE_SERVICE.kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**variant.labels, **labels(plan.metadata.name, variant.name), **CLUSTER_LOCAL},
            "annotations": {MODE: "Standard", AUTOSCALER: "none"},
        },
        "spec": {"predictor": predictor},
    }
    return Rendered(_signed(service), made and _signed(made), own.notes if own else ())


def serving_runtime(plan: ModelCanary, variant: Variant, own: ServerSpec, namespace: str) -> Object:
    """The runtime of one variant. Each has its own, so that an edit for one never restarts the other's pods."""
    asked = {"path": _ready_path(variant, own.family), "port": PORT}
    probe = {"httpGet": asked, "timeoutSeconds": math.ceil(variant.ready.timeout)}
    often = {"periodSeconds": math.ceil(variant.ready.period), "failureThreshold": variant.ready.failures}
    tries = max(1, round(plan.spec.progress_deadline / 10))
    return {
        "apiVersion": SERVING_RUNTIME.api_version,
        "kind": SERVING_RUNTIME.kind,
        "metadata": {
            "name": service_name(plan.metadata.name, variant.name),
            "namespace": namespace,
            "labels": labels(plan.metadata.name, variant.name),
        },
        "spec": {
            "supportedModelFormats": [{"name": FORMATS[own.family], "version": "1", "autoSelect": False}],
            "protocolVersions": ["v2", "v1"],
            "containers": [
                {
                    "name": CONTAINER,
                    "image": own.image,
                    **_command(own.family),
                    "env": _variables({"HF_HOME": "/tmp", "VLLM_CONFIG_ROOT": "/tmp"}),  # noqa: S108 - the pod's own
                    "ports": [{"containerPort": PORT, "protocol": "TCP"}],
                    "readinessProbe": {**probe, **often},
                    "startupProbe": {**probe, "periodSeconds": 10, "failureThreshold": tries},
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "shared-memory", "mountPath": "/dev/shm"}],  # noqa: S108 - NCCL's place
                }
            ],
            "volumes": [{"name": "shared-memory", "emptyDir": {"medium": "Memory"}}],
        },
    }


def location(spec: CanarySpec, variant: Variant) -> str:
    """Where a variant's weights are, as KServe wants it written; empty where the plan does not say."""
    uri = variant.uri or spec.model.uri or ""
    return uri if "://" in uri or not uri else f"hf://{uri}"


def digest_of(object_: Object) -> str:
    """The digest that the object was made with; empty for one that Serinus did not make."""
    return str((object_["metadata"].get("annotations") or {}).get(DIGEST, ""))


def _refuse_two_servers(spec: CanarySpec) -> None:
    """Their paths differ (`/v1` of vLLM, `/openai/v1` of the Hugging Face server): a shift would change the API."""
    made = [each for each in (spec.stable, spec.canary) if not (each.runtime or each.inference_service)]
    if len({each.profile is None for each in made}) > 1:
        with_gpu, without = sorted(made, key=lambda each: each.profile is None)
        raise BadInput(
            f"{with_gpu.name} has a GPU and is served by vLLM, {without.name} has none and is served by the Hugging "
            "Face server, whose paths are others; give both a profile, or neither, or name runtimes of your own."
        )


def _model(
    spec: CanarySpec, variant: Variant, name: str, own: ServerSpec | None, known: Catalogue, runtime: Object | None
) -> dict[str, Any]:
    """`model`, and `storageUris` where there are adapters to be fetched as well."""
    uri = location(spec, variant)
    if own is not None and not uri:
        raise BadInput(f"{variant.name} says no uri, and neither does the model: there are no weights to serve.")
    if variant.lora and not uri:
        raise BadInput(f"{variant.name} has adapters and no uri of the model that they belong to.")
    words, format_name = _words(spec, variant, known, runtime) if own is None else (own.words, FORMATS[own.family])
    requests = own.requests if own is not None else _requested(variant)
    model: dict[str, Any] = {
        "modelFormat": {"name": format_name},
        "name": "",
        "runtime": variant.runtime or name,
        "args": words,
        "env": _environment(spec, variant, own),
        "resources": {"requests": dict(requests), "limits": dict(requests)} if requests else {},
    }
    if variant.image and own is None:
        model["image"] = variant.image
    if not variant.lora:
        return {"model": _said(model | {"storageUri": uri})}
    places = [{"uri": uri, "mountPath": WEIGHTS}]
    places += [{"uri": place, "mountPath": f"{ADAPTERS}/{adapter}"} for adapter, place in variant.lora.items()]
    return {"model": _said(model), "storageUris": places}


def _words(spec: CanarySpec, variant: Variant, known: Catalogue, runtime: Object | None) -> tuple[list[str], str]:
    """Arguments and model format for a runtime that exists: all of them for a server that is known, else the plan's."""
    family = _family(variant.runtime or "", runtime)
    if family is None or variant.profile is None:
        flags = [*engine_flags(variant), *adapters(variant)]
        words = [f"{flag.name}={flag.value}" if flag.value else flag.name for flag in flags]
        return words, _format(variant.runtime or "", family, runtime)
    words = served(spec, variant, known).words
    if family == "huggingface":
        words = [word.replace("--served-model-name=", "--model_name=") for word in words]
        words.append("--backend=vllm")
    return words, _format(variant.runtime or "", family, runtime)


def _family(name: str, runtime: Object | None) -> Family | None:
    annotations = (runtime or {}).get("metadata", {}).get("annotations") or {}
    said = annotations.get(SERVER_TYPE, name.removeprefix("kserve-"))
    return KNOWN_SERVERS.get(said)


def _format(name: str, family: Family | None, runtime: Object | None) -> str:
    """A format that the runtime supports; KServe asks for one even where the runtime is named."""
    supported = (runtime or {}).get("spec", {}).get("supportedModelFormats") or ()
    if supported:
        return str(supported[0]["name"])
    return FORMATS[family] if family else name


def _requested(variant: Variant) -> Mapping[str, str]:
    """What the plan says itself, with its GPUs, for a runtime that says the rest."""
    gpus = {"nvidia.com/gpu": str(variant.profile.count)} if variant.profile else {}
    return {**gpus, **variant.resources}


def _environment(spec: CanarySpec, variant: Variant, own: ServerSpec | None) -> list[dict[str, str]]:
    """The plan's variables, and what a server of one's own cannot know otherwise: names, method, prompt."""
    values = {flag.name: flag.value for flag in (own.environment if own else ())}
    values[MODEL_VARIABLE] = spec.model.name
    if variant.quantization:
        values[QUANTIZATION_VARIABLE] = variant.quantization
    if variant.system_prompt:
        if variant.system_prompt.text is None:
            file = variant.system_prompt.file
            raise BadInput(f"{variant.name}: {file} with its prompt is not in the cluster; write the prompt as text.")
        values[PROMPT_VARIABLE] = variant.system_prompt.text
    return _variables({**values, **variant.env})


def _variables(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def placement(variant: Variant) -> dict[str, Any]:
    """On which nodes, and as whom. A GPU's own taint is tolerated without being asked."""
    tolerations = [each.model_dump(by_alias=True, exclude_none=True) for each in variant.tolerations]
    if variant.profile and not tolerations:
        tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    return _said(
        {
            "nodeSelector": dict(variant.node_selector),
            "tolerations": tolerations,
            "serviceAccountName": variant.service_account,
        }
    )


def _command(family: Family) -> dict[str, Any]:
    """How the server starts. The Hugging Face image starts it by itself."""
    if family == "huggingface":
        return {}
    command = ["python3", "-m", "vllm.entrypoints.openai.api_server"]
    return {"command": command, "args": [f"--port={PORT}", f"--model={WEIGHTS}"]}


def _ready_path(variant: Variant, family: Family) -> str:
    said = "ready" in variant.model_fields_set and "path" in variant.ready.model_fields_set
    return variant.ready.path if said else PROBES[family]


def _said(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is empty: the API server drops some of it, and then it would look like a change."""
    return {name: value for name, value in fields.items() if value not in (None, {}, [], "") or name == "name"}


def _signed(object_: Object) -> Object:
    """With the digest of what the plan asks for among its annotations."""
    spec = copy.deepcopy(object_["spec"])
    spec.get("predictor", {}).get("model", {}).pop("modelFormat", None)  # the runtime's, not the plan's
    text = json.dumps(spec, sort_keys=True)
    meta = object_["metadata"]
    annotations = {**meta.get("annotations", {}), DIGEST: hashlib.sha256(text.encode()).hexdigest()[:16]}
    return {**object_, "metadata": {**meta, "annotations": annotations}}
