"""What Envoy is told, as plain values: bootstrap, clusters and routes. Pure: names, addresses, weights in, dicts out.

Called by `envoy.py`, which writes the dicts to files. One Envoy cluster per replica, named like it (`canary-0`): thus
Envoy's own counters and histograms tell arms and replicas apart; a request's cluster is drawn by weight, out of a
million. Where only a cohort takes part each replica has a second cluster for everybody else (`outside-stable-0`), so
that what is counted of stable is the cohort's, as it is of the canary. Starts nothing and waits for nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canary.spec.models import Cohort, Sticky
from canary.weights import ARMS, WHOLE, Arm, Weights

Json = dict[str, Any]
"""Envoy's own JSON, which has no types on this side."""

ROUTES = "serinus"
LISTENER_STATS = "serinus"
ADMIN = "admin"
"""Envoy's admin interface as a cluster of its own, and the listener through which its counters are scraped."""
COUNTERS = "/stats/prometheus"
SPLIT, OTHERS = "split", "others"
OUTSIDE = "outside-"
"""Before a replica's name: its second cluster, for requests from outside the cohort, so that they are counted apart."""
VARIANT_HEADER = "x-serinus-variant"
_TYPES = "type.googleapis.com/envoy"
_WHOLE = "response.code == 200 && response.flags == 0"
"""Nobody broke the answer off; what breaks off is counted elsewhere."""
_ERROR = f"'{LISTENER_STATS}' in metadata.filter_metadata && 'error' in metadata.filter_metadata['{LISTENER_STATS}']"
WRONG_ANSWERS: Mapping[str, str] = {
    # A GET may well be answered by a status alone, as `/health` is.
    "empty_answers": f"{_WHOLE} && response.size == 0 && request.method == 'POST'",
    "failed_streams": f"{_WHOLE} && {_ERROR}",
}
"""By the name of its counter, when an answer with a good status is a failure; no answer is in both."""
_UNLIMITED = 1_000_000_000

# Envoy keeps two significant digits of a duration in whole milliseconds, so these bounds are exact edges of its own
# bins, and a request of 19.9 ms counts below 20. Steps of 5 to 14 % from 10 ms up.
_DECADE = (10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 33, 36, 40, 45, 50, 55, 60, 65, 70, 80, 90)
FINE_BOUNDS_MS = (
    *map(float, range(1, 10)),
    *(float(10**power * step) for power in range(4) for step in _DECADE),
    *(float(100_000 * step) for step in range(1, 7)),
)


@dataclass(frozen=True, slots=True)
class Address:
    """Host and port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """`127.0.0.1:8080` or `[::1]:8080`; raises ValueError for anything else."""
        host, colon, port = text.rpartition(":")
        if not colon or not host or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"expected HOST:PORT, got {text!r}")
        return cls(host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        """As written in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


Replicas = Mapping[Arm, Mapping[str, Address]]
"""Arm to replica name to address. A replica's name begins with its arm: `canary-0`."""


def arm_of(cluster: str) -> Arm:
    """The arm of a replica, by the name of either of its clusters; raises ValueError for other names."""
    for arm in ARMS:
        if cluster.removeprefix(OUTSIDE).startswith(f"{arm}-"):
            return arm
    raise ValueError(f"a replica is named stable-… or canary-…, got {cluster!r}")


def bounds_with(limits_ms: Sequence[float]) -> tuple[float, ...]:
    """Histogram bounds in milliseconds: the fine ones and these limits, rising."""
    return tuple(sorted({*FINE_BOUNDS_MS, *(float(limit) for limit in limits_ms if limit > 0)}))


def bootstrap(
    listen: Address, counters: Address, admin: Path, bounds_ms: Sequence[float], clusters: Path, routes: Path
) -> Json:
    """Everything that stays for the life of one Envoy process. Clusters and routes are read from the two files.

    `admin` is the socket of the admin interface, whose counters alone can be scraped at `counters` too.
    """
    return {
        "node": {"id": "serinus", "cluster": "serinus"},
        "admin": {
            # A socket in a private folder: on a port, every user of the machine and every page in a browser could ask.
            "address": {"pipe": {"path": str(admin), "mode": 0o600}},
            # What we read, and the way to accept no more clients before it is stopped: no shutdown, no reset.
            "allow_paths": [
                {"safe_regex": {"regex": r"/(ready|stats|stats/prometheus|config_dump|drain_listeners)(\?.*)?"}}
            ],
        },
        # Histograms are merged at each flush; a scrape must not read numbers that are older than this.
        "stats_flush_interval": "0.2s",
        "stats_config": {
            "histogram_bucket_settings": [
                {
                    "match": {"safe_regex": {"regex": rf"^cluster\.({'|'.join(ARMS)})-[^.]*\.upstream_rq_time$"}},
                    "buckets": list(bounds_ms),
                }
            ]
        },
        "dynamic_resources": {"cds_config": _watched(clusters)},
        "static_resources": {
            "listeners": [_listener(listen, routes), _counters(counters)],
            "clusters": [_admin_cluster(admin)],
        },
    }


