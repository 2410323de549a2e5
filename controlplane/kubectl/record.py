"""One rollout in a cluster as far as its ModelCanary tells: the state, the plan, and the world that was written down.

Used by the verbs that show or explain a rollout. The state is the operator's own, read the way the operator reads it;
nothing is invented where the status says nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from canary.errors import BadInput
from canary.rollout import Event
from canary.snapshot import Snapshot, VariantStatus
from canary.spec.models import Variant
from canary.spec.stored import from_text
from canary.weights import ARMS
from controlplane.kserve import readiness
from controlplane.kubectl.find import canary
from controlplane.kubectl.listing import NOT_SEEN, queue_of, refusal_of
from controlplane.kubectl.session import KubectlSession
from controlplane.kubernetes import names
from controlplane.kubernetes.api import NotFound, Object, Rejected, Resource
from controlplane.kubernetes.resources import DEPLOYMENT, INFERENCE_SERVICE, POD
from controlplane.operator.event_log import EventLog
from controlplane.operator.store import stored_in
from controlplane.readmodel.cluster import seen_of
from controlplane.readmodel.record import RolloutRecord

POD_LABEL = "serving.kserve.io/inferenceservice"


@dataclass(frozen=True, slots=True)
class Record(RolloutRecord):
    """A ModelCanary with a rollout in it."""

    object_: Object

    def seen(self) -> Snapshot:
        """The world as far as the status tells: the weights that the operator saw; readiness only where it is known."""
        return seen_of(self.object_, self.spec, self.rollout)


async def record(session: KubectlSession, name: str) -> Record:
    """The rollout of this name. Raises `BadInput` where there is no ModelCanary, or none that was begun."""
    found = record_of(await canary(session, name))
    if isinstance(found, str):
        raise BadInput(f"{session.called(name)} has no rollout yet: {found}")
    return found


def record_of(object_: Object) -> Record | str:
    """The rollout of a ModelCanary, or why there is none yet. Raises `ExternalError` for a status that is broken."""
    stored = stored_in(object_)
    if stored is None:
        return refusal_of(object_) or queue_of(object_) or NOT_SEEN
    from_text(stored.spec_text)  # a plan that cannot be read is an error here, not where it is shown
    return Record(stored, object_)


async def looked(session: KubectlSession, found: Record) -> Snapshot:
    """What the status tells, with the readiness of both variants as their pods say it now.

    Whoever may not read pods sees what the record implies.
    """
    seen, spec = found.seen(), found.spec
    if found.rollout.finished:
        return seen
    namespace = found.object_["metadata"]["namespace"]
    try:
        stable, variant = await asyncio.gather(
            *(_ready(session, namespace, found.rollout.name, getattr(spec, arm)) for arm in ARMS)
        )
    except Rejected:
        return seen
    return replace(seen, stable=stable, canary=variant)


async def events_of(session: KubectlSession, found: Record, attempt: int | None = None) -> Sequence[Event]:
    """All events of an attempt (None: the newest) that are kept, in order."""
    rollout, namespace = found.rollout, found.object_["metadata"]["namespace"]
    books = EventLog(session.kube, namespace, earlier=True)
    books.note(rollout.name, rollout.attempt, rollout.history)
    wanted = attempt or rollout.attempt
    try:
        return await books.read(rollout.name, wanted)
    except Rejected:
        return rollout.history if wanted == rollout.attempt else ()


async def _ready(session: KubectlSession, namespace: str, rollout: str, variant: Variant) -> VariantStatus:
    service = variant.inference_service or names.service_name(rollout, variant.name)
    now = session.now()
    inference_service, deployment, pods = await asyncio.gather(
        _maybe(session, INFERENCE_SERVICE, namespace, service),
        _maybe(session, DEPLOYMENT, namespace, names.predictor(service)),
        session.kube.list(POD, namespace, labels=f"{POD_LABEL}={service}"),
    )
    if inference_service is None:
        return VariantStatus(now, variant.replicas, 0, f"there is no InferenceService {service}")
    return readiness.variant_status(readiness.VariantObjects(inference_service, deployment, pods.items), now)


async def _maybe(session: KubectlSession, resource: Resource, namespace: str, name: str) -> Object | None:
    try:
        return await session.kube.get(resource, namespace, name)
    except NotFound:
        return None
