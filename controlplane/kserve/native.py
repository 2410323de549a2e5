"""Variants as predictor and canary of one InferenceService (`spec.canary`). Implements `Platform` and `Router`.

Built by the operator, one pair for each rollout. KServe 0.20 takes the share, repeats it in its status and moves
nothing; later ones write it into their own HTTPRoute. So nothing is believed but that route: a canary that it does not
name is not usable, and the rollout fails before any traffic, with the reason. Whole percents only.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from canary.errors import Conflict, ExternalError, Unavailable
from canary.snapshot import RouteStatus, VariantStatus
from canary.spec.models import ModelCanary, Variant
from canary.weights import ALL_STABLE, ARMS, WHOLE, Arm, Weights
from controlplane.kserve.caches import Caches, reread
from controlplane.kserve.convergence import ConvergenceWait
from controlplane.kserve.knative_service import PERCENT, service_of
from controlplane.kserve.native_service import backends, native_service, predictors, share_of, workload
from controlplane.kserve.object_writer import ObjectWriter
from controlplane.kserve.pod_endpoints import PodEndpoints
from controlplane.kserve.readiness import VariantObjects, variant_status
from controlplane.kserve.start_order import blocked_by_stable
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.names import ROLLOUT_LABEL
from controlplane.kubernetes.resources import INFERENCE_SERVICE, SERVING_RUNTIME
from controlplane.ports import Clock
from profiles.catalogue import Catalogue, builtin

FOLLOWS_S = 5.0
"""Seconds after which a route that does not follow never will: one that does not name a ready canary, or that does not
have the share which was written. Later KServes need 0.1 (measured)."""
MOVES_NOTHING = (
    "KServe repeats the share of spec.canary and moves nothing: its HTTPRoute does not name the canary (0.20 does so). "
    "Use mode: standard, or a KServe whose route follows"
)


class NativePlatform(PodEndpoints):
    """Predictor and canary of one InferenceService."""

    def __init__(
        self,
        kube: Kube,
        caches: Caches,
        plan: ModelCanary,
        *,
        namespace: str,
        now: Callable[[], float],
        known: Catalogue | None = None,
    ) -> None:
        """Raises `BadInput` for a plan that `spec.canary` cannot carry out."""
        self._kube = kube
        self._caches = caches
        self._plan = plan
        self._namespace = namespace
        self._now = now
        self._name = service_of(plan)
        self._asked: set[Arm] = set()
        self._writer = ObjectWriter(kube, caches.services, caches.runtimes)
        self._bare = native_service(plan, namespace=namespace, known=known or builtin(), percent=None)
        self._tried = native_service(plan, namespace=namespace, known=known or builtin(), percent=0)[0]

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Create stable; then add the canary with no share, in one write."""
        self._asked.add(arm)
        if not self._synced():
            return
        runtime = self._bare[0 if arm == "stable" else 1].runtime
        if runtime is not None and self._caches.runtimes.get(self._namespace, runtime["metadata"]["name"]) is None:
            await self._writer.create(SERVING_RUNTIME, runtime)
        live = self._live()
        if live is None:
            if arm == "stable":
                await self._writer.create(INFERENCE_SERVICE, self._bare[0].service)
        elif arm == "canary" and self._is_stable(live) and not live["spec"].get("canary") and not self._waits(live):
            entry = self._tried.service["spec"]["canary"]
            await self._patch(live, [{"op": "add", "path": "/spec/canary", "value": entry}])

    async def stop(self, arm: Arm) -> None:
        """A canary without a share is taken out; over a stable without one the canary becomes the predictor."""
        self._asked.discard(arm)
        live = self._live()
        share = None if live is None else share_of(live)
        if live is None or share is None:
            if (runtime := self._left_over(arm)) is not None:
                await self._writer.delete(SERVING_RUNTIME, runtime)
            return
        remove = {"op": "remove", "path": "/spec/canary"}
        if arm == "canary" and share == 0:
            await self._patch(live, [remove])
        elif arm == "stable" and share == 100:
            winner = {**live["spec"]["canary"][0]["predictor"], "maxReplicas": self._plan.spec.canary.replicas}
            await self._patch(live, [{"op": "replace", "path": "/spec/predictor", "value": winner}, remove])

    async def drop(self, arm: Arm) -> None:
        """A canary is taken out with whatever share it has, and the runtime after it; stable as `stop` does it."""
        live = self._live()
        if arm == "canary" and live is not None and live["spec"].get("canary"):
            await self._patch(live, [{"op": "remove", "path": "/spec/canary"}])
        await self.stop(arm)

    def gone(self, arm: Arm) -> bool:
        """Whether nothing of the arm is left to be stopped."""
        live = self._live()
        return (live is None or share_of(live) is None) and self._left_over(arm) is None

    def _left_over(self, arm: Arm) -> Object | None:
        """The runtime that was made for an arm which is not in the InferenceService any more."""
        live, made = self._live(), self._bare[0 if arm == "stable" else 1].runtime
        if made is None or (live is not None and self._variant(arm).name in predictors(live)):
            return None
        found = self._caches.runtimes.get(self._namespace, made["metadata"]["name"])
        meta = (found or {}).get("metadata") or {}
        ours = (meta.get("labels") or {}).get(ROLLOUT_LABEL) == self._plan.metadata.name
        return found if ours and "deletionTimestamp" not in meta else None

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms. Raises `Unavailable` before the caches know the cluster."""
        if not self._synced():
            raise Unavailable("The cluster has not been read yet.")
        return {arm: self._seen(arm) for arm in ARMS}

    def _seen(self, arm: Arm) -> VariantStatus:
        now, live, variant = self._now(), self._live(), self._variant(arm)
        wanted = variant.replicas if arm in self._asked else 0
        if live is None or variant.name not in predictors(live):
            waits = self._waits(live) if live is not None and arm == "canary" else ""
            return VariantStatus(now, wanted, 0, waits or "asked for, not there yet" if wanted else "not running")
        seen = variant_status(self._parts(arm, live), now)
        if arm == "stable" or not seen.usable or share_of(live) is None:
            return seen
        return self._believed(seen)

    def _parts(self, arm: Arm, live: Object) -> VariantObjects:
        variant = self._variant(arm)
        deployment = self._caches.deployments.get(self._namespace, workload(self._name, variant))
        return VariantObjects(live, deployment, self._pods(arm), wanted=variant.replicas, wary=arm == "canary")

    def _waits(self, live: Object) -> str:
        """Why the canary is not put in yet: stable has its nodes first."""
        asked = "stable" in self._asked and self._is_stable(live) and live["spec"]["predictor"].get("minReplicas") != 0
        return blocked_by_stable(self._plan.spec.stable, self._parts("stable", live)) if asked else ""

    def _believed(self, seen: VariantStatus) -> VariantStatus:
        """A canary that can serve counts only when KServe's route names it."""
        shares = backends(self._caches.routes.get(self._namespace, self._name))
        if workload(self._name, self._plan.spec.canary) in shares:
            return seen
        since = max(since for _, _, since in self._addressed("canary") if since is not None)
        gave_up = seen.at - since >= FOLLOWS_S
        problem = MOVES_NOTHING if gave_up else "ready, and KServe's HTTPRoute does not name it yet"
        return VariantStatus(seen.at, seen.wanted, 0, problem, hopeless=gave_up)

    async def _patch(self, live: Object, operations: Sequence[Mapping[str, Any]]) -> None:
        self._caches.services.put(await patched(self._kube, live, operations))

    def _is_stable(self, live: Object) -> bool:
        return bool(live["spec"]["predictor"].get("name") == self._plan.spec.stable.name)

    def _variant(self, arm: Arm) -> Variant:
        return self._plan.spec.stable if arm == "stable" else self._plan.spec.canary

    def _live(self) -> Object | None:
        return self._caches.services.get(self._namespace, self._name)

    def _pods(self, arm: Arm) -> list[Object]:
        app = f"isvc.{workload(self._name, self._variant(arm))}"
        return list(self._caches.pods_of_apps.of(self._namespace, app))

    def _serving(self, arm: Arm) -> Iterable[Object]:
        live = self._live()
        return self._pods(arm) if live is not None and self._variant(arm).name in predictors(live) else ()

    def _synced(self) -> bool:
        caches = self._caches
        return all(each.synced for each in (caches.services, caches.deployments, caches.pods, caches.routes))


