"""What the predictor has to say of a canary.yml: variants that cannot run or do not fit, by the path of the field.

For `serinus validate` and `plan`, which turn paths into lines. A variant without a `profile`, or of a model that the
catalogue does not know, is not judged: not knowing is no fault of the file.
"""

from dataclasses import dataclass

from canary.spec.models import CanarySpec, Variant
from profiles.accelerator import GIB
from profiles.catalogue import Catalogue
from profiles.deployment import Deployment
from profiles.errors import Unknown
from profiles.memory import memory
from profiles.support import refusal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say: the dotted path of the field, and a sentence."""

    path: str
    message: str


def findings(spec: CanarySpec, known: Catalogue) -> list[Finding]:
    """Everything that is wrong with the variants' GPUs and quantizations, stable first."""
    found = []
    for path, variant in (("spec.stable", spec.stable), ("spec.canary", spec.canary)):
        finding = of_variant(spec, variant, path, known)
        if finding:
            found.append(finding)
    return found


def of_variant(spec: CanarySpec, variant: Variant, path: str, known: Catalogue) -> Finding | None:
    """The first thing wrong with one variant."""
    try:
        quantization = known.quantization(variant.quantization or "bf16")
    except Unknown as wrong:
        return Finding(f"{path}.quantization", str(wrong))
    if variant.profile is None:
        return None
    try:
        gpu = known.gpu(variant.profile.gpu)
    except Unknown as wrong:
        return Finding(f"{path}.profile.gpu", str(wrong))
    try:
        model = known.model(variant.uri or spec.model.uri or spec.model.name)
    except Unknown:
        return None
    if reason := refusal(model, gpu, quantization, variant.profile.count):
        return Finding(
            f"{path}.quantization" if "tensor parallelism" not in reason else f"{path}.profile.count", reason
        )
    plan = memory(Deployment(model, gpu, quantization, gpus=variant.profile.count), tokens=1, concurrency=1)
    if plan.fits:
        return None
    return Finding(
        f"{path}.profile",
        f"{model.name} in {quantization.name} does not fit {variant.profile.count} x {gpu.name}: "
        f"{plan.missing / GIB:.1f} GiB are missing on each",
    )