def clusters(replicas: Mapping[str, Address], *, apart: bool = False) -> list[Json]:
    """The resources of the cluster file: one cluster per replica, and one for those outside the cohort if `apart`."""
    outside = {f"{OUTSIDE}{name}": address for name, address in replicas.items()} if apart else {}
    return [_cluster(name, address) for name, address in sorted({**replicas, **outside}.items())]


def routes(
    split: Mapping[str, int], others: Mapping[str, int], cohort: Cohort | None, sticky: Sticky | None
) -> list[Json]:
    """The resource of the route file.

    `split` is the millionths of each cluster for requests that take part; `others` the same for requests outside the
    cohort. An empty mapping answers 503 in words.
    """
    taking_part = [
        {"match": match, "name": SPLIT, **_forward(split, sticky)}
        for match in (_cohort_matches(cohort) if cohort else [{"prefix": "/"}])
    ]
    rest = [{"match": {"prefix": "/"}, "name": OTHERS, **_forward(others, sticky)}] if cohort else []
    configuration = {
        "@type": f"{_TYPES}.config.route.v3.RouteConfiguration",
        "name": ROUTES,
        # A route to a cluster that is not there would answer 503 for its share; this makes Envoy refuse it and keep the
        # routes it has.
        "validate_clusters": True,
        "virtual_hosts": [{"name": ROUTES, "domains": ["*"], "routes": taking_part + rest}],
    }
    return [configuration]


def spread(weights: Weights, serving: Mapping[Arm, Sequence[str]]) -> dict[str, int]:
    """Millionths of each replica: an arm's weight in equal parts, exactly. What would get nothing is left out.

    The canary stands first: with hashed stickiness a rising weight then moves requests to the canary and none back.
    """
    parts: dict[str, int] = {}
    arms: tuple[tuple[Arm, int], ...] = (("canary", weights.canary), ("stable", weights.stable))
    for arm, weight in arms:
        names = sorted(serving.get(arm, []))
        for place, name in enumerate(names):
            whole, left = divmod(weight, len(names))
            if share := whole + (1 if place < left else 0):
                parts[name] = share
    return parts


def weights_in(configuration: Json) -> Weights | None:
    """The weights that a route configuration carries out, read from its split route; None when it routes nowhere."""
    route = next((r for r in _routes_of(configuration) if r.get("name") == SPLIT), {})
    by_arm: dict[Arm, int] = dict.fromkeys(ARMS, 0)
    for cluster in route.get("route", {}).get("weighted_clusters", {}).get("clusters", []):
        by_arm[arm_of(cluster["name"])] += int(cluster.get("weight", 0))
    total = sum(by_arm.values())
    return Weights(round(by_arm["canary"] * WHOLE / total)) if total else None


def clusters_in(configuration: Json) -> frozenset[str]:
    """Names of all clusters that a route configuration leads to."""
    actions = (route.get("route", {}) for route in _routes_of(configuration))
    return frozenset(
        str(cluster["name"])
        for action in actions
        for cluster in action.get("weighted_clusters", {}).get("clusters", ())
    )


def cohort_in(configuration: Json) -> Cohort | None:
    """The cohort that a route configuration asks for."""
    headers = [
        header for r in _routes_of(configuration) if r.get("name") == SPLIT for header in r["match"].get("headers", [])
    ]
    if not headers:
        return None
    return Cohort(header=headers[0]["name"], values=tuple(header["string_match"]["exact"] for header in headers))


def addresses_in(cluster_file: Json) -> dict[str, Address]:
    """Replica name to address, as a cluster file has them."""
    found = {}
    for cluster in cluster_file["resources"]:
        if cluster["name"].startswith(OUTSIDE):
            continue
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        socket = endpoint["address"]["socket_address"]
        found[cluster["name"]] = Address(socket["address"], int(socket["port_value"]))
    return found


def _routes_of(configuration: Json) -> list[Json]:
    return [route for host in configuration.get("virtual_hosts", []) for route in host.get("routes", [])]


def _cohort_matches(cohort: Cohort) -> list[Json]:
    """One match a value: the headers of one match must all hold, and any one value is enough."""
    return [
        {"prefix": "/", "headers": [{"name": cohort.header, "string_match": {"exact": value}}]}
        for value in cohort.values
    ]


def _forward(parts: Mapping[str, int], sticky: Sticky | None) -> Json:
    if not parts:
        words = "Serinus: no variant is running yet.\n"
        return {"direct_response": {"status": 503, "body": {"inline_string": words}}}
    weighted: Json = {"clusters": [_weighted(name, weight) for name, weight in parts.items()]}
    # Streams of minutes are normal here: neither the whole answer nor a pause between tokens has a time limit.
    action: Json = {"timeout": "0s", "idle_timeout": "0s", "weighted_clusters": weighted}
    if sticky:
        weighted["use_hash_policy"] = True
        action["hash_policy"] = [{"header": {"header_name": sticky.header}}]
    return {"route": action}


