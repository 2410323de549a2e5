"""What Prometheus is asked for all rollouts together: one query for each kind of place where numbers come from.

Used by `shared_prometheus.py` and `history.py`. Asks for raw samples of what gates need and of nothing else. Pure text:
names come from Kubernetes, whose names are plain, and one that is not is refused here, so no name can change what a
query means.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from canary.errors import BugError
from canary.spec import metrics
from canary.spec.labels import labels_of
from canary.spec.models import Gate
from canary.spec.sources import PROFILES, Profile, Row, asked_names, by_label
from canary.spec.units import UnreadableNumber
from controlplane.evidence.metric_locations import EVERYWHERE, Labels, MetricLocations
from controlplane.evidence.series_attribution import CLUSTER

Family = Literal["gateway", "mesh", "pods"]
"""Where series come from; each family has labels of its own, so each is one query."""
PREFIXES: Mapping[str, Family] = {"envoy_": "gateway", "istio_": "mesh"}
BY_PROXY = frozenset({"open", "begun", "cancelled", "reset_streams"})
"""What is open and what becomes of it, as a proxy counts it."""
BY_SERVERS = frozenset({"running", "waiting", "generation_tokens"})
"""The same as servers count it themselves, where no proxy does."""
ALWAYS = BY_PROXY | {"requests", "broken_answers", "garbled_answers", "throttled_answers", "started_at"}
"""What is read whatever the gates are: traffic, its failures, what is open, and when a replica began."""
_PLAIN = re.compile(r"[A-Za-z0-9._-]+")


def family_of(row: Row) -> Family:
    """The family that a row's series belong to."""
    return next((family for prefix, family in PREFIXES.items() if row.series.startswith(prefix)), "pods")


def wanted(profile: Profile, gates: Sequence[Gate]) -> list[Row]:
    """The rows of the profile that these gates need; of a family that only says when replicas began, nothing.

    For gates with `by` also those series that may carry the label.
    """
    by_proxy = any(row.feeds == "open" for row in profile)
    feeds = ALWAYS.union(() if by_proxy else BY_SERVERS, *map(_feeds, gates))
    rows = [row for row in profile if row.feeds in feeds]
    if labels_of(gates):
        rows += [row for row in by_label(profile) if row.feeds in feeds and row not in rows]
    told = {family_of(row) for row in rows if row.feeds != "started_at"}
    return [row for row in rows if family_of(row) in told]


def selectors(all_places: Iterable[MetricLocations], labels: Labels) -> dict[Family, str]:
    """By family, what selects the series of these rollouts, all of them in one."""
    names: dict[Family, set[str]] = {}
    places_of: dict[Family, list[MetricLocations]] = {}
    for places in all_places:
        rows = wanted(PROFILES[places.profile], places.gates)
        for family in sorted({family_of(row) for row in rows}):
            names.setdefault(family, set()).update(asked_names(row for row in rows if family_of(row) == family))
            places_of.setdefault(family, []).append(places)
    return {
        family: f'{{__name__=~"{"|".join(sorted(names[family]))}",{_matchers(family, found, labels)}}}'
        for family, found in sorted(places_of.items())
    }


def _feeds(gate: Gate) -> set[str]:
    """What a gate's metric is made of."""
    if gate.asks:
        return set()
    try:
        metric = metrics.find(gate.metric)
    except UnreadableNumber:
        return {gate.metric}
    if metric.is_kpi:
        return {"kpi_events", "kpi_of"}
    work = {"decode_seconds"} if "dollars" in (metric.counts or ()) else set()
    return work | {metric.name, *(name.partition("/")[0] for name in metric.counts or ())}


def _matchers(family: Family, found: Sequence[MetricLocations], labels: Labels) -> str:
    match family:
        case "gateway":
            routes = _nested((places.namespace, places.route) for places in found)
            gateways = {places.gateway for places in found}
            matchers = [f'{CLUSTER}=~"httproute/({routes})/rule/0/backend/[01]"', *_targets(gateways, labels)]
        case "mesh":
            matchers = _servers(found, "destination_workload_namespace", "destination_workload")
            targets = {each for places in found for each in (places.gateway, places.namespace)}
            matchers += _targets(targets, labels)
        case "pods":
            matchers = _servers(found, labels.namespace, labels.pod)
    return ",".join([*matchers, labels.selector] if labels.selector else matchers)


def _servers(found: Sequence[MetricLocations], namespace: str, server: str) -> list[str]:
    namespaces = sorted({_plain(places.namespace) for places in found})
    services = sorted({_plain(service) for places in found for service in places.services.values()})
    return [f'{namespace}=~"{"|".join(namespaces)}"', f'{server}=~"({"|".join(services)})(-.*)?"']


def _targets(namespaces: Iterable[str], labels: Labels) -> list[str]:
    """A matcher for the namespaces of what was scraped; none where all are believed."""
    if EVERYWHERE in labels.gateways:
        return []
    known = sorted({_plain(each) for each in (*namespaces, *labels.gateways) if each})
    return [f'{labels.namespace}=~"{"|".join(known)}"']


def _nested(routes: Iterable[tuple[str, str]]) -> str:
    """`shop/(chat|search)|lab/(chat)`."""
    by_namespace: dict[str, set[str]] = {}
    for namespace, route in routes:
        by_namespace.setdefault(_plain(namespace), set()).add(_plain(route))
    return "|".join(f"{namespace}/({'|'.join(sorted(each))})" for namespace, each in sorted(by_namespace.items()))


def _plain(name: str) -> str:
    """The name as a regular expression that means itself."""
    if not _PLAIN.fullmatch(name):
        raise BugError(f"{name!r} is no name that Kubernetes gives; it is not put into a query.")
    return name.replace(".", "[.]")
