"""Whose series it is: from the labels of a series to a rollout, an arm and a replica.

Used by `shared_prometheus.py` and `history.py`. What a gateway counts is known by the place of a backendRef in our
HTTPRoute, and who stood there since when; what pods say of themselves, by the names that KServe gives to pods and that
scrape configurations give to labels. A page may carry any label, so what a series says counts only where its target,
which is what was scraped, is entitled to say it: a gateway's counters come from a gateway's pods, a variant's own from
its own. Reads no numbers.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from canary.weights import ARMS, Arm
from controlplane.evidence.metric_locations import Key, Labels, MetricLocations, SlotsSeen

CLUSTER = "envoy_cluster_name"
GATEWAY_PROFILES = frozenset({"envoy-gateway"})
"""Profiles whose requests are counted at the places of our HTTPRoute."""
NAMESPACES = ("destination_workload_namespace", "namespace_name", "k8s_namespace_name")
"""Labels by which a measurement itself says in which namespace the server is; otherwise its target's namespace is.

That alone proves nothing: the target has to be entitled to say it."""
SERVERS = (
    "inferenceservice",
    "serving_kserve_io_inferenceservice",
    "llm_isvc_name",
    "revision_name",
    "kn_revision_name",
    "destination_workload",
    "app",
)
"""Labels that name the server, the plainest first; scrape configurations differ in what they keep."""
SUFFIXES = ("", "-predictor", "-kserve", "-deployment", "-predictor-deployment")
"""What KServe and Knative append to a service's or revision's name for its Deployment."""


class SeriesOwner(NamedTuple):
    """Whose a series is."""

    key: Key
    arm: Arm
    replica: str
    since: float
    """Points scraped before this are somebody else's."""


class SeriesOwners:
    """Looks labels up among the registered rollouts."""

    def __init__(self, labels: Labels) -> None:
        self._labels = labels
        self._slots: dict[tuple[str, ...], tuple[Key, Arm, float]] = {}
        """By namespace, route and place."""
        self._servers: dict[tuple[str, ...], tuple[Key, Arm]] = {}
        """By namespace and what pods are called after."""
        self._places: dict[Key, MetricLocations] = {}
        self._known: dict[Key, list[tuple[str, ...]]] = {}

    def put(self, key: Key, places: MetricLocations, slots: SlotsSeen) -> None:
        """From now on these places are this rollout's, and no others."""
        self.drop(key)
        self._places[key] = places
        known = self._known[key] = []
        if places.profile in GATEWAY_PROFILES:
            arms = {name: arm for arm, name in places.variants.items()}
            for number, slot in enumerate(slots):
                if slot is not None and slot.variant in arms:
                    place = (places.namespace, places.route, str(number))
                    self._slots[place] = key, arms[slot.variant], slot.since
                    known.append(place)
        for arm in ARMS:
            for suffix in SUFFIXES:
                server = (places.namespace, f"{places.services[arm]}{suffix}")
                self._servers[server] = key, arm
                known.append(server)

    def drop(self, key: Key) -> None:
        """Nothing is this rollout's any more."""
        self._places.pop(key, None)
        for place in self._known.pop(key, ()):
            self._slots.pop(place, None)
            self._servers.pop(place, None)

    def of(self, labels: Mapping[str, str]) -> SeriesOwner | None:
        """The owner; None for nobody's."""
        if CLUSTER in labels:
            return self._of_cluster(labels)
        target = labels.get(self._labels.namespace, "")
        namespace = next((labels[name] for name in NAMESPACES if name in labels), target)
        for server in self._named(labels):
            found = self._servers.get((namespace, server))
            if found and self._may_say(labels, target, *found):
                return SeriesOwner(*found, self._target(labels), float("-inf"))
        return None

    def _of_cluster(self, labels: Mapping[str, str]) -> SeriesOwner | None:
        """By `httproute/<namespace>/<route>/rule/0/backend/<place>`; each proxy counts on its own.

        Other rules serve who is outside the cohort, with whom it is not compared.
        """
        parts = labels[CLUSTER].split("/")
        if len(parts) != 7 or parts[0] != "httproute" or parts[3:6] != ["rule", "0", "backend"]:
            return None
        found = self._slots.get((parts[1], parts[2], parts[6]))
        if found is None:
            return None
        key, arm, since = found
        places, target = self._places[key], labels.get(self._labels.namespace, "")
        if not self._labels.counts_for(places, target) or self._variant(labels, target, places):
            return None
        return SeriesOwner(key, arm, f"{self._target(labels)}/backend/{parts[6]}@{since:.3f}", since)

    def _may_say(self, labels: Mapping[str, str], target: str, key: Key, arm: Arm) -> bool:
        """Whether what was scraped may say this of the arm: its own pods of themselves, callers of their calls."""
        places = self._places[key]
        variant = self._variant(labels, target, places)
        if labels.get("reporter") == "source":
            return variant is None and (target == places.namespace or self._labels.counts_for(places, target))
        return variant is not None and places.services[variant] == places.services[arm]

    def _variant(self, labels: Mapping[str, str], target: str, places: MetricLocations) -> Arm | None:
        """Whose pod was scraped, by its name; None for a pod of neither variant."""
        if target != places.namespace:
            return None
        pod = labels.get(self._labels.pod, "")
        arms = [arm for arm in ARMS if f"{pod}-".startswith(f"{places.services[arm]}-")]
        return max(arms, key=lambda arm: len(places.services[arm]), default=None)

    def _target(self, labels: Mapping[str, str]) -> str:
        """What was scraped: the pod where the configuration says it."""
        return labels.get(self._labels.pod) or labels.get("k8s_pod_name") or labels.get("instance") or "?"

    def _named(self, labels: Mapping[str, str]) -> Iterator[str]:
        """What the server may be called, by these labels and at last by its pod's name."""
        for label in SERVERS:
            if label in labels:
                yield labels[label].removeprefix("isvc.")
        pod = labels.get(self._labels.pod, "").rsplit("-", 2)
        if len(pod) == 3:  # <deployment>-<hash of the template>-<random>
            yield pod[0]
