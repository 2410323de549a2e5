"""Both variants as revisions of one InferenceService in KServe's Knative mode. Implements `Platform` and `Router`.

Built by the operator, one pair for each rollout. KServe writes the split from `canaryTrafficPercent`: the template is
the canary, what was rolled out before is stable. So the order matters. The canary's template and 0 % arrive in one
write; the weights move with the template untouched; a rollback is 0, never the old template, which would be a new
revision and a cold start. Revisions are named by the status only. Whole percents only.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from canary.errors import Conflict, ExternalError, Unavailable
from canary.snapshot import RouteStatus, VariantStatus
from canary.spec.models import ModelCanary, Variant
from canary.weights import ALL_STABLE, ARMS, Arm, Weights
from controlplane.kserve.caches import Caches, reread
from controlplane.kserve.convergence import ConvergenceWait
from controlplane.kserve.drift import FieldDrift, report, touched_fields
from controlplane.kserve.knative_service import PERCENT, KnativeStatus, knative_service, service_of
from controlplane.kserve.object_writer import ObjectWriter
from controlplane.kserve.pod_endpoints import PodEndpoints
from controlplane.kserve.readiness import VariantObjects, variant_status
from controlplane.kserve.render import Rendered
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.names import MANAGED_BY, ROLLOUT_LABEL
from controlplane.kubernetes.resources import INFERENCE_SERVICE, SERVING_RUNTIME
from controlplane.ports import Clock
from profiles.catalogue import Catalogue, builtin

FOLLOWS_S = 4.0
"""Seconds after which a share that is written and not in force is worth a word."""


class _Service:
    """Where the InferenceService of a rollout is, and how it is read and written."""

    def __init__(self, kube: Kube, caches: Caches, plan: ModelCanary, namespace: str) -> None:
        self.kube = kube
        self.caches = caches
        self.namespace = namespace
        self.name = service_of(plan)
        self.variants: dict[Arm, Variant] = {"stable": plan.spec.stable, "canary": plan.spec.canary}

    def read(self) -> KnativeStatus | None:
        """None while it is not there."""
        live = self.caches.services.get(self.namespace, self.name)
        return None if live is None else KnativeStatus(live, self.variants["stable"].name, self.variants["canary"].name)

    async def patch(self, live: Object, operations: Sequence[Mapping[str, Any]]) -> None:
        """Over the very object that was looked at; raises `ExternalError` when it has changed."""
        test = {"op": "test", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]}
        try:
            answer = await self.kube.patch(INFERENCE_SERVICE, self.namespace, self.name, [test, *operations])
        except Conflict as error:
            raise ExternalError(
                f"InferenceService {self.name} was changed meanwhile; it is looked at again."
            ) from error
        self.caches.services.put(answer)

    async def fall_to(self, percent: int) -> None:
        """Whatever else has changed: taking traffic away is never wrong."""
        patch = {"spec": {"predictor": {"canaryTrafficPercent": percent}}}
        answer = await self.kube.patch(INFERENCE_SERVICE, self.namespace, self.name, patch, urgent=True)
        self.caches.services.put(answer)


class KnativePlatform(PodEndpoints):
    """The two revisions of one InferenceService."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        plan: ModelCanary,
        *,
        namespace: str,
        clock: Clock,
        known: Catalogue | None = None,
    ) -> None:
        """Raises `BadInput` for a plan that Knative cannot carry out."""
        self._plan = plan
        self._service = _Service(kube, caches, plan, namespace)
        self._caches = caches
        self._clock = clock
        self._known = known or builtin()
        self._asked: set[Arm] = set()
        self._writer = ObjectWriter(kube, caches.services, caches.runtimes)
        self._made("canary")

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Roll stable out first; then the canary becomes the template, with no share, in one write."""
        self._service.variants[arm] = variant
        self._asked.add(arm)
        if not self._synced():
            return
        found, made = self._service.read(), self._made(arm)
        runtime = made.runtime
        if runtime is not None and self._caches.runtimes.get(self._service.namespace, self._runtime(made)) is None:
            await self._writer.create(SERVING_RUNTIME, runtime)
        if found is None:
            if arm == "stable":
                await self._writer.create(INFERENCE_SERVICE, made.service)
        elif arm == "stable" and found.template not in {found.stable, found.canary} and not found.at_rest:
            await self._replace(found, made)
        elif arm == "canary" and found.rolled_out and (found.template != found.canary or found.at_rest):
            await self._replace(found, made, canaryTrafficPercent=0)

    async def stop(self, arm: Arm) -> None:
        """A stable that was promoted over goes with the share; a canary without traffic goes to zero pods.

        Neither touches the other variant's revision. Runtimes that the template does not name go as well.
        """
        self._asked.discard(arm)
        found = self._service.read()
        if found is not None and found.template == found.canary:
            if arm == "stable" and found.share == 100:
                share = "/spec/predictor/canaryTrafficPercent"
                return await self._service.patch(found.live, [{"op": "remove", "path": share}])
            if arm == "canary" and found.share == 0 and not found.at_rest:
                rest = {"op": "replace", "path": "/spec/predictor/minReplicas", "value": 0}
                return await self._service.patch(found.live, [rest])
        for runtime in self._left_over(found, arm):
            await self._writer.delete(SERVING_RUNTIME, runtime)
        return None

    async def drop(self, arm: Arm) -> None:
        """A canary's share and pods go in one write, whatever the share is; stable as `stop` does it."""
        found = self._service.read()
        if arm == "canary" and found is not None and found.template == found.canary and not found.at_rest:
            rest = {"canaryTrafficPercent": 0, "minReplicas": 0}
            patch = [{"op": "add", "path": f"/spec/predictor/{name}", "value": value} for name, value in rest.items()]
            await self._service.patch(found.live, patch)
        await self.stop(arm)

    def gone(self, arm: Arm) -> bool:
        """Whether nothing of the arm is left to be stopped."""
        found = self._service.read()
        if next(self._left_over(found, arm), None) is not None:
            return False
        if found is None or found.template != found.canary:
            return True
        return found.at_rest if arm == "canary" else found.share is None

    def drift(self) -> tuple[FieldDrift, ...]:
        """What somebody else wrote into the template, which makes a third revision of it, or into the share."""
        found = self._service.read()
        arms: Mapping[str, Arm] = {self._service.variants[arm].name: arm for arm in ARMS}
        arm = None if found is None else arms.get(found.template)
        if found is None or arm is None or found.at_rest:
            return ()
        changed = touched_fields(found.live, self._made(arm).service)
        then = "it is left as it is, because putting it back would be one more revision"
        return (report(arm, INFERENCE_SERVICE.kind, found.live, changed, then, repairable=False),) if changed else ()

    def _left_over(self, found: KnativeStatus | None, arm: Arm) -> Iterator[Object]:
        """Runtimes that this rollout, or one before it, has made and no template needs any more.

        What the template names stays, even at rest: without it KServe carries out nothing more of the InferenceService.
        """
        other: Arm = "canary" if arm == "stable" else "stable"
        needed = {self._runtime(self._made(other))}
        if found is not None:
            needed.add(str((found.live["spec"]["predictor"].get("model") or {}).get("runtime", "")))
        for runtime in self._caches.runtimes.items(self._service.namespace):
            meta = runtime["metadata"]
            given = meta.get("labels") or {}
            ours = given.get(MANAGED_BY) == "serinus" and given.get(ROLLOUT_LABEL) == self._plan.metadata.name
            if ours and meta["name"] not in needed and "deletionTimestamp" not in meta:
                yield runtime

    def revision(self, arm: Arm) -> str:
        """The revision of the arm, which its pods are named after; empty while there is none."""
        found = self._service.read()
        if found is None or (arm == "canary" and found.template != found.canary):
            return ""
        return found.revisions.get(arm, "")

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms, from the caches. Raises `Unavailable` before these know the cluster."""
        if not self._synced():
            raise Unavailable("The cluster has not been read yet.")
        return {arm: self._seen(arm) for arm in ARMS}

    def _seen(self, arm: Arm) -> VariantStatus:
        now, found, variant = self._clock.now(), self._service.read(), self._service.variants[arm]
        wanted = variant.replicas if arm in self._asked else 0
        if found is None:
            return VariantStatus(now, wanted, 0, "asked for, not there yet" if wanted else "not running")
        if arm == "canary" and (found.template != variant.name or found.at_rest):
            waits = "waits until stable is rolled out: Knative cannot split before"
            return VariantStatus(now, wanted, 0, waits if wanted else "not running")
        revision = found.revisions.get(arm, "")
        pods = self._pods(revision)
        if arm == "stable" and found.template != variant.name and revision and not pods:
            # At 100 % Knative lets the old revision go. It is the way back all the same: it starts on demand.
            return VariantStatus(now, variant.replicas, variant.replicas, "scaled to zero by Knative; starts on demand")
        deployment = self._caches.deployments.get(self._service.namespace, f"{revision}-deployment")
        wary = arm == "canary"
        return variant_status(
            VariantObjects(found.live, deployment, pods, wanted=variant.replicas, revision=revision, wary=wary), now
        )

    async def _replace(self, found: KnativeStatus, made: Rendered, **share: int) -> None:
        """Another template, and its share, in one write."""
        predictor = {**made.service["spec"]["predictor"], **share}
        await self._service.patch(found.live, [{"op": "replace", "path": "/spec/predictor", "value": predictor}])

    def _made(self, arm: Arm) -> Rendered:
        variant = self._service.variants[arm]
        return knative_service(self._plan, variant, namespace=self._service.namespace, known=self._known)

    def _runtime(self, made: Rendered) -> str:
        return str(made.service["spec"]["predictor"]["model"]["runtime"])

    def _pods(self, revision: str) -> list[Object]:
        return list(self._caches.pods_of_revisions.of(self._service.namespace, revision)) if revision else []

    def _serving(self, arm: Arm) -> Iterable[Object]:
        found = self._service.read()
        if found is None or (arm == "canary" and found.at_rest):
            return ()
        return self._pods(found.revisions.get(arm, ""))

    def _synced(self) -> bool:
        return all(each.synced for each in (self._caches.services, self._caches.pods, self._caches.runtimes))


class KnativeRouter:
    """The share of the newest revision."""

    def __init__(self, kube: Kube, caches: Caches, plan: ModelCanary, *, namespace: str, clock: Clock) -> None:
        self._service = _Service(kube, caches, plan, namespace)
        self._clock = clock
        self._patience = ConvergenceWait(clock, FOLLOWS_S)

    async def set_weights(self, weights: Weights) -> None:
        """Write the share, and give KServe and Knative a moment to follow; `seen` tells when they have.

        Raises `ExternalError` once that has lasted for `FOLLOWS_S`.
        """
        if weights.canary % PERCENT:
            raise ExternalError(f"Knative moves whole percents, and {weights} was asked for; the weights stay.")
        found, percent = self._service.read(), weights.canary // PERCENT
        if found is None or found.template != found.canary:
            if weights != ALL_STABLE:
                raise ExternalError(
                    f"the canary is not in InferenceService {self._service.name} yet; the weights stay."
                )
            return
        self._patience.ask(weights)
        if percent != found.share:
            self._patience.begin()
        if percent < (found.share or 0):
            await self._service.fall_to(percent)
        elif percent != found.share:
            share = {"op": "add", "path": "/spec/predictor/canaryTrafficPercent", "value": percent}
            await self._service.patch(found.live, [share])
        await self._patience.wait(self.seen)

    async def seen(self) -> RouteStatus:
        """The split that Knative serves, by the revisions in KServe's status."""
        found, now = self._service.read(), self._clock.now()
        if found is None:
            return RouteStatus(now, ALL_STABLE, f"InferenceService {self._service.name} is not there yet")
        return found.split(now)

    async def confirm(self) -> None:
        """Read the share from the API server: a cache may be behind, that of a new process above all."""
        await reread(self._service.kube, self._service.caches.services, self._service.namespace)

    def idle(self, arm: Arm) -> bool:
        """Whether no request can reach the arm."""
        found = self._service.read()
        weights = ALL_STABLE if found is None else found.split(self._clock.now()).weights
        return weights is not None and not getattr(weights, arm)
