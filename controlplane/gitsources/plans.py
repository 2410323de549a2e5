"""What a file in git wants of a cluster: a plan, and the resource that says so.

Called by the controller of `source_controller.py` for each file that changed. Pure. A file is checked as `serinus
validate --for cluster` checks it, and read again as the operator will read it, so that both speak of the same revision.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

from canary.errors import Fault, SpecError
from canary.quarantine import variant_digest
from canary.spec import Source, revision
from canary.spec.cluster import ROLLOUT, cluster_faults
from canary.spec.parse import Document
from canary.spec.reader import Node, read
from canary.spec.resource import from_object
from canary.spec.source import quoted
from controlplane.adapters.cost_source import dollars_an_hour
from controlplane.gitops.controller import Understand
from controlplane.gitops.desired import DesiredRollout, FileError, parse_file
from controlplane.gitsources.manifest import resource_of
from controlplane.kubernetes.api import Object


@dataclass(frozen=True, slots=True)
class Manifest(DesiredRollout):
    """A file with the resource that it means."""

    object: Object = field(default_factory=dict)
    digest: str = ""
    """Of the resource; tells whether anything of it is new."""


def for_namespace(namespace: str) -> Understand:
    """Reads files whose rollouts are in this namespace. One that names another is not used."""

    def understand(path: str, text: bytes, settings: Source | None) -> DesiredRollout | FileError:
        root, _ = read(Source(path, text))
        if root is not None and (elsewhere := _elsewhere(path, root, namespace)) is not None:
            return elsewhere
        wanted = parse_file(path, text, settings, _faults)
        resource = resource_of(root, settings) if root is not None else None
        if isinstance(wanted, FileError) or resource is None:
            return wanted
        if wanted.plan is None and not re.fullmatch(ROLLOUT.strip("^$"), wanted.name):
            return _unfit(path, wanted)
        resource["metadata"] |= {"namespace": namespace, "name": wanted.name}
        plan = None
        if wanted.plan is not None:
            try:
                plan = from_object(resource)
            except SpecError as error:
                return FileError(path, wanted.line, f"{path}:{wanted.line}: {error}")
        said = json.dumps(resource, sort_keys=True, ensure_ascii=False).encode()
        known = {each.name: getattr(wanted, each.name) for each in fields(DesiredRollout)}
        known |= {"plan": plan}
        if plan is not None:
            known |= {"revision": revision(plan), "variant": variant_digest(plan.spec)}
        return Manifest(**known, object=resource, digest=hashlib.sha256(said).hexdigest()[:16])

    return understand


def _unfit(path: str, wanted: DesiredRollout) -> FileError:
    """The objection to a file at rest whose name no ModelCanary can have; of a plan it is one of its faults."""
    expected = "a letter, then letters, digits and -"
    sentence = f"{path}:{wanted.line}: metadata.name is {quoted(wanted.name)}; expected {expected}."
    return FileError(path, wanted.line, sentence)


def _elsewhere(path: str, root: Node, namespace: str) -> FileError | None:
    """The objection to a file of another namespace."""
    node = root.get("metadata", "namespace")
    if node is None or node.value is None or str(node.value) == namespace:
        return None
    where = f"{path}:{node.place.line}"
    sentence = (
        f"{where}: metadata.namespace is {quoted(str(node.value))}, and this GitSource writes to {namespace} alone; "
        f"leave it out, or follow the file by a GitSource there."
    )
    return FileError(path, node.place.line, sentence)


def _faults(document: Document) -> Sequence[Fault]:
    return cluster_faults(document, dollars_an_hour)
