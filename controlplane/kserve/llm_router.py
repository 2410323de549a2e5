"""The weights of a routing group of two LLMInferenceServices. Implements `controlplane.ports.Router`.

Built by the operator, one for each rollout. KServe writes the routes of a group from a weight on each member. Two
members cannot be written at once, so the order is chosen such that the share between the two writes is never above
both ends, and that never all weights are zero. What is in force is read from the group in each member's status.
"""

from canary.errors import ExternalError
from canary.snapshot import RouteStatus
from canary.spec.models import ModelCanary
from canary.weights import ALL_CANARY, ALL_STABLE, ARMS, WHOLE, Arm, Weights
from controlplane.kserve.caches import Caches, reread
from controlplane.kserve.convergence import ConvergenceWait
from controlplane.kserve.llm_service import llm_name, weighed, weight_of
from controlplane.kubernetes.api import Kube, Object
from controlplane.kubernetes.resources import LLM_INFERENCE_SERVICE
from controlplane.ports import Clock

TINY = 1
"""Of a million: a member that is let go to nothing, or comes from nothing, costs requests in some gateways."""
EMPTY = WHOLE // 100
"""A stable with less than this is given its weight back before the canary's is taken, or nobody would have any."""
SETTLED_S = 0.5
"""Seconds for which the first millionth is in force before more follows."""
FOLLOWS_S = 10.0
"""Seconds after which a change that is written and not in force is worth a word: KServe takes 2 to 7 (measured)."""


class LlmRouter:
    """The weights of both members."""

    def __init__(self, kube: Kube, caches: Caches, plan: ModelCanary, *, namespace: str, clock: Clock) -> None:
        self._kube = kube
        self._caches = caches
        self._namespace = namespace
        self._clock = clock
        self._patience = ConvergenceWait(clock, FOLLOWS_S)
        self._names: dict[Arm, str] = {
            "stable": llm_name(plan, plan.spec.stable),
            "canary": llm_name(plan, plan.spec.canary),
        }

    async def set_weights(self, weights: Weights) -> None:
        """Write both members, and give KServe a moment to follow; `seen` tells when it has.

        Raises `ExternalError` once that has lasted for `FOLLOWS_S`.
        """
        self._patience.ask(weights)
        live = {arm: self._live(arm) for arm in ARMS}
        if live["canary"] is None or live["stable"] is None:
            if weights == ALL_STABLE:
                return
            raise ExternalError("one of the variants is not there yet; the weights stay.")
        canary = min(max(weights.canary, TINY), WHOLE - TINY)
        if weights == ALL_STABLE and not weight_of(live["canary"]):
            canary = 0  # it never had any: nothing has to be kept warm
        wanted: dict[Arm, int] = {"stable": WHOLE - canary, "canary": canary}
        if canary > TINY and not weight_of(live["canary"]):
            await self._write("canary", TINY, falls=False)
            await self._clock.sleep(SETTLED_S)
        for arm in _order(weight_of(live["stable"])):
            await self._write(arm, wanted[arm], falls=wanted["canary"] < weight_of(live["canary"]))
        await self._patience.wait(self.seen)

    async def seen(self) -> RouteStatus:
        """The split that both members' statuses agree on; None while they do not."""
        now = self._clock.now()
        members = [self._members(each) for arm in ARMS if (each := self._live(arm)) is not None]
        said = [each for each in members if each is not None]
        if not said:
            return RouteStatus(now, ALL_STABLE, "KServe has not written the group's route yet")
        if any(each != said[0] for each in said) or (len(members) == 2 and len(said) < 2 and said[0]["canary"]):
            return RouteStatus(now, None, "the two members of the group do not agree yet", self._asked())
        total = said[0]["stable"] + said[0]["canary"]
        if not total:
            return RouteStatus(now, None, "all weights of the group are zero: nobody is served")
        return RouteStatus(now, self._meant(round(said[0]["canary"] * WHOLE / total)))

    async def confirm(self) -> None:
        """Read the members from the API server: a cache may be behind, that of a new process above all."""
        await reread(self._kube, self._caches.llm_services, self._namespace)

    def idle(self, arm: Arm) -> bool:
        """Whether no more than one request in a million can reach the arm."""
        live = self._live(arm)
        members = None if live is None else self._members(live)
        if live is None or members is None:
            return True
        return max(weight_of(live), members[arm]) <= TINY

    def _asked(self) -> Weights | None:
        """What both members are to have, carried out or not."""
        live = {arm: each for arm in ARMS if (each := self._live(arm)) is not None}
        total = sum(weight_of(each) for each in live.values())
        return self._meant(round(weight_of(live["canary"]) * WHOLE / total)) if len(live) == 2 and total else None

    def _meant(self, canary: int) -> Weights:
        """One in a million stands for nothing, unless a stage itself asks for it."""
        wanted = self._patience.wanted
        if wanted is not None and wanted.canary == canary:
            return wanted
        return ALL_STABLE if canary <= TINY else ALL_CANARY if canary >= WHOLE - TINY else Weights(canary)

    async def _write(self, arm: Arm, weight: int, *, falls: bool) -> None:
        live = self._live(arm)
        if live is None or weight_of(live) == weight:
            return
        name = self._names[arm]
        answer = await self._kube.patch(LLM_INFERENCE_SERVICE, self._namespace, name, weighed(weight), urgent=falls)
        self._patience.begin()
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
