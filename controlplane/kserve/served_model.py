"""Which model a variant really serves: its weights and image, read back from what KServe made, against the plan.

Called by the platforms at every look. A tag that moved, an edited `storageUri` or two images under one name would make
a rollout judge something else than it says. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from controlplane.kserve.pods import ready_since
from controlplane.kserve.render import CONTAINER
from controlplane.kserve.server_spec import WEIGHTS
from controlplane.kubernetes.api import Object

SOURCE = "internal.serving.kserve.io/storage-initializer-sourceuri"
"""KServe's annotation on what it makes: where the weights come from."""
CACHED_SOURCE = "internal.serving.kserve.io/localmodel-sourceuri"
"""The same where a LocalModelCache serves them from a volume."""
FETCHER = "storage-initializer"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """What is served."""

    uri: str
    """Where the weights were fetched from; empty where nothing says so."""
    digests: tuple[str, ...]
    """Digests of the images that its ready pods run, each once."""


def identity(service: Object, deployment: Object | None, pods: Iterable[Object]) -> ServedModel:
    """What this variant serves, as far as its objects tell."""
    images = {digest for pod in pods if ready_since(pod) is not None and (digest := _digest(pod))}
    return ServedModel(_cached(service) or _source(deployment), tuple(sorted(images)))


def mismatch(found: ServedModel, uri: str, image: str | None) -> str:
    """How what is served differs from the plan, one clause; empty where it does not, or where nothing is known."""
    if uri and found.uri and found.uri != uri:
        return f"it serves {found.uri}, and the plan says {uri}"
    pinned = (image or "").partition("@")[2]
    others = [digest for digest in found.digests if pinned and digest != pinned]
    if others:
        return f"it runs the image {others[0]}, and the plan says {pinned}"
    if len(found.digests) > 1:
        return f"its pods run different images under one name: {' and '.join(found.digests)}"
    return ""


def _cached(service: Object) -> str:
    return str((service["metadata"].get("annotations") or {}).get(CACHED_SOURCE, ""))


def _source(deployment: Object | None) -> str:
    """From the annotation, or from the arguments of the container that fetches (where there are several places)."""
    if deployment is None:
        return ""
    template: dict[str, Any] = deployment["spec"].get("template") or {}
    for meta in (template.get("metadata") or {}, deployment["metadata"]):
        if said := (meta.get("annotations") or {}).get(SOURCE):
            return str(said)
    for each in (template.get("spec") or {}).get("initContainers") or ():
        arguments = each.get("args") or []
        if each.get("name") == FETCHER and WEIGHTS in arguments[1:]:
            return str(arguments[arguments.index(WEIGHTS) - 1])
    return ""


def _digest(pod: Object) -> str:
    for each in (pod.get("status") or {}).get("containerStatuses") or ():
        if each.get("name") == CONTAINER:
            return str(each.get("imageID", "")).partition("@")[2]
    return ""
