"""Whose a host name is on a Gateway: what each route claims, which names overlap, and who may have which. Pure.

Used by `claims.py`, which knows all routes, and by the command line, which reads who may have which names. A Gateway
gives a request to the route with the most specific match, whoever's it is; so two namespaces must not share a name.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from canary.errors import BadInput
from canary.spec.source import quoted
from controlplane.kubernetes.api import Object

Gateway = tuple[str, str]
"""Namespace and name."""
ALL = "*"
"""In a claim: every name, because the route names none. In `Allowed`: every namespace that is not named."""
NAMESPACE = "{namespace}"
"""Stands in an allowed name for the namespace itself."""


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """What a route takes of its Gateways, ordered by who had it first."""

    since: str
    """When the route was made, as the server writes it."""
    namespace: str
    name: str
    hosts: frozenset[str]
    gateways: frozenset[Gateway]

    @property
    def where(self) -> str:
        """The route by its name."""
        return f"HTTPRoute {self.namespace}/{self.name}"

    def host_that_overlaps(self, gateway: Gateway, host: str) -> str:
        """Its host name that has requests in common with this one on this Gateway; empty where none has."""
        if gateway not in self.gateways:
            return ""
        return next((each for each in sorted(self.hosts) if self._counts(gateway, each) and overlap(each, host)), "")

    def _counts(self, gateway: Gateway, host: str) -> bool:
        """A wide name beside its Gateway is what its owner has for names that nobody else has."""
        return self.namespace != gateway[0] or not host.startswith(ALL)


def claim_of(route: Object) -> Claim:
    """What a route claims. Never raises for what it holds."""
    meta, spec = route["metadata"], route.get("spec") or {}
    hosts = {str(each).lower().rstrip(".") for each in spec.get("hostnames") or ()}
    rules: Sequence[Mapping[str, Any]] = spec.get("rules") or ({},)
    if not hosts and any(_takes_all_paths(rule) for rule in rules):
        hosts = {ALL}
    gateways = {
        (str(each.get("namespace") or meta.get("namespace", "")), str(each.get("name", "")))
        for each in spec.get("parentRefs") or ()
        if each.get("kind", "Gateway") == "Gateway"
    }
    since = str(meta.get("creationTimestamp", ""))
    return Claim(since, meta.get("namespace", ""), meta["name"], frozenset(hosts), frozenset(gateways))


def overlap(one: str, other: str) -> bool:
    """Whether there is a name that both mean. `*.example.com` means every name below it, however deep."""
    return _means(one, other) or _means(other, one)


def covering(host: str) -> Iterator[str]:
    """Every name that means this one, which is none with `*` before it."""
    yield host
    while host := host.partition(".")[2]:
        yield f"*.{host}"
    yield ALL


def _means(wide: str, name: str) -> bool:
    """Whether one means all that the other means."""
    return wide in {name, ALL} or (wide.startswith("*.") and name.removeprefix("*").endswith(wide[1:]))


def _takes_all_paths(rule: Mapping[str, Any]) -> bool:
    """Whether requests for every path match; a longer path wins against everything that is written here."""
    matches: Sequence[Mapping[str, Any]] = rule.get("matches") or ({},)
    for match in matches:
        path = match.get("path") or {}
        if path.get("type", "PathPrefix") == "PathPrefix" and path.get("value", "/") == "/":
            return True
    return False


@dataclass(frozen=True, slots=True)
class Allowed:
    """Which host names each namespace may have; without a word about any, every namespace may have every one."""

    names: Mapping[str, tuple[str, ...]]
    """By namespace, or `*` for those that are not named: names, `*.example.com` for all below, `{namespace}` in it."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Read `NAMESPACE=NAME,NAME` each. Raises `BadInput`."""
        found: dict[str, tuple[str, ...]] = {}
        for text in texts:
            namespace, _, names = text.partition("=")
            listed = tuple(each.strip().lower() for each in names.split(",") if each.strip())
            if not namespace or not listed or any(each.startswith(ALL) and each[:2] != "*." for each in listed):
                raise BadInput(
                    f"{quoted(text)} does not say which host names a namespace may have; expected the namespace, or * "
                    "for all others, and names: team-a=chat.example.com,*.team-a.example.com."
                )
            found[namespace] = (*found.get(namespace, ()), *listed)
        return cls(found)

    def of_namespace(self, namespace: str) -> tuple[str, ...]:
        """The names that this one may have, as they are meant for it."""
        named = self.names.get(namespace, self.names.get(ALL, ()))
        return tuple(each.replace(NAMESPACE, namespace) for each in named)

    def permits(self, namespace: str, host: str) -> bool:
        """Whether this namespace may have this name, or all that it means."""
        return not self.names or any(_means(each, host) for each in self.of_namespace(namespace))