def _weighted(name: str, weight: int) -> Json:
    header = {"header": {"key": VARIANT_HEADER, "value": arm_of(name)}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
    return {"name": name, "weight": weight, "response_headers_to_add": [header]}


def _cluster(name: str, address: Address) -> Json:
    generous = {"max_connections": _UNLIMITED, "max_pending_requests": _UNLIMITED, "max_requests": _UNLIMITED}
    return {
        "@type": f"{_TYPES}.config.cluster.v3.Cluster",
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        # Load must queue in the model server, where it is measured; it must not become a 503 of the proxy's own.
        "circuit_breakers": {"thresholds": [{"priority": "DEFAULT", **generous}]},
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPES}.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                # Shorter than any server's own keep-alive limit (uvicorn: 5 s), so that a request never meets a
                # connection that the server is just closing.
                "common_http_protocol_options": {"idle_timeout": "1s"},
            }
        },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket(address)}}]}],
        },
    }


def _admin_cluster(admin: Path) -> Json:
    return {
        "name": ADMIN,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": ADMIN,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(admin)}}}}]}],
        },
    }


def _counters(at: Address) -> Json:
    """For a Prometheus on this machine, which cannot scrape a socket: the counters, asked for by their own address.

    A page in a browser that has its own name resolved to this machine names another host, and is refused.
    """
    refused = {"match": {"prefix": "/"}, "direct_response": {"status": 403}}
    get = {"name": ":method", "string_match": {"exact": "GET"}}
    counters = {"match": {"path": COUNTERS, "headers": [get]}, "route": {"cluster": ADMIN, "timeout": "5s"}}
    hosts = [
        {"name": "counters", "domains": [str(at)], "routes": [counters, refused]},
        {"name": "others", "domains": ["*"], "routes": [refused]},
    ]
    return _http(
        ADMIN,
        at,
        {
            "stat_prefix": ADMIN,
            "codec_type": "HTTP1",
            "request_headers_timeout": "5s",
            "request_timeout": "5s",
            "stream_idle_timeout": "5s",
            "common_http_protocol_options": {"idle_timeout": "60s"},
            "route_config": {"name": ADMIN, "virtual_hosts": hosts},
        },
    )


def _listener(listen: Address, routes_file: Path) -> Json:
    manager = {
        "stat_prefix": LISTENER_STATS,
        "access_log": [_count(name, condition) for name, condition in WRONG_ANSWERS.items()],
        "use_remote_address": True,
        "server_header_transformation": "PASS_THROUGH",
        "stream_idle_timeout": "0s",
        "request_timeout": "0s",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "rds": {"route_config_name": ROUTES, "config_source": _watched(routes_file)},
    }
    return _http("serinus", listen, manager, _sight_of_error_events())


def _count(name: str, condition: str) -> Json:
    """A counter of its own for each cluster: the answers of which this is true when they end."""
    expression = {"@type": f"{_TYPES}.extensions.access_loggers.filters.cel.v3.ExpressionFilter"}
    by_cluster = {"name": "envoy_cluster_name", "value_format": "%UPSTREAM_CLUSTER%"}
    return {
        "name": "envoy.access_loggers.stats",
        "filter": {
            "extension_filter": {
                "name": "envoy.access_loggers.extension_filters.cel",
                "typed_config": {**expression, "expression": condition},
            }
        },
        "typed_config": {
            "@type": f"{_TYPES}.extensions.access_loggers.stats.v3.Config",
            "stat_prefix": LISTENER_STATS,
            "counters": [{"stat": {"name": name, "tags": [by_cluster]}, "value_fixed": 1}],
        },
    }


def _sight_of_error_events() -> Json:
    """A filter that notes an `error` in an event of a stream; it reads what passes and holds nothing back."""
    noted = {"metadata_namespace": LISTENER_STATS, "key": "error"}
    parser = {
        "@type": f"{_TYPES}.extensions.content_parsers.json.v3.JsonContentParser",
        "rules": [{"rule": {"selectors": [{"key": "error"}], "on_present": noted}}],
    }
    return {
        "name": "envoy.filters.http.sse_to_metadata",
        "typed_config": {
            "@type": f"{_TYPES}.extensions.filters.http.sse_to_metadata.v3.SseToMetadata",
            "response_rules": {"content_parser": {"name": "envoy.content_parsers.json", "typed_config": parser}},
        },
    }


def _http(name: str, listen: Address, settings: Json, *filters: Json) -> Json:
    """A listener for HTTP with these filters before the router."""
    manager = {
        "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        **settings,
        "http_filters": [
            *filters,
            {
                "name": "envoy.filters.http.router",
                "typed_config": {
                    "@type": f"{_TYPES}.extensions.filters.http.router.v3.Router",
                    "suppress_envoy_headers": True,
                },
            },
        ],
    }
    return {
        "name": name,
        "address": _socket(listen),
        # With SO_REUSEPORT a second program could share the port and take half of the traffic unseen.
        "enable_reuse_port": False,
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


def _socket(address: Address) -> Json:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _watched(file: Path) -> Json:
    """Envoy reads it at start and whenever another file is renamed to it; writing in place goes unnoticed."""
    return {"path_config_source": {"path": str(file)}, "resource_api_version": "V3"}
