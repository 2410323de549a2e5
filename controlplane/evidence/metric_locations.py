"""Where the numbers of one rollout are found in a cluster. Handed in by whoever runs the rollout; knows no query."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from canary.spec.models import Gate
from canary.weights import Arm

Key = tuple[str, str]
"""Namespace and name of a rollout."""


@dataclass(frozen=True, slots=True)
class RouteSlot:
    """One of the two places in a rollout's HTTPRoute: who stands there, and since when."""

    variant: str
    """Name of the variant."""
    service: str
    """The Service that the place names."""
    since: float
    """When that Service was first in force there (seconds since the epoch)."""


SlotsSeen = Sequence[RouteSlot | None]
"""Slot 0 and slot 1, in the order of the route's backendRefs; None for one that is not there."""


def _unknown() -> Mapping[Arm, Mapping[str, float]]:
    return {}


@dataclass(frozen=True, slots=True)
class MetricLocations:
    """Where to look for one rollout's numbers."""

    namespace: str
    route: str
    """Name of our HTTPRoute."""
    slots: Callable[[], SlotsSeen]
    """Asked once a tick, for roles and Services move; returns at once."""
    variants: Mapping[Arm, str]
    """Names of the variants: what slots and the label `variant` of people's own queries say."""
    services: Mapping[Arm, str]
    """What each arm's pods are called after: its InferenceService, or its revision."""
    gateway: str = ""
    """Namespace of the Gateway that the route hangs on, whose proxies may run there; empty where there is none."""
    profile: str = "envoy-gateway"
    """Name of the metrics profile, a key of `canary.spec.sources.PROFILES`."""
    gates: Sequence[Gate] = ()
    """All gates of the plan: they say which metrics are worth fetching, and some bring a query of their own."""
    ready_since: Callable[[], Mapping[Arm, Mapping[str, float]]] = field(default=_unknown)
    """For plans with a warm-up: when each pod of an arm became ready, by its name. A gateway counts all replicas of an
    arm together, so what it counts is warm when the last of them is."""


GATEWAYS = ("envoy-gateway-system", "istio-system", "istio-ingress")
"""Where gateways run their proxies by default."""
EVERYWHERE = "*"


@dataclass(frozen=True, slots=True)
class Labels:
    """What the scrape configuration calls things, and whom it is believed of.

    `namespace` and `pod` are labels of the target: service discovery sets them, and a page that has labels of these
    names finds them renamed to `exported_…`. Everything else on a series may be the page's own word.
    """

    namespace: str = "namespace"
    pod: str = "pod"
    selector: str = ""
    """Further label matchers for every counter, such as `cluster="eu-1"`."""
    gateways: Sequence[str] = GATEWAYS
    """Namespaces whose pods are believed when they count requests to others; `*` believes all."""

    def counts_for(self, places: MetricLocations, target: str) -> bool:
        """Whether pods of this namespace may count the requests of this rollout as its gateway."""
        return EVERYWHERE in self.gateways or (target != "" and target in (*self.gateways, places.gateway))
