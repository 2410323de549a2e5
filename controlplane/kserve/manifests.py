"""The variants' objects of a whole plan under given weights, for each of KServe's ways of serving. Pure.

Called by `serinus render`. The platforms write the same objects, from the same functions, one arm at a time.
"""

from dataclasses import dataclass

from canary.errors import BadInput
from canary.spec.models import ModelCanary
from canary.weights import Weights
from controlplane.kserve.knative_service import PERCENT, knative_service
from controlplane.kserve.llm_service import llm_service
from controlplane.kserve.native_service import native_service
from controlplane.kserve.render import rendered
from controlplane.kubernetes.api import Object
from profiles.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Manifests:
    """Objects in the order in which they are made."""

    objects: tuple[Object, ...]
    notes: tuple[str, ...] = ()
    needs_route: bool = False
    """Whether an HTTPRoute of ours splits the traffic."""


def variants(plan: ModelCanary, weights: Weights, *, namespace: str, known: Catalogue) -> Manifests:
    """What stands in the cluster for both variants under these weights. Raises `BadInput` where nothing can serve."""
    mode = plan.spec.platform.kserve.mode if plan.spec.platform.kserve else ""
    if mode == "standard":
        return _standard(plan, namespace, known)
    if mode == "knative":
        return _knative(plan, weights, namespace, known)
    if mode == "llm":
        return _llm(plan, weights, namespace, known)
    if mode == "native":
        return _native(plan, weights, namespace, known)
    raise BadInput(f"{plan.metadata.name} has no objects to be rendered: its platform is not kserve.")


def _knative(plan: ModelCanary, weights: Weights, namespace: str, known: Catalogue) -> Manifests:
    """One InferenceService: stable's before any traffic, then the canary's with its share over what was rolled out."""
    made = knative_service(
        plan, plan.spec.canary if weights.canary else plan.spec.stable, namespace=namespace, known=known
    )
    service = made.service
    if weights.canary:
        share = {"canaryTrafficPercent": weights.canary // PERCENT}
        service = {**service, "spec": {"predictor": {**service["spec"]["predictor"], **share}}}
    return Manifests(tuple(each for each in (made.runtime, service) if each is not None), made.notes)


def _llm(plan: ModelCanary, weights: Weights, namespace: str, known: Catalogue) -> Manifests:
    """Both members of the group with their weights."""
    shares = ((plan.spec.stable, weights.stable), (plan.spec.canary, weights.canary))
    made = [llm_service(plan, variant, share, namespace=namespace, known=known) for variant, share in shares]
    return Manifests(tuple(made))


def _native(plan: ModelCanary, weights: Weights, namespace: str, known: Catalogue) -> Manifests:
    """One InferenceService with the canary inside of it."""
    percent = weights.canary // PERCENT if weights.canary else None
    made = native_service(plan, namespace=namespace, known=known, percent=percent)
    runtimes = [each.runtime for each in made if each.runtime is not None]
    note = "KServe 0.20 takes the share of spec.canary and moves nothing; such a rollout fails before any traffic."
    return Manifests((*runtimes, made[0].service), (note,))


def _standard(plan: ModelCanary, namespace: str, known: Catalogue) -> Manifests:
    objects: list[Object] = []
    notes: list[str] = []
    for variant in (plan.spec.stable, plan.spec.canary):
        if variant.inference_service:
            notes.append(f"{variant.name} is InferenceService {variant.inference_service}, which is there already.")
            continue
        made = rendered(plan, variant, namespace=namespace, known=known)
        objects += [each for each in (made.runtime, made.service) if each is not None]
        notes += [f"{variant.name}: {note}" for note in made.notes]
    return Manifests(tuple(objects), tuple(notes), needs_route=True)
