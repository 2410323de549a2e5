"""Which metrics profile fits what a Prometheus has, and why. For `serinus doctor`; no verdict ever rests on it.

Asks for the values of labels through the same bounded client as everything else, and holds no thread: a Prometheus that
drips or hangs costs its own look and nobody's. Whom gateways' counters are believed of, `metric_locations.py` says.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from canary.spec.sources import PROFILES, asked_names
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.evidence.metric_locations import EVERYWHERE, Labels

ENVOY_GATEWAYS_OWN = frozenset({"xds_cluster"})
"""A cluster that each of its proxies has, before there is any route."""
PER_BACKEND = re.compile(r"httproute/[^/]+/[^/]+/rule/\d+/backend/\d+")
ORDER = ("envoy-gateway", "istio", "knative", "knative-old", "vllm", "kserve")
"""The profiles of a cluster, the best witness first: a proxy also sees requests that never arrived at a server."""
WITNESS: Mapping[str, str] = {
    "envoy-gateway": "Envoy Gateway's proxies count each place of an HTTPRoute on its own, failures included",
    "istio": "Istio counts requests by workload and answer, on either end",
    "knative": "Knative's queue-proxy (1.19 or newer) times requests by answer",
    "knative-old": "Knative's queue-proxy (until 1.18) counts requests by answer",
    "vllm": "the servers' own web server counts requests by answer, but not those that never arrived",
    "kserve": "KServe's Python server counts predictions, but no failures: gates on error_rate will wait for ever",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """A profile that fits, and why; or None, and what is missing."""

    profile: str | None
    reason: str


def choose(
    names: Collection[str],
    clusters: Collection[str],
    *,
    among: Collection[str] = ORDER,
    ours_to_come: bool = False,
    namespace: str | None = None,
) -> Choice:
    """The profile for these metric names and Envoy clusters (`envoy_cluster_name`), one of `among`.

    `ours_to_come`: a route of ours will be there, whose places Envoy Gateway counts apart, whatever it has until then.
    `namespace`: whose rollout reads the reason, which names no route of another one; None: whoever may see all.
    """
    seen = sorted(each for each in clusters if each in ENVOY_GATEWAYS_OWN or each.startswith("httproute/"))
    if ours_to_come and seen and "envoy-gateway" in among:
        return Choice("envoy-gateway", f"{WITNESS['envoy-gateway']} (it is scraped{_such_as(seen, namespace)})")
    for profile in (each for each in ORDER if each in among):
        counting = asked_names(row for row in PROFILES[profile] if row.feeds == "requests" and row.kind != "nothing")
        found = sorted(counting.intersection(names))
        if not found or (profile == "envoy-gateway" and not any(map(PER_BACKEND.fullmatch, clusters))):
            continue
        return Choice(profile, f"{WITNESS[profile]} ({found[0]})")
    routes = [cluster for cluster in clusters if cluster.startswith("httproute/")]
    if routes:
        return Choice(
            None,
            f"Envoy Gateway is scraped, and none of its clusters is of one backend alone{_such_as(routes, namespace)}; "
            "it makes one for each backendRef that has a filter, as our HTTPRoutes have once there is one",
        )
    return Choice(None, "no metric that counts requests is there")


def _such_as(clusters: Collection[str], namespace: str | None) -> str:
    """The first of these clusters that whoever reads the reason may know of, behind a colon; nothing without one."""
    own = [each for each in clusters if namespace is None or each.split("/")[:2] in ([each], ["httproute", namespace])]
    return f": {min(own)}" if own else ""


class Discovery:
    """What one Prometheus has. Every method raises as `PrometheusApi.query` does."""

    def __init__(self, api: PrometheusApi, labels: Labels | None = None) -> None:
        self._api, self._labels = api, labels or Labels()

    async def names(self, matcher: str = "") -> frozenset[str]:
        """Names of the metrics that there are, of series that match."""
        return await self._api.values("__name__", matcher)

    async def clusters(self) -> frozenset[str]:
        """Envoy clusters that gateways count."""
        return await self._api.values("envoy_cluster_name", f'{{__name__=~"envoy_cluster_.*"{self._of_gateways()}}}')

    async def choice(
        self, namespace: str | None = None, *, among: Collection[str] = ORDER, ours_to_come: bool = False
    ) -> Choice:
        """The profile that fits the servers of this namespace (None: of all) and the gateways; see `choose`."""
        pods = f'{{__name__=~".+",{self._labels.namespace}="{namespace}"}}' if namespace else ""
        everywhere = f'{{__name__=~"envoy_cluster_.*|istio_requests_total"{self._of_gateways(namespace)}}}'
        servers, proxies, clusters = await self.names(pods), await self.names(everywhere), await self.clusters()
        return choose(servers | proxies, clusters, among=among, ours_to_come=ours_to_come, namespace=namespace)

    def _of_gateways(self, *besides: str | None) -> str:
        """A further matcher, which leaves out what others make up."""
        if EVERYWHERE in self._labels.gateways or None in besides:
            return ""
        return f',{self._labels.namespace}=~"{"|".join([*self._labels.gateways, *filter(None, besides)])}"'
