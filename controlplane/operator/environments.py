"""The world of one rollout in each mode of KServe: variants, traffic and numbers in one hand. Implements `site.Site`.

Made by `modes.py`. `GatewayApiEnvironment` moves the traffic itself, by our own HTTPRoute; of a
`KServeRoutedEnvironment` KServe does, by a share or a weight that it is told. Decides nothing.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from canary.serial import rfc3339
from canary.spec.models import ModelCanary
from canary.weights import ARMS, Arm
from controlplane.evidence.metric_locations import RouteSlot, SlotsSeen
from controlplane.gateway.route import backends_of
from controlplane.gateway.router import GatewayRouter
from controlplane.kserve.drift import FieldDrift as Changed
from controlplane.kserve.standard import KServeStandard
from controlplane.kubernetes.names import service_name
from controlplane.operator.environment import ObjectDrift
from controlplane.ports import Identity, MetricSource, Platform, Router


class Variants(Platform, Protocol):
    """A platform that knows its pods, and when one of its arms is put away."""

    def ready_since(self) -> Mapping[str, float]:
        """Pod name to seconds since the epoch."""
        ...

    async def drop(self, arm: Arm) -> None:
        """`stop`, all of its steps at once, for what cannot be waited for any longer."""
        ...

    def gone(self, arm: Arm) -> bool:
        """Whether nothing of the arm is left to be stopped."""
        ...

    def drift(self) -> Sequence[Changed]:
        """What somebody else changed of either arm."""
        ...


class RoutedTraffic(Router, Protocol):
    """A router that knows when an arm is out of reach."""

    def idle(self, arm: Arm) -> bool:
        """Whether nothing can reach the arm any more."""
        ...


class GatewayApiEnvironment:
    """Two InferenceServices and a route of our own."""

    def __init__(
        self,
        platform: Callable[[Callable[[Arm], bool]], KServeStandard],
        router: GatewayRouter,
        metrics: MetricSource,
        plan: ModelCanary,
        close: Callable[[], None],
        troubles: Callable[[], Iterable[str]] = tuple,
    ) -> None:
        """`platform` is made with the answer to whether an arm may be stopped; `troubles` says what is wrong with what
        the route stands on, a sentence each: its Gateway is gone, its host name is another's.
        """
        self.router = router
        self.metrics = metrics
        self.identity: Identity | None = None
        self._plan = plan
        self._troubles = troubles
        self._forced = False
        self._close = close
        self.platform = platform(self._may_stop)

    async def tend(self) -> None:
        """Let the canary's slot go to rest once it has no traffic, and leave a host name to whom it belongs."""
        await self.router.attach()
        await self.router.settle("canary")

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """First out of the route, then out of the cluster."""
        self._forced = force
        if not await self.router.settle(arm) and not force:
            return False
        await self.platform.stop(arm)
        return not force or self.platform.gone(arm)

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """Variant and since when, in the order of the route's places."""
        found = [{"variant": ""}, {"variant": ""}]
        for arm, (place, since) in self.router.slots().items():
            found[place] = {"variant": _variant(self._plan, arm), "since": rfc3339(since)}
        return found if any(each["variant"] for each in found) else []

    def drift(self) -> Sequence[ObjectDrift]:
        """Of the route and of the variants."""
        found = [ObjectDrift(each.sentence, each.manager) for each in self.platform.drift()]
        if clause := self.router.drift():
            told = f"HTTPRoute {self._plan.metadata.name}: {clause}."
            found.append(ObjectDrift(told, clause.split(" ", 1)[0], of_route=True))
        return found + [ObjectDrift(sentence) for sentence in self._troubles()]

    def close(self) -> None:
        """Read no more numbers for it."""
        self._close()

    def servers(self) -> Mapping[Arm, str]:
        """What each arm's pods are called after."""
        variants = {"stable": self._plan.spec.stable, "canary": self._plan.spec.canary}
        name = self._plan.metadata.name
        return {arm: variants[arm].inference_service or service_name(name, variants[arm].name) for arm in ARMS}

    def places(self) -> SlotsSeen:
        """Who stands in each of the route's two places, and since when."""
        backends = backends_of(self._plan)
        found: list[RouteSlot | None] = [None, None]
        for arm, (place, since) in self.router.slots().items():
            found[place] = RouteSlot(backends[arm].variant, backends[arm].service, since)
        return found

    def _may_stop(self, arm: Arm) -> bool:
        return self._forced or self.router.idle(arm)


class KServeRoutedEnvironment:
    """A rollout whose traffic KServe itself moves (knative, native, llm)."""

    def __init__(
        self,
        platform: Callable[[Callable[[Arm], bool]], Variants],
        router: RoutedTraffic,
        metrics: MetricSource,
        servers: Callable[[Any], Mapping[Arm, str]],
        close: Callable[[], None],
    ) -> None:
        """`platform` is made with the answer to whether an arm may be stopped; `servers` names pods by the platform."""
        self.router = router
        self.metrics = metrics
        self.identity: Identity | None = None
        self._servers = servers
        self._forced = False
        self._close = close
        self.platform = platform(self._may_stop)

    async def tend(self) -> None:
        """KServe's route is KServe's: nothing is left to tidy up between two passes."""

    async def put_away(self, arm: Arm, *, force: bool = False) -> bool:
        """A step a call: some modes first take the last of the weight, and let go of the variant after that.

        With `force` all of them at once.
        """
        self._forced = force
        await (self.platform.drop(arm) if force else self.platform.stop(arm))
        return self.platform.gone(arm)

    def slots(self) -> Sequence[Mapping[str, Any]]:
        """There are none: KServe's route is KServe's."""
        return []

    def drift(self) -> Sequence[ObjectDrift]:
        """Of the variants; what is served besides the two is said by the router, with whose it is."""
        return [ObjectDrift(each.sentence, each.manager) for each in self.platform.drift()]

    def close(self) -> None:
        """Read no more numbers for it."""
        self._close()

    def servers(self) -> Mapping[Arm, str]:
        """What each arm's pods are called after, as far as that is known by now."""
        return self._servers(self.platform)

    def places(self) -> SlotsSeen:
        """Nothing is counted at a route of ours."""
        return (None, None)

    def _may_stop(self, arm: Arm) -> bool:
        return self._forced or self.router.idle(arm)


ClusterSite = GatewayApiEnvironment | KServeRoutedEnvironment


def ready_since(site: ClusterSite) -> Mapping[Arm, Mapping[str, float]]:
    """By arm, since when each pod that can serve is ready (seconds since the epoch)."""
    since = site.platform.ready_since()
    return {arm: {pod: since[pod] for pod in pods if pod in since} for arm, pods in site.platform.endpoints().items()}


def _variant(plan: ModelCanary, arm: Arm) -> str:
    return plan.spec.stable.name if arm == "stable" else plan.spec.canary.name
