"""Variants as two LLMInferenceServices of one routing group. Implements `controlplane.ports.Platform` and `Router`.

Built by the operator, one pair for each rollout. KServe writes the route of the group from a weight on each member. Two
members cannot be written at once, so the order is chosen such that the share between the two writes is never above
both ends, and that never all weights are zero. What is in force is read from the group in each member's status.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from canary.errors import BadInput, Unavailable, WorldError
from canary.observation import RouteSeen, VariantSeen
from canary.spec.models import ModelCanary, Variant
from canary.weights import ALL_CANARY, ALL_STABLE, ARMS, WHOLE, Arm, Weights
from controlplane.kserve.addressed import Addressed
from controlplane.kserve.caches import Caches
from controlplane.kserve.drift import Drift, report, touched_fields
from controlplane.kserve.engine import served
from controlplane.kserve.precedence import waits_for
from controlplane.kserve.render import location, placement
from controlplane.kserve.trouble import Parts, look
from controlplane.kserve.writer import Writer
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.names import LONGEST_LABEL, MANAGED_BY, ROLLOUT_LABEL, labels, shortened
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from controlplane.ports import Clock
from profiles.catalogue import Catalogue, builtin

WORKLOAD = "-kserve"
WORKLOAD_SERVICE = "-kserve-workload-svc"
"""What KServe adds to the name: the Service's is the longest."""
TINY = 1
"""Of a million: a member that is let go to nothing, or comes from nothing, costs requests in some gateways."""
EMPTY = WHOLE // 100
"""A stable with less than this is given its weight back before the canary's is taken, or nobody would have any."""
SETTLED_S = 0.5
"""Seconds for which the first millionth is in force before more follows."""
PATIENCE_S = 4.0
"""Seconds that a call waits for its change: less than the loop's own patience."""
FOLLOWS_S = 10.0
"""Seconds after which a change that is written and not in force is worth a word: KServe takes 2 to 7 (measured)."""
POLL_S = 0.05


def llm_name(plan: ModelCanary, variant: Variant) -> str:
    """The LLMInferenceService of a variant, with room for what KServe adds."""
    return shortened(f"{plan.metadata.name}-{variant.name}", LONGEST_LABEL - len(WORKLOAD_SERVICE))


def llm_service(plan: ModelCanary, variant: Variant, weight: int, *, namespace: str, known: Catalogue) -> Object:
    """The LLMInferenceService of a variant. Raises `BadInput` for what it cannot carry out."""
    if variant.inference_service or variant.runtime:
        raise BadInput(f"{variant.name} names a service or runtime of its own, and mode llm has neither.")
    if variant.profile is None:
        raise BadInput(f"{variant.name} says no profile: mode llm serves on GPUs; write profile: {{gpu: …}}.")
    if variant.system_prompt:
        raise BadInput(f"{variant.name} has a system prompt, and mode llm has no server that reads one.")
    uri, made = location(plan.spec, variant), served(plan.spec, variant, known)
    if not uri:
        raise BadInput(f"{variant.name} says no uri, and neither does the model: there are no weights to serve.")
    # The served name is the model's; the server's own template passes it, and another one beside it.
    words = [word for word in made.words if not word.startswith(("--served-model-name", "--enable-lora", "--lora-"))]
    container: dict[str, Any] = {
        "name": "main",
        "args": words,
        "env": [{"name": name, "value": value} for name, value in variant.env.items()],
        "resources": {"requests": dict(made.requests), "limits": dict(made.requests)},
    }
    if variant.image:
        container["image"] = variant.image
    adapters = [{"name": name, "uri": place} for name, place in variant.lora.items()]
    return {
        "apiVersion": LLM_INFERENCE_SERVICE.api_version,
        "kind": LLM_INFERENCE_SERVICE.kind,
        "metadata": {
            "name": llm_name(plan, variant),
            "namespace": namespace,
            "labels": {**variant.labels, **labels(plan.metadata.name, variant.name)},
        },
        "spec": {
            "model": {
                "name": plan.spec.model.name,
                "uri": uri,
                **({"lora": {"adapters": adapters}} if adapters else {}),
            },
            "replicas": variant.replicas,
            "router": {"gateway": {}, "route": {"group": _group(plan), "weight": weight}},
            "template": {**placement(variant), "containers": [container]},
        },
    }


