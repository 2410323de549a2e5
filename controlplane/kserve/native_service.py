"""Both variants as predictors of one InferenceService: what is written of them, and what one says of itself. Pure.

Used by `native.py` and `serinus render`. Refuses beforehand what KServe would refuse, or take and then do otherwise.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from canary.errors import BadInput
from canary.format import share
from canary.spec.models import ModelCanary, Variant
from canary.weights import Weights
from controlplane.kserve.knative_service import PERCENT, service_of
from controlplane.kserve.render import Rendered, location, rendered
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.names import PREDICTOR, labels
from profiles.catalogue import Catalogue

NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
"""What KServe takes as the name of a predictor."""


def native_service(plan: ModelCanary, *, namespace: str, known: Catalogue, percent: int | None) -> list[Rendered]:
    """The InferenceService (with the canary at this share, or None: without) first, then what each arm's runtime is.

    Raises `BadInput` for what `spec.canary` cannot say.
    """
    stable, canary = plan.spec.stable, plan.spec.canary
    _refuse(plan)
    made = {arm.name: rendered(plan, arm, namespace=namespace, known=known) for arm in (stable, canary)}
    service: Object = {
        **made[stable.name].service,
        "metadata": {
            "name": service_of(plan),
            "namespace": namespace,
            "labels": labels(plan.metadata.name),
            "annotations": made[stable.name].service["metadata"]["annotations"],
        },
        "spec": {"predictor": _named(stable, made[stable.name])},
    }
    predictor = _named(canary, made[canary.name])
    if inherited := list(_inherited(service["spec"]["predictor"], predictor)):
        raise BadInput(
            f"{canary.name} says nothing of {' and '.join(inherited)}, and KServe would hand it {stable.name}'s; "
            "say it of both, or use mode: standard."
        )
    if percent is not None:
        predictor.pop("maxReplicas")  # a canary's replicas are fixed, and KServe refuses to hear of more
        service["spec"] = {**service["spec"], "canary": [{"trafficPercent": percent, "predictor": predictor}]}
    return [Rendered(service, made[stable.name].runtime), made[canary.name]]


def workload(service: str, variant: Variant) -> str:
    """The Deployment and Service of a named predictor."""
    return f"{service}-{variant.name}{PREDICTOR}"


def predictors(live: Object) -> list[str]:
    """Names of the predictors that it has, stable's first."""
    return [str(each.get("name", "")) for each in (live["spec"]["predictor"], *_canaries(live))]


def share_of(live: Object) -> int | None:
    """The canary's share as it was asked for; None without a canary."""
    entries = live["spec"].get("canary") or ()
    return int(entries[0]["trafficPercent"]) if entries else None


def backends(route: Object | None) -> Mapping[str, int]:
    """Service to weight in the first rule; empty where there is no route."""
    rules = ((route or {}).get("spec") or {}).get("rules") or [{}]
    return {str(each["name"]): int(each.get("weight", 1)) for each in rules[0].get("backendRefs") or ()}


def _canaries(live: Object) -> list[Mapping[str, Any]]:
    return [each["predictor"] for each in live["spec"].get("canary") or ()]


def _named(variant: Variant, made: Rendered) -> dict[str, Any]:
    """The predictor under the variant's name, with the variant's labels on its pods alone."""
    own = {name: value for name, value in made.service["metadata"]["labels"].items() if "visibility" not in name}
    return {"name": variant.name, "labels": own, **made.service["spec"]["predictor"]}


def _inherited(stable: Mapping[str, Any], canary: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """What stable says and the canary does not: KServe merges the one into the other, and nothing can be unset."""
    for name, value in stable.items():
        if name not in canary:
            yield f"{path}{name}"
        elif isinstance(value, Mapping) and isinstance(canary[name], Mapping):
            yield from _inherited(value, canary[name], f"{path}{name}.")


def _refuse(plan: ModelCanary) -> None:
    """What KServe would refuse, or take and then do otherwise."""
    stable, canary = plan.spec.stable, plan.spec.canary
    for variant in (stable, canary):
        if not NAME.fullmatch(variant.name):
            raise BadInput(f"{variant.name} is no name for a predictor: it has to begin with a letter.")
    for stage in plan.spec.stages:
        if Weights.of_share(stage.traffic).canary % PERCENT:
            raise BadInput(f"spec.canary takes whole percents, and a stage asks for {share(stage.traffic)}.")
    if canary.replicas > stable.replicas:
        raise BadInput(f"{canary.name} wants more replicas than {stable.name}; KServe refuses that of a canary.")
    if location(plan.spec, stable) == location(plan.spec, canary):
        raise BadInput("Both variants have one uri, and KServe refuses to promote a canary of the same; use standard.")
