"""Variants as two InferenceServices in KServe's standard mode. Implements `controlplane.ports.Platform`.

Built by the operator, one for each rollout. Creates what is missing, and never changes a running stable: an edit of an
InferenceService, even of a label, restarts its pods. Reads the caches only, so a look asks nobody. An InferenceService
that the plan names (`inferenceService:`) is used as it is. Moves no traffic: `may_stop` says when nothing can reach a
variant any more.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from canary.errors import BadInput, ExternalError, Unavailable
from canary.snapshot import VariantStatus
from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.drift import FieldDrift, changed_fields, report
from controlplane.kserve.object_writer import REPAIRS, ObjectWriter
from controlplane.kserve.pod_endpoints import SeparateServices
from controlplane.kserve.pods import leaving
from controlplane.kserve.readiness import VariantObjects, template_of, variant_status
from controlplane.kserve.render import Rendered, digest_of, location, rendered
from controlplane.kserve.served_model import ServedModel, identity, mismatch
from controlplane.kserve.start_order import blocked_by_stable
from controlplane.kubernetes.api import Kube, NotFound, Object, Rejected, Resource, TooManyRequests
from controlplane.kubernetes.names import MANAGED_BY, ROLLOUT_LABEL, predictor, service_name
from controlplane.kubernetes.resources import INFERENCE_SERVICE, SERVING_RUNTIME
from profiles.catalogue import Catalogue

PAUSE = 5.0
"""Seconds before something that was refused is asked for again."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why there is no InferenceService."""

    sentence: str
    hopeless: bool
    again_at: float
    """Not asked for before (seconds)."""


