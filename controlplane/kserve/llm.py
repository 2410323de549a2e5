"""Variants as two LLMInferenceServices of one routing group. Implements `controlplane.ports.Platform`.

Built by the operator, one for each rollout. Creates what is missing and never changes what runs, for an edit restarts
its pods. Moves no traffic: that is `llm_router.py`'s business, and the loser's last millionth that of `llm_drain.py`.
"""

from collections.abc import Callable, Iterable, Mapping

from canary.errors import BadInput, ExternalError, Unavailable
from canary.snapshot import VariantStatus
from canary.spec.models import ModelCanary, Variant
from canary.weights import ARMS, WHOLE, Arm
from controlplane.kserve.caches import Caches
from controlplane.kserve.drift import FieldDrift, report, touched_fields
from controlplane.kserve.llm_drain import DrainStep, LlmDrain, leaves
from controlplane.kserve.llm_service import WORKLOAD, is_of, llm_name, llm_service, weight_of
from controlplane.kserve.object_writer import ObjectWriter
from controlplane.kserve.pod_endpoints import SeparateServices
from controlplane.kserve.readiness import VariantObjects, variant_status
from controlplane.kserve.start_order import blocked_by_stable
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from profiles.catalogue import Catalogue


class LlmPlatform(SeparateServices):
    """Both members of the group."""

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
        """`may_stop` answers whether no more than one request in a million can reach the arm."""
        super().__init__(kube, caches, plan, namespace=namespace, now=now, may_stop=may_stop, known=known)
        self._writer = ObjectWriter(kube, caches.llm_services)
        self._departure = LlmDrain(caches, now)

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Create it where it is missing: stable with all of the traffic, a canary after it, with none."""
        self._variants[arm] = variant
        self._asked.add(arm)
        if not self._synced():
            return
        live = self._live(arm)
        if live is not None and is_of(live, self._plan) and leaves(live):
            await self._let_go(arm, live)
        elif live is None and not (arm == "canary" and self._waits()):
            weight = WHOLE if arm == "stable" else 0
            try:
                made = llm_service(self._plan, variant, weight, namespace=self._namespace, known=self._known)
            except BadInput as error:
                raise ExternalError(str(error)) from error
            await self._writer.create(LLM_INFERENCE_SERVICE, made)

    async def stop(self, arm: Arm) -> None:
        """Lead it out of the group, a step a call, and delete it then; nothing happens while it is reached."""
        self._asked.discard(arm)
        live = self._live(arm)
        if live is not None and self._synced() and is_of(live, self._plan) and self._may_stop(arm):
            await self._let_go(arm, live)

    async def drop(self, arm: Arm) -> None:
        """Delete it at once, wherever its departure is: what still reaches it fails until the gateway has heard."""
        self._asked.discard(arm)
        live = self._live(arm)
        if live is not None and is_of(live, self._plan) and not _is_going(live):
            await self._writer.delete(LLM_INFERENCE_SERVICE, live)

    async def _let_go(self, arm: Arm, live: Object) -> None:
        """The next step of its departure; where it is alone there is nobody to take anything over."""
        other = self._live("canary" if arm == "stable" else "stable")
        if _is_going(live):
            return
        if other is None or not is_of(other, self._plan) or _is_going(other):
            await self._writer.delete(LLM_INFERENCE_SERVICE, live)
        elif (step := self._departure.step(live, other)) is not None:
            await self._take(step)

    async def _take(self, step: DrainStep) -> None:
        if step.patch is None:
            return await self._writer.delete(LLM_INFERENCE_SERVICE, step.member)
        name = step.member["metadata"]["name"]
        answer = await self._kube.patch(LLM_INFERENCE_SERVICE, self._namespace, name, step.patch)
        return self._caches.llm_services.put(answer)

    def gone(self, arm: Arm) -> bool:
        """Whether nothing that Serinus made for the arm is there any more."""
        live = self._live(arm)
        return live is None or not is_of(live, self._plan)

    async def seen(self) -> Mapping[Arm, VariantStatus]:
        """Readiness of both arms, from the caches. Raises `Unavailable` before these know the cluster."""
        if not self._synced():
            raise Unavailable("The cluster has not been read yet.")
        return {arm: self._seen(arm) for arm in ARMS}

    def drift(self) -> tuple[FieldDrift, ...]:
        """What somebody else wrote into the members; it is reported and left, for undoing it restarts their pods."""
        found = []
        for arm in ARMS:
            live = self._live(arm)
            if live is None or not is_of(live, self._plan):
                continue
            variant, known = self._variants[arm], self._known
            made = llm_service(self._plan, variant, weight_of(live), namespace=self._namespace, known=known)
            if changed := touched_fields(live, made):
                then = "it is left as it is, because putting it back would restart its pods"
                found.append(report(arm, LLM_INFERENCE_SERVICE.kind, live, changed, then, repairable=False))
        return tuple(found)

    def _seen(self, arm: Arm) -> VariantStatus:
        now, live = self._now(), self._live(arm)
        wanted = self._variants[arm].replicas if arm in self._asked else 0
        if live is None:
            waits = self._waits() if arm == "canary" else ""
            return VariantStatus(now, wanted, 0, waits or "asked for, not there yet" if wanted else "not running")
        if _is_going(live):
            return VariantStatus(now, wanted, 0, "an earlier one is still being deleted" if wanted else "not running")
        if leaves(live):
            return VariantStatus(
                now, wanted, 0, "an earlier one is still leaving the group" if wanted else "not running"
            )
        return variant_status(self._parts(arm, live), now)

    def _parts(self, arm: Arm, live: Object) -> VariantObjects:
        deployment = self._caches.llm_deployments.get(self._namespace, live["metadata"]["name"] + WORKLOAD)
        wanted = int(live["spec"].get("replicas", 1))
        return VariantObjects(live, deployment, self._pods(arm), wanted=wanted, wary=arm == "canary")

    def _waits(self) -> str:
        """Why a canary is not made yet: a stable of ours, which is asked for as well, has its nodes first."""
        live = self._live("stable")
        if "stable" not in self._asked or (live is not None and not is_of(live, self._plan)):
            return ""
        return blocked_by_stable(self._variants["stable"], None if live is None else self._parts("stable", live))

    def _live(self, arm: Arm) -> Object | None:
        return self._caches.llm_services.get(self._namespace, llm_name(self._plan, self._variants[arm]))

    def _pods(self, arm: Arm) -> list[Object]:
        if self._live(arm) is None:
            return []
        return list(self._caches.pods_of_llms.of(self._namespace, llm_name(self._plan, self._variants[arm])))

    def _serving(self, arm: Arm) -> Iterable[Object]:
        return self._pods(arm)

    def _synced(self) -> bool:
        caches = self._caches
        return all(
            each.synced for each in (caches.llm_services, caches.llm_deployments, caches.llm_pods, caches.routes)
        )


def _is_going(live: Object) -> bool:
    return "deletionTimestamp" in live["metadata"]
