"""What the predictor has to say of a canary.yml: variants that cannot run or do not fit, by the path of the field.

For `serinus validate` and `plan`. What makes the plan impossible is a fault; what is only unknown here (a GPU, a
quantization or a model that the catalogue does not have), or fits with another flag, is a warning: not knowing is no
fault of the file. What a cohort takes from the judge is a warning as well, and a limit that no bucket can tell. A
variant without a `profile` is not judged. Reads nothing but its arguments.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from canary.errors import Fault
from canary.spec import advice
from canary.spec.coarse import coarse_notes
from canary.spec.cohort import cohort_notes
from canary.spec.faults import place_of
from canary.spec.models import CanarySpec, Variant
from canary.spec.parse import Document, in_order
from profiles.accelerator import GIB
from profiles.catalogue import Catalogue
from profiles.deployment import Deployment
from profiles.described import described
from profiles.errors import Unknown
from profiles.memory import MemoryEstimate, memory, smallest_change
from profiles.support import falls_back, refusal, uneven_split


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to say: the dotted path of the field, and a sentence."""

    path: str
    message: str
    impossible: bool = True
    """False where it is only not known, or fits with another flag."""


@dataclass(frozen=True, slots=True)
class Fit:
    """The memory of one GPU of a variant, for its smallest load."""

    needed: float
    """Bytes for weights, activations and one short request."""
    reserved: float
    """Bytes that the engine takes whatever the load."""
    fits: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """A file's faults, which make it impossible, and its warnings, which do not; each in the order of the file."""

    faults: tuple[Fault, ...]
    warnings: tuple[Fault, ...]


def checked(document: Document, known: Catalogue) -> Checked:
    """Everything there is to say of both variants and of what gates ask for, with its place in the file."""
    told: dict[bool, list[Fault]] = {True: [], False: []}
    for finding in findings(document.canary.spec, known):
        place = place_of(document.root, tuple(finding.path.split(".")))
        told[finding.impossible].append(place.fault(finding.path, finding.message))
    notes = (*cohort_notes(document), *coarse_notes(document), *advice.notes(document))
    return Checked(in_order(told[True]), in_order([*told[False], *notes]))


def findings(spec: CanarySpec, known: Catalogue) -> list[Finding]:
    """Everything to say about the variants' GPUs and quantizations, stable first."""
    variants = (("spec.stable", spec.stable), ("spec.canary", spec.canary))
    return [finding for path, variant in variants for finding in of_variant(spec, variant, path, known)]


def of_variant(spec: CanarySpec, variant: Variant, path: str, known: Catalogue) -> Iterator[Finding]:
    """What is unknown of one variant; where all is known, whether it can run and fits."""
    unknown = list(_unknown(spec, variant, path, known))
    yield from unknown
    if not unknown and (deployment := _deployment(spec, variant, known)) is not None:
        yield from _trouble(deployment, path)


def fit(spec: CanarySpec, variant: Variant, known: Catalogue) -> Fit | None:
    """Whether the variant fits its GPUs; None where the file or the catalogue does not say enough."""
    try:
        deployment = _deployment(spec, variant, known)
    except Unknown:
        return None
    if deployment is None:
        return None
    smallest = _smallest_load(deployment)
    return Fit(smallest.needed, smallest.reserved, smallest.fits)


def _unknown(spec: CanarySpec, variant: Variant, path: str, known: Catalogue) -> Iterator[Finding]:
    """Names that the catalogue does not have."""
    unchecked = "Whether it fits was not checked."
    try:
        known.quantization(variant.quantization or "bf16")
    except Unknown as wrong:
        yield Finding(f"{path}.quantization", f"{wrong} {unchecked}", impossible=False)
    if variant.profile is None:
        return
    try:
        known.gpu(variant.profile.gpu)
    except Unknown as wrong:
        yield Finding(f"{path}.profile.gpu", f"{wrong} {unchecked}", impossible=False)
    try:
        known.model(_model(spec, variant))
    except Unknown as wrong:
        yield Finding(f"{path}.profile", f"{wrong} {unchecked}", impossible=False)


def _trouble(deployment: Deployment, path: str) -> Iterator[Finding]:
    """Why the variant cannot run as it is written."""
    model, gpu, quantization, count = deployment.model, deployment.gpu, deployment.quantization, deployment.gpus
    uneven = uneven_split(model, count)
    if uneven:
        yield Finding(f"{path}.profile.count", uneven)
    refused = refusal(model, gpu, quantization, allow_fallback=True) or falls_back(quantization, gpu)
    if refused:
        yield Finding(f"{path}.quantization", refused)
    smallest = _smallest_load(deployment)
    if uneven or refused or smallest.fits:
        return
    missing = f"{smallest.missing / GIB:.1f} GiB are missing on each"
    lacks = f"{model.name} in {quantization.name} does not fit {count} x {gpu.name}: {missing}."
    change = smallest_change(deployment, tokens=1, concurrency=1)
    tightest = replace(deployment, memory_utilization=1.0, max_num_seqs=1)
    impossible = not _smallest_load(tightest).fits
    yield Finding(f"{path}.profile", f"{lacks} It fits with {change.flag}." if change else lacks, impossible)


def _smallest_load(deployment: Deployment) -> MemoryEstimate:
    """Memory for one request of one token: what does not fit now never will."""
    return memory(deployment, tokens=1, concurrency=1)


def _deployment(spec: CanarySpec, variant: Variant, known: Catalogue) -> Deployment | None:
    """What the variant is to the predictor, with its engine's flags; None without a profile. Raises `Unknown`."""
    if variant.profile is None:
        return None
    return described(
        known,
        model=_model(spec, variant),
        gpu=variant.profile.gpu,
        gpus=variant.profile.count,
        quantization=variant.quantization,
        flags=variant.engine,
    )


def _model(spec: CanarySpec, variant: Variant) -> str:
    return variant.uri or spec.model.uri or spec.model.name
