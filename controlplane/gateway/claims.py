"""Which routes claim which host names, kept up to date by the caches of routes, and who had a name first.

One of these for an operator, made by `controlplane.operator.cluster_environments`. A rollout asks before it begins, and
at each pass while it runs: a name belongs to the namespace whose route had it first. Changes no route; `router.py`
does.
"""

from collections.abc import Callable, Iterator

from controlplane.gateway.hostnames import ALL, Allowed, Claim, Gateway, claim_of, covering, overlap
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key
from controlplane.kubernetes.names import MANAGED_BY

FIELD = "spec.platform.kserve.hostname"


class Claims:
    """Every claim that is known."""

    def __init__(self, routes: Cache, elsewhere: Cache, allowed: Allowed | None = None) -> None:
        """`routes`: those of the namespaces that are followed; `elsewhere`: all others, where they are kept apart."""
        self.allowed = allowed or Allowed({})
        self.concerns: Callable[[Key], None] = lambda _: None
        """Hears of a rollout whose route has a name in common with one that has just changed."""
        self._routes = routes
        self._known: dict[Gateway, dict[str, dict[Key, Claim]]] = {}
        """By Gateway and host name, who claims it."""
        for cache in (elsewhere, routes):
            for route in cache.items():
                self._note(None, route)
            cache.on_change(self._note)

    def refusal(self, key: Key, gateway: Gateway, host: str) -> str:
        """Why a rollout must not take this name, as a sentence; empty where it may, or where its route has it."""
        namespace = key[0]
        if self._mine(key, gateway, host) is not None:
            return ""
        if not self.allowed.permits(namespace, host):
            may = ", ".join(self.allowed.of_namespace(namespace)) or "none"
            return (
                f"{FIELD}: {host} is not a name that namespace {namespace} may have ({may}); whoever runs the operator "
                "says which (hostNames in the chart). The rollout begins once it may."
            )
        first = min(self._others(namespace, gateway, host), default=None)
        if first is None:
            return ""
        return (
            f"{FIELD}: {_had(first, gateway, host)}. A host name belongs to the namespace whose route had it first: "
            "take another one, or let that route give it up; the rollout begins then."
        )

    def yields(self, key: Key, gateway: Gateway, host: str) -> str:
        """To whom a route that has this name has to leave it, as a clause; empty where it may keep it.

        Two that were made at the same moment may both have it, and the older one keeps it.
        """
        mine = self._mine(key, gateway, host)
        earlier = [each for each in self._others(key[0], gateway, host) if mine is None or each < mine]
        return f"{_had(min(earlier), gateway, host)}, and had it first" if earlier else ""

    def contest(self, key: Key, gateway: Gateway, host: str) -> str:
        """Who else has the name although this route had it first, as a sentence; empty where nobody has."""
        mine = self._mine(key, gateway, host)
        later = [each for each in self._others(key[0], gateway, host) if mine is not None and mine < each]
        if not later:
            return ""
        return (
            f"{_had(min(later), gateway, host)} as well, though HTTPRoute {'/'.join(key)} had it first: "
            "the Gateway may give it requests that are meant for this rollout."
        )

    def _mine(self, key: Key, gateway: Gateway, host: str) -> Claim | None:
        """What the rollout's own route claims, unless somebody else has made it."""
        claim, route = self._known.get(gateway, {}).get(host, {}).get(key), self._routes.get(*key)
        ours = route is not None and (route["metadata"].get("labels") or {}).get(MANAGED_BY) == "serinus"
        return claim if ours else None

    def _others(self, namespace: str, gateway: Gateway, host: str) -> list[Claim]:
        """Claims of other namespaces; a name that a namespace may not have is no claim."""
        return [
            each
            for each in self._meeting(gateway, host)
            if each.namespace != namespace
            and (had := each.host_that_overlaps(gateway, host))
            and self.allowed.permits(each.namespace, had)
        ]

    def _meeting(self, gateway: Gateway, host: str) -> Iterator[Claim]:
        """Claims to a name that has requests in common with this one."""
        known = self._known.get(gateway, {})
        wide = host.startswith(ALL)
        for name in [each for each in known if overlap(each, host)] if wide else covering(host):
            yield from known.get(name, {}).values()

    def _note(self, before: Object | None, after: Object | None) -> None:
        old = claim_of(before) if before is not None else None
        new = claim_of(after) if after is not None else None
        if old == new:
            return
        concerned: set[Key] = set()
        for claim, is_there in ((old, False), (new, True)):
            if claim is None:
                continue
            for gateway in claim.gateways:
                for host in claim.hosts:
                    concerned |= {(each.namespace, each.name) for each in self._meeting(gateway, host)}
                    self._put(claim, gateway, host, is_there=is_there)
        for key in concerned:
            self.concerns(key)

    def _put(self, claim: Claim, gateway: Gateway, host: str, *, is_there: bool) -> None:
        known = self._known.setdefault(gateway, {})
        holders = known.setdefault(host, {})
        if is_there:
            holders[claim.namespace, claim.name] = claim
            return
        holders.pop((claim.namespace, claim.name), None)
        if not holders:
            del known[host]


def _had(claim: Claim, gateway: Gateway, host: str) -> str:
    had = claim.host_that_overlaps(gateway, host)
    by = "" if had == host else ", since it names no host," if had == ALL else f" (as {had})"
    return f"{claim.where} has {host}{by} on Gateway {'/'.join(gateway)}"