class LlmPlatform(Addressed):
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
        self._kube = kube
        self._caches = caches
        self._plan = plan
        self._namespace = namespace
        self._now = now
        self._may_stop = may_stop
        self._known = known or builtin()
        self._variants: dict[Arm, Variant] = {"stable": plan.spec.stable, "canary": plan.spec.canary}
        self._asked: set[Arm] = set()
        self._writer = Writer(kube, caches.llm_services)

    async def run(self, arm: Arm, variant: Variant) -> None:
        """Create it where it is missing: stable with all of the traffic, a canary after it, with none."""
        self._variants[arm] = variant
        self._asked.add(arm)
        if self._synced() and self._live(arm) is None and not (arm == "canary" and self._waits()):
            weight = WHOLE if arm == "stable" else 0
            try:
                made = llm_service(self._plan, variant, weight, namespace=self._namespace, known=self._known)
            except BadInput as error:
                raise WorldError(str(error)) from error
            await self._writer.create(LLM_INFERENCE_SERVICE, made)

    async def stop(self, arm: Arm) -> None:
        """First take the last millionth and give it to the other, then delete; nothing happens while it is reached."""
        self._asked.discard(arm)
        live = self._live(arm)
        if live is None or not _is_of(live, self._plan) or not self._may_stop(arm):
            return
        other = self._live("canary" if arm == "stable" else "stable")
        if _weight(live):
            await self._weigh(live, 0)
        elif other is not None and _is_of(other, self._plan) and _weight(other) != WHOLE:
            await self._weigh(other, WHOLE)
        elif "deletionTimestamp" not in live["metadata"]:
            await self._writer.delete(LLM_INFERENCE_SERVICE, live)

    async def _weigh(self, live: Object, weight: int) -> None:
        patch, name = {"spec": {"router": {"route": {"weight": weight}}}}, live["metadata"]["name"]
        answer = await self._kube.patch(LLM_INFERENCE_SERVICE, self._namespace, name, patch)
        self._caches.llm_services.put(answer)

    def gone(self, arm: Arm) -> bool:
        """Whether nothing that Serinus made for the arm is there any more."""
        live = self._live(arm)
        return live is None or not _is_of(live, self._plan)

    async def seen(self) -> Mapping[Arm, VariantSeen]:
        """Readiness of both arms, from the caches. Raises `Unavailable` before these know the cluster."""
        if not self._synced():
            raise Unavailable("The cluster has not been read yet.")
        return {arm: self._seen(arm) for arm in ARMS}

    def drift(self) -> tuple[Drift, ...]:
        """What somebody else wrote into the members; it is reported and left, for undoing it restarts their pods."""
        found = []
        for arm in ARMS:
            live = self._live(arm)
            if live is None or not _is_of(live, self._plan):
                continue
            variant, known = self._variants[arm], self._known
            made = llm_service(self._plan, variant, _weight(live), namespace=self._namespace, known=known)
            if changed := touched_fields(live, made):
                then = "it is left as it is, because putting it back would restart its pods"
                found.append(report(arm, LLM_INFERENCE_SERVICE.kind, live, changed, then, repairable=False))
        return tuple(found)

    def _seen(self, arm: Arm) -> VariantSeen:
        now, live = self._now(), self._live(arm)
        wanted = self._variants[arm].replicas if arm in self._asked else 0
        if live is None:
            waits = self._waits() if arm == "canary" else ""
            return VariantSeen(now, wanted, 0, waits or "asked for, not there yet" if wanted else "not running")
        if "deletionTimestamp" in live["metadata"]:
            return VariantSeen(now, wanted, 0, "an earlier one is still being deleted" if wanted else "not running")
        return look(self._parts(arm, live), now)

    def _parts(self, arm: Arm, live: Object) -> Parts:
        deployment = self._caches.llm_deployments.get(self._namespace, live["metadata"]["name"] + WORKLOAD)
        wanted = int(live["spec"].get("replicas", 1))
        return Parts(live, deployment, self._pods(arm), wanted=wanted, wary=arm == "canary")

    def _waits(self) -> str:
        """Why a canary is not made yet: a stable of ours, which is asked for as well, has its nodes first."""
        live = self._live("stable")
        if "stable" not in self._asked or (live is not None and not _is_of(live, self._plan)):
            return ""
        return waits_for(self._variants["stable"], None if live is None else self._parts("stable", live))

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
        return all(each.synced for each in (caches.llm_services, caches.llm_deployments, caches.llm_pods))


