"""Which metrics profile fits what a Prometheus has, and why. For `serinus doctor`; no verdict ever rests on it.

Label values, targets and metadata come through `prometheus-api-client`, which is imported only here and only when it is
asked. It drops warnings and would follow redirects with our credentials, so it gets a session that follows none, takes
no proxy from the environment and reads bounded answers; counters are read by `controlplane.adapters.prometheus_api`.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from canary.errors import BadInput, Unavailable, WorldError
from canary.spec.sources import PROFILES, asked_names
from controlplane.adapters.prometheus_access import Access, Credentials

MOST_BYTES = 32 * 1024 * 1024
T = TypeVar("T")

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
    names: Collection[str], clusters: Collection[str], *, among: Collection[str] = ORDER, ours_to_come: bool = False
) -> Choice:
    """The profile for these metric names and Envoy clusters (`envoy_cluster_name`), one of `among`.

    `ours_to_come`: a route of ours will be there, whose places Envoy Gateway counts apart, whatever it has until then.
    """
    seen = sorted(each for each in clusters if each in ENVOY_GATEWAYS_OWN or each.startswith("httproute/"))
    if ours_to_come and seen and "envoy-gateway" in among:
        return Choice("envoy-gateway", f"{WITNESS['envoy-gateway']} (it is scraped: {seen[0]})")
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
            f"Envoy Gateway is scraped, and none of its clusters is of one backend alone ({min(routes)}): "
            "it makes one for each backendRef that has a filter, as our HTTPRoutes have once there is one",
        )
    return Choice(None, "no metric that counts requests is there")


class Discovery:
    """What one Prometheus has."""

    def __init__(self, url: str, *, seconds: float = 10.0, access: Access | None = None) -> None:
        """Raises `BadInput` where the library is not installed, or the settings cannot be used."""
        try:
            from prometheus_api_client import PrometheusConnect
            from urllib3.util.retry import Retry
        except ImportError as error:
            raise BadInput("prometheus-api-client is not installed: pip install 'serinus[cluster]'.") from error
        self.url = url.rstrip("/")
        session = _session(self.url, seconds, access or Access())
        self._connect = PrometheusConnect(self.url, session=session, retry=Retry(total=0), timeout=int(seconds) or 1)

    async def names(self, matcher: str = "") -> frozenset[str]:
        """Names of the metrics that there are, of series that match."""
        return await self.values("__name__", matcher)

    async def values(self, label: str, matcher: str = "") -> frozenset[str]:
        """Values of a label."""
        params = {"match[]": matcher} if matcher else None
        return frozenset(await self._asked(lambda: self._connect.get_label_values(label, params=params)))

    async def targets(self) -> Sequence[Mapping[str, Any]]:
        """What is scraped, each with its labels and health."""
        found = await self._asked(lambda: self._connect.get_targets(state="active"))
        return list(found.get("activeTargets", ()))

    async def choice(
        self, namespace: str | None = None, *, among: Collection[str] = ORDER, ours_to_come: bool = False
    ) -> Choice:
        """The profile that fits the servers of this namespace (None: of all) and the gateways; see `choose`."""
        pods = f'{{__name__=~".+",namespace="{namespace}"}}' if namespace else ""
        everywhere = '{__name__=~"envoy_cluster_.*|istio_requests_total"}'
        servers, proxies, clusters = (
            await self.names(pods),
            await self.names(everywhere),
            await self.values("envoy_cluster_name"),
        )
        return choose(servers | proxies, clusters, among=among, ours_to_come=ours_to_come)

    async def _asked(self, ask: Callable[[], T]) -> T:
        """In a thread, for the library knows no other way; raises `WorldError`."""
        from prometheus_api_client.exceptions import PrometheusApiClientException
        from requests import RequestException

        try:
            return await asyncio.to_thread(ask)
        except RequestException as error:
            raise Unavailable(f"Prometheus on {self.url} does not answer: {type(error).__name__}.") from error
        except (PrometheusApiClientException, KeyError, ValueError) as error:
            raise WorldError(f"Prometheus on {self.url} does not say what it has: {str(error)[:200]}.") from error


def _session(url: str, seconds: float, access: Access) -> Any:
    """A session that goes nowhere but where it was sent, with the credentials of now."""
    import requests

    credentials = Credentials(access, url)

    class Guarded(requests.Session):
        """Follows nothing, believes no environment, reads no more than it should."""

        def request(self, method: Any, url: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]  # its callers name the rest
            """One bounded answer; raises `RequestException`."""
            kwargs |= {"allow_redirects": False, "timeout": seconds, "stream": True}
            self.headers.update(credentials.headers())
            response = super().request(method, url, **kwargs)
            if response.is_redirect:
                raise requests.TooManyRedirects("it answers with a redirect, which is not followed")
            content = response.raw.read(MOST_BYTES + 1, decode_content=True)
            if len(content) > MOST_BYTES:
                raise requests.exceptions.ContentDecodingError("its answer is too large")
            response._content = content  # noqa: SLF001 - the library knows no other way to bound what it reads
            return response

    session = Guarded()
    session.trust_env = False
    if access.ca_file:
        session.verify = str(access.ca_file)
    if access.certificate_file:
        pair = (str(access.certificate_file), str(access.key_file))
        session.cert = pair if access.key_file else pair[0]
    return session