class NativeRouter:
    """The share of `spec.canary`, as KServe's own route has it."""

    def __init__(self, kube: Kube, caches: Caches, plan: ModelCanary, *, namespace: str, clock: Clock) -> None:
        self._kube = kube
        self._caches = caches
        self._plan = plan
        self._namespace = namespace
        self._clock = clock
        self._patience = ConvergenceWait(clock, FOLLOWS_S)
        self._name = service_of(plan)

    async def set_weights(self, weights: Weights) -> None:
        """Write the share, and give KServe a moment to follow; `seen` tells when it has.

        Raises `ExternalError` once that has lasted for `FOLLOWS_S`; a rise is taken back by then.
        """
        if weights.canary % PERCENT:
            raise ExternalError(f"spec.canary takes whole percents, and {weights} was asked for; the weights stay.")
        live, percent = self._caches.services.get(self._namespace, self._name), weights.canary // PERCENT
        before = None if live is None else share_of(live)
        if live is None or before is None:
            if weights != ALL_STABLE:
                raise ExternalError(f"the canary is not in InferenceService {self._name} yet; the weights stay.")
            return
        self._patience.ask(weights)
        if percent != before:
            await self._write(live, percent, urgent=percent < before)
            self._patience.begin()
        try:
            await self._patience.wait(self.seen)
        except ExternalError as error:
            await self._take_back(percent)
            raise ExternalError(f"{weights} was asked for: {MOVES_NOTHING}.") from error

    async def _take_back(self, percent: int) -> None:
        """What the route did not follow is not left standing where a later KServe would carry it out unasked."""
        live, route = self._caches.services.get(self._namespace, self._name), await self.seen()
        in_force = route.weights.canary // PERCENT if route.weights is not None else 0
        if live is not None and share_of(live) is not None and in_force < percent:
            await self._write(live, in_force, urgent=True)

    async def seen(self) -> RouteStatus:
        """The split of KServe's HTTPRoute, never the status, which only repeats what was asked for."""
        now, route = self._clock.now(), self._caches.routes.get(self._namespace, self._name)
        shares = backends(route)
        ours = {workload(self._name, each) for each in (self._plan.spec.stable, self._plan.spec.canary)}
        if not shares:
            return RouteStatus(now, ALL_STABLE, f"KServe has made no HTTPRoute {self._name} yet")
        if strangers := sorted(name for name, weight in shares.items() if weight and name not in ours):
            return RouteStatus(now, None, f"{' and '.join(strangers)} serves as well: neither variant of this rollout")
        total = sum(shares.values())
        if not total:
            return RouteStatus(now, None, "all weights of KServe's HTTPRoute are zero: nobody is served")
        return RouteStatus(now, Weights(shares.get(workload(self._name, self._plan.spec.canary), 0) * WHOLE // total))

    async def confirm(self) -> None:
        """Read KServe's route from the API server: a cache may be behind, that of a new process above all."""
        await reread(self._kube, self._caches.routes, self._namespace)

    def idle(self, arm: Arm) -> bool:
        """Whether no request can reach the arm."""
        shares = backends(self._caches.routes.get(self._namespace, self._name))
        variant = self._plan.spec.stable if arm == "stable" else self._plan.spec.canary
        return not shares.get(workload(self._name, variant), 0)

    async def _write(self, live: Object, percent: int, *, urgent: bool) -> None:
        """The share alone; the test makes sure that it is this canary's."""
        name = live["spec"]["canary"][0]["predictor"]["name"]
        operations = [
            {"op": "test", "path": "/spec/canary/0/predictor/name", "value": name},
            {"op": "replace", "path": "/spec/canary/0/trafficPercent", "value": percent},
        ]
        self._caches.services.put(await patched(self._kube, live, operations, urgent=urgent))


async def patched(kube: Kube, live: Object, operations: Sequence[Mapping[str, Any]], *, urgent: bool = False) -> Object:
    """The object after these operations; raises `ExternalError` when it is another one by now."""
    meta = live["metadata"]
    test = {"op": "test", "path": "/metadata/uid", "value": meta["uid"]}
    try:
        return await kube.patch(INFERENCE_SERVICE, meta["namespace"], meta["name"], [test, *operations], urgent=urgent)
    except Conflict as error:
        raise ExternalError(f"InferenceService {meta['name']} was changed meanwhile; it is looked at again.") from error