class LlmRouter:
    """The weights of both members."""

    def __init__(self, kube: Kube, caches: Caches, plan: ModelCanary, *, namespace: str, clock: Clock) -> None:
        self._kube = kube
        self._caches = caches
        self._namespace = namespace
        self._clock = clock
        self._wanted: Weights | None = None
        self._since = 0.0
        """When these weights were first asked for, or a weight was written last (seconds): KServe follows later."""
        self._names: dict[Arm, str] = {
            "stable": llm_name(plan, plan.spec.stable),
            "canary": llm_name(plan, plan.spec.canary),
        }

    async def set_weights(self, weights: Weights) -> None:
        """Write both members, and return when the group is seen to have the weights.

        KServe may take longer than this waits: then it returns before, and `seen` tells. Raises `WorldError` once that
        has lasted for `FOLLOWS_S`.
        """
        begun = self._clock.now()
        if weights != self._wanted:
            self._wanted, self._since = weights, begun
        live = {arm: self._live(arm) for arm in ARMS}
        if live["canary"] is None or live["stable"] is None:
            if weights == ALL_STABLE:
                return
            raise WorldError("one of the variants is not there yet; the weights stay.")
        canary = min(max(weights.canary, TINY), WHOLE - TINY)
        if weights == ALL_STABLE and not _weight(live["canary"]):
            canary = 0  # it never had any: nothing has to be kept warm
        wanted: dict[Arm, int] = {"stable": WHOLE - canary, "canary": canary}
        if canary > TINY and not _weight(live["canary"]):
            await self._write("canary", TINY, falls=False)
            await self._clock.sleep(SETTLED_S)
        for arm in _order(_weight(live["stable"])):
            await self._write(arm, wanted[arm], falls=wanted["canary"] < _weight(live["canary"]))
        until = begun + PATIENCE_S
        while (seen := await self.seen()).weights != weights:
            if self._clock.now() >= until:
                if self._clock.now() - self._since < FOLLOWS_S:
                    return
                raise WorldError(f"{weights} is written and not in force: {seen.problem or f'it is {seen.weights}'}")
            await self._clock.sleep(POLL_S)

    async def seen(self) -> RouteSeen:
        """The split that both members' statuses agree on; None while they do not."""
        now = self._clock.now()
        members = [self._members(each) for arm in ARMS if (each := self._live(arm)) is not None]
        said = [each for each in members if each is not None]
        if not said:
            return RouteSeen(now, ALL_STABLE, "KServe has not written the group's route yet")
        if any(each != said[0] for each in said) or (len(members) == 2 and len(said) < 2 and said[0]["canary"]):
            return RouteSeen(now, None, "the two members of the group do not agree yet")
        total = said[0]["stable"] + said[0]["canary"]
        if not total:
            return RouteSeen(now, None, "all weights of the group are zero: nobody is served")
        return RouteSeen(now, self._meant(round(said[0]["canary"] * WHOLE / total)))

    def idle(self, arm: Arm) -> bool:
        """Whether no more than one request in a million can reach the arm."""
        live = self._live(arm)
        members = None if live is None else self._members(live)
        if live is None or members is None:
            return True
        return max(_weight(live), members[arm]) <= TINY

    def _meant(self, canary: int) -> Weights:
        """One in a million stands for nothing, unless a stage itself asks for it."""
        if self._wanted is not None and self._wanted.canary == canary:
            return self._wanted
        return ALL_STABLE if canary <= TINY else ALL_CANARY if canary >= WHOLE - TINY else Weights(canary)

    async def _write(self, arm: Arm, weight: int, *, falls: bool) -> None:
        live = self._live(arm)
        if live is None or _weight(live) == weight:
            return
        patch = {"spec": {"router": {"route": {"weight": weight}}}}
        answer = await self._kube.patch(LLM_INFERENCE_SERVICE, self._namespace, self._names[arm], patch, urgent=falls)
        self._since = self._clock.now()
        self._caches.llm_services.put(answer)

    def _members(self, live: Object) -> dict[Arm, int] | None:
        """What one member's status says of both; a member that is left out has nothing."""
        group = (((live.get("status") or {}).get("router") or {}).get("group") or {}).get("members")
        if not group:
            return None
        weights = {str(each["name"]): int(each.get("weight", 0)) for each in group if not each.get("stopped")}
        return {arm: weights.get(self._names[arm], 0) for arm in ARMS}

    def _live(self, arm: Arm) -> Object | None:
        return self._caches.llm_services.get(self._namespace, self._names[arm])


def _order(stable: int) -> tuple[Arm, Arm]:
    """The canary first, so that a fall is in force with the first write; unless stable has nothing to fall back on."""
    return ("stable", "canary") if stable < EMPTY else ("canary", "stable")


def _weight(live: Object) -> int:
    return int(((live["spec"].get("router") or {}).get("route") or {}).get("weight", 0))


def _group(plan: ModelCanary) -> str:
    return shortened(plan.metadata.name, LONGEST_LABEL)


def _is_of(live: Object, plan: ModelCanary) -> bool:
    given = live["metadata"].get("labels") or {}
    return bool(given.get(MANAGED_BY) == "serinus" and given.get(ROLLOUT_LABEL) == plan.metadata.name)