class KServeStandard(SeparateServices):
    """Both arms' InferenceServices."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        plan: ModelCanary,
        *,
        namespace: str,
        now: Callable[[], float],
        may_stop: Callable[[Arm], bool],
        known: Catalogue | None = None,
    ) -> None:
        """`may_stop` answers whether no request can reach the arm."""
        super().__init__(kube, caches, plan, namespace=namespace, now=now, may_stop=may_stop, known=known)
        self._refusals: dict[Arm, Refusal] = {}
        self._rendered: dict[tuple[str, str], Rendered] = {}
        self._writer = ObjectWriter(kube, caches.services, caches.runtimes)

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Create what is missing of it, a canary after stable; put a changed canary back where the plan says so."""
        self._variants[arm] = variant
        self._asked.add(arm)
        if variant.inference_service or not self._synced():
            return
        if (refusal := self._refusals.get(arm)) and self._now() < refusal.again_at:
            return
        try:
            made = self._made(variant)
            live = self._service(arm)
            if live is None and arm == "canary" and self._waits():
                return
            if live is None or digest_of(live) == digest_of(made.service):  # another runtime would restart what runs
                await self._make_runtime(made)
            if live is None:
                await self._writer.create(INFERENCE_SERVICE, made.service)
            elif arm == "canary" and "deletionTimestamp" not in live["metadata"]:
                await self._keep_canary(live, made)
        except (Rejected, NotFound, BadInput) as error:
            hopeless = "exceeded quota" not in str(error)
            self._refusals[arm] = Refusal(_refused(error), hopeless, self._now() + PAUSE)
            raise ExternalError(_refused(error)) from error
        except TooManyRequests as error:
            told = f"the API server asks to come back later ({error})"
            self._refusals[arm] = Refusal(told, hopeless=False, again_at=self._now() + error.after)
            raise
        self._refusals.pop(arm, None)

    async def stop(self, arm: Arm) -> None:
        """Delete what was made for the arm, once no request can reach it: nothing happens as long as one can.

        What Serinus did not make stays. `gone` tells when there is nothing left to be done.
        """
        self._asked.discard(arm)
        self._refusals.pop(arm, None)
        if self.gone(arm) or not self._may_stop(arm):
            return
        for resource, each in self._stoppable(arm):
            if "deletionTimestamp" not in each["metadata"]:
                await self._writer.delete(resource, each)

    def gone(self, arm: Arm) -> bool:
        """Whether nothing that Serinus made for the arm is there any more."""
        return not list(self._stoppable(arm))

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms, from the caches. Raises `Unavailable` before these know the cluster."""
        if not self._synced():
            raise Unavailable("The cluster has not been read yet.")
        return {arm: self._seen(arm) for arm in ARMS}

    def served(self, arm: Arm) -> ServedModel | None:
        """Which weights and images the arm serves, as read back; None while there is nothing."""
        live = self._service(arm)
        return None if live is None else identity(live, self._deployment(arm), self._pods(arm))

    def drift(self) -> tuple[FieldDrift, ...]:
        """Everything of both arms that somebody else changed, with what happens next."""
        return tuple(drift for arm in ARMS for drift in self._drift_of(arm))

    def _seen(self, arm: Arm) -> VariantStatus:
        now, variant, live = self._now(), self._variants[arm], self._service(arm)
        wanted = variant.replicas if arm in self._asked else 0
        if live is None:
            if refusal := self._refusals.get(arm):
                return VariantStatus(now, wanted, 0, refusal.sentence, refusal.hopeless, stuck=True)
            if variant.inference_service:
                problem = f"InferenceService {variant.inference_service} is not there; Serinus does not make it"
                return VariantStatus(now, variant.replicas, 0, problem, stuck=True)
            waits = self._waits() if arm == "canary" else ""
            return VariantStatus(now, wanted, 0, waits or "asked for, not there yet" if wanted else "not running")
        if arm == "canary" and not variant.inference_service and not self._is_ours(live):
            return VariantStatus(now, wanted, 0, _foreign(live), hopeless=True)
        if "deletionTimestamp" in live["metadata"]:
            return VariantStatus(now, wanted, 0, "an earlier one is still being deleted" if wanted else "being stopped")
        pods = self._pods(arm)
        parts = VariantObjects(
            live,
            self._deployment(arm),
            pods,
            nodes=self._caches.nodes.items(),
            neighbours=self._caches.pods.items(),
            wary=arm == "canary",
        )
        seen = variant_status(parts, now)
        refusal = self._refusals.get(arm)
        if refusal and not seen.complete:
            seen = replace(seen, problem=refusal.sentence, hopeless=refusal.hopeless, stuck=True)
        wrong = mismatch(identity(live, parts.deployment, pods), location(self._plan.spec, variant), variant.image)
        return _with_wrong_model(arm, seen, wrong) if wrong else seen

    def _waits(self) -> str:
        """Why a canary is not made yet: a stable of ours, which is asked for as well, has its nodes first."""
        stable, live = self._variants["stable"], self._service("stable")
        if "stable" not in self._asked or stable.inference_service or (live is not None and not self._is_ours(live)):
            return ""
        parts = None if live is None else VariantObjects(live, self._deployment("stable"), self._pods("stable"))
        return blocked_by_stable(stable, parts)

    async def _keep_canary(self, live: Object, made: Rendered) -> None:
        """A canary of another plan is replaced; one that somebody changed is put back."""
        if not self._is_ours(live):
            return  # said by `seen`
        if digest_of(live) != digest_of(made.service):
            if self._may_stop("canary"):  # nothing reaches it: deleting first needs no second set of GPUs
                await self._writer.delete(INFERENCE_SERVICE, live)
            return
        if self._repairs_drift() and changed_fields(live, made.service):
            await self._writer.put_back(INFERENCE_SERVICE, live, made.service)
        runtime = self._caches.runtimes.get(self._namespace, live["metadata"]["name"])
        if made.runtime is None or runtime is None or not self._is_ours(runtime):
            return
        outdated = digest_of(runtime) != digest_of(made.runtime)
        if (outdated and self._may_stop("canary")) or (self._repairs_drift() and changed_fields(runtime, made.runtime)):
            await self._writer.put_back(SERVING_RUNTIME, runtime, made.runtime)

    async def _make_runtime(self, made: Rendered) -> None:
        runtime = made.runtime
        if runtime is not None and self._caches.runtimes.get(self._namespace, runtime["metadata"]["name"]) is None:
            await self._writer.create(SERVING_RUNTIME, runtime)

    def _drift_of(self, arm: Arm) -> Iterator[FieldDrift]:
        variant, live = self._variants[arm], self._service(arm)
        if live is None or variant.inference_service or not self._is_ours(live):
            return
        try:
            made = self._made(variant)
        except BadInput:
            return  # said by `seen`
        runtime = self._caches.runtimes.get(self._namespace, self._name(variant))
        for each, wanted in ((live, made.service), (runtime, made.runtime)):
            if each is None or wanted is None or digest_of(each) != digest_of(wanted):
                continue
            if changed := changed_fields(each, wanted):
                yield self._drift(arm, wanted["kind"], each, changed)
        templates = {template_of(pod) for pod in self._pods(arm) if not leaving(pod)}
        if len(templates) > 1:
            name = predictor(self._name(variant))
            told = f"Deployment {name} replaces its pods: their template was changed since they were made."
            yield FieldDrift(arm, "Deployment", name, ("spec.template",), "", told, repairable=False)

    def _drift(self, arm: Arm, kind: str, live: Object, changed: Mapping[tuple[str, ...], str]) -> FieldDrift:
        insists = self._writer.insisted(live["metadata"]["uid"])
        repairable = arm == "canary" and self._repairs_drift() and not insists
        if repairable:
            then = "it is put back"
        elif insists:
            then = f"it was put back {REPAIRS} times and is left as it is now"
        else:
            then = "it is left as it is, because putting it back would restart its pods"
        return report(arm, kind, live, changed, then, repairable=repairable)

    def _made(self, variant: Variant) -> Rendered:
        """The objects of a variant; rendered once for each runtime that it was seen with."""
        runtime = self._caches.runtime(self._namespace, variant.runtime) if variant.runtime else None
        key = (variant.model_dump_json(), runtime["metadata"].get("resourceVersion", "") if runtime else "")
        if key not in self._rendered:
            self._rendered[key] = rendered(
                self._plan, variant, namespace=self._namespace, known=self._known, runtime=runtime
            )
        return self._rendered[key]

    def _repairs_drift(self) -> bool:
        kserve = self._plan.spec.platform.kserve
        return kserve is not None and kserve.on_drift == "repair"

    def _is_ours(self, object_: Object) -> bool:
        given = object_["metadata"].get("labels") or {}
        return bool(given.get(MANAGED_BY) == "serinus" and given.get(ROLLOUT_LABEL) == self._plan.metadata.name)

    def _name(self, variant: Variant) -> str:
        return variant.inference_service or service_name(self._plan.metadata.name, variant.name)

    def _service(self, arm: Arm) -> Object | None:
        return self._caches.services.get(self._namespace, self._name(self._variants[arm]))

    def _deployment(self, arm: Arm) -> Object | None:
        return self._caches.deployments.get(self._namespace, predictor(self._name(self._variants[arm])))

    def _stoppable(self, arm: Arm) -> Iterator[tuple[Resource, Object]]:
        """The arm's objects that Serinus made."""
        variant = self._variants[arm]
        if not variant.inference_service:
            runtime = self._caches.runtimes.get(self._namespace, self._name(variant))
            for resource, each in ((INFERENCE_SERVICE, self._service(arm)), (SERVING_RUNTIME, runtime)):
                if each is not None and self._is_ours(each):
                    yield resource, each

    def _pods(self, arm: Arm) -> list[Object]:
        """Its pods; none once its InferenceService is gone, because then they are on their way out."""
        if self._service(arm) is None:
            return []
        app = f"isvc.{predictor(self._name(self._variants[arm]))}"
        return list(self._caches.pods_of_apps.of(self._namespace, app))

    def _serving(self, arm: Arm) -> Iterable[Object]:
        return self._pods(arm)

    def _synced(self) -> bool:
        caches = self._caches
        return all(each.synced for each in (caches.services, caches.deployments, caches.pods, caches.runtimes))


def _with_wrong_model(arm: Arm, seen: VariantStatus, wrong: str) -> VariantStatus:
    """A canary that serves another model gets no traffic; a stable one begins no rollout, and is still the way back."""
    if arm == "canary":
        return replace(seen, ready=0, problem=wrong, hopeless=True)
    return replace(seen, wanted=max(seen.wanted, seen.ready + 1), problem=wrong, hopeless=True)


def _foreign(live: Object) -> str:
    name = live["metadata"]["name"]
    return f"an InferenceService {name} is there already, and Serinus did not make it; name it, or rename the variant"


def _refused(error: Exception) -> str:
    """What was said, as a clause."""
    if isinstance(error, BadInput):
        return str(error).rstrip(".")
    if isinstance(error, NotFound):
        return f"the cluster lacks what it needs: {error}"
    return f"the cluster refuses it: {error}"
