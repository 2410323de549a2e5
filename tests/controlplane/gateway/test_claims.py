"""Who had a host name first, as routes come, change and go."""

from typing import Any

import pytest

from controlplane.gateway.claims import Claims
from controlplane.gateway.hostnames import Allowed
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.cache import Cache, Key
from controlplane.kubernetes.names import labels
from controlplane.kubernetes.resources import HTTP_ROUTE

GATEWAY = ("infra", "gw")
MINE: Key = ("team-a", "chat")
HOST = "chat.example.com"


class Routes:
    """Every route of a cluster, and what is claimed by them."""

    def __init__(self, *allowed: str) -> None:
        self.cache = Cache(HTTP_ROUTE)
        self.claims = Claims(self.cache, Cache(HTTP_ROUTE), Allowed.of(allowed))
        self.concerned: list[Key] = []
        self.claims.concerns = self.concerned.append
        self._version = 0

    def put(self, where: str, host: str | None, since: int = 1, *, ours: bool = False, **spec: Any) -> None:
        """A route `namespace/name` with this host name, made in this minute."""
        namespace, _, name = where.partition("/")
        self._version += 1
        meta: Object = {"name": name, "namespace": namespace, "resourceVersion": str(self._version)}
        meta["creationTimestamp"] = f"2026-01-01T00:{since:02}:00Z"
        if ours:
            meta["labels"] = labels(name)
        parents = [{"namespace": GATEWAY[0], "name": GATEWAY[1]}]
        hosts = {"hostnames": [host]} if host else {}
        self.cache.put({"metadata": meta, "spec": {"parentRefs": parents, **hosts, **spec}})

    def refusal(self, host: str = HOST) -> str:
        return self.claims.refusal(MINE, GATEWAY, host)

    def yields(self, host: str = HOST) -> str:
        return self.claims.yields(MINE, GATEWAY, host)

    def contest(self, host: str = HOST) -> str:
        return self.claims.contest(MINE, GATEWAY, host)


@pytest.mark.parametrize("theirs", [HOST, "*.example.com", "*.com", None])
def test_s14_a_name_that_another_namespaces_route_has_is_refused_with_that_route(theirs: str | None) -> None:
    """Under any name that means it, and where it names none and so takes every one."""
    routes = Routes()
    routes.put("team-b/shop", theirs)
    said = routes.refusal()
    assert "HTTPRoute team-b/shop has chat.example.com" in said
    assert "Gateway infra/gw" in said
    assert "had it first" in said


@pytest.mark.parametrize("mine", ["*.example.com", "*.com"])
def test_s14_a_wide_name_is_refused_where_it_means_another_ones(mine: str) -> None:
    routes = Routes()
    routes.put("team-b/shop", HOST)
    assert "HTTPRoute team-b/shop has" in routes.refusal(mine)


@pytest.mark.parametrize(
    ("where", "theirs", "spec"),
    [
        ("team-a/other", HOST, {}),
        ("team-b/shop", "shop.example.com", {}),
        ("team-b/shop", HOST, {"parentRefs": [{"namespace": "infra", "name": "another"}]}),
        ("team-b/shop", HOST, {"parentRefs": []}),
        ("team-b/shop", None, {"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/shop"}}]}]}),
        ("infra/to-https", None, {}),
        ("infra/to-https", "*.example.com", {}),
    ],
    ids=["own namespace", "other name", "other gateway", "hangs on none", "longer path", "fallback", "wide fallback"],
)
def test_a_name_is_free_where_nobody_else_takes_its_requests(where: str, theirs: str | None, spec: Object) -> None:
    """What stands beside its Gateway and means many names is its owner's word for names that nobody has."""
    routes = Routes()
    routes.put(where, theirs, **spec)
    assert routes.refusal() == routes.yields() == routes.contest() == ""


def test_s14_the_gateways_own_namespace_has_the_names_that_it_spells_out() -> None:
    routes = Routes()
    routes.put("infra/console", HOST)
    assert "HTTPRoute infra/console" in routes.refusal()


def test_s14_of_two_that_have_a_name_the_older_route_keeps_it_and_the_order_is_stable() -> None:
    routes = Routes()
    routes.put("team-a/chat", HOST, since=2, ours=True)
    routes.put("team-b/shop", HOST, since=1)
    assert routes.refusal() == "", "it has begun, so it is watched on"
    assert "HTTPRoute team-b/shop has" in routes.yields()
    assert routes.contest() == ""
    routes.put("team-b/shop", HOST, since=3)
    assert routes.yields() == ""
    assert "HTTPRoute team-b/shop has chat.example.com on Gateway infra/gw as well" in routes.contest()
    routes.put("team-b/shop", HOST, since=2)  # the same second: by namespace and name
    assert routes.yields() == ""
    assert routes.contest()


def test_s14_a_route_that_is_older_has_no_older_right_to_a_name_that_it_takes_today() -> None:
    """Its age counts for the name that it has; for a new one it comes last."""
    routes = Routes()
    routes.put("team-a/chat", "mine.example.com", since=1, ours=True)
    routes.put("team-b/shop", HOST, since=5)
    assert "HTTPRoute team-b/shop has" in routes.refusal()
    assert "HTTPRoute team-b/shop has" in routes.yields()


def test_s14_a_route_of_this_name_that_somebody_else_has_made_gives_no_right() -> None:
    routes = Routes()
    routes.put("team-a/chat", HOST, since=1)
    routes.put("team-b/shop", HOST, since=5)
    assert routes.refusal()


def test_a_name_is_free_again_once_its_route_lets_go_of_it() -> None:
    routes = Routes()
    routes.put("team-b/shop", HOST)
    assert routes.refusal()
    routes.put("team-b/shop", "shop.example.com")
    assert routes.refusal() == ""
    routes.put("team-b/shop", HOST)
    routes.cache.drop(("team-b", "shop"))
    assert routes.refusal() == ""
    assert routes.claims._known == {GATEWAY: {}}


def test_s14_a_name_that_was_not_given_to_a_namespace_is_refused_and_is_no_claim_of_its_routes() -> None:
    """So nobody keeps a name from its owner by having a route for all of them."""
    routes = Routes("team-a=*.team-a.example.com,chat.example.com", "team-b=*.team-b.example.com")
    assert "not a name that namespace team-a may have (*.team-a.example.com, chat.example.com)" in routes.refusal("x.y")
    routes.put("team-b/shop", "*.com")
    routes.put("team-c/all", None)
    assert routes.refusal() == ""
    routes.put("team-b/shop", "a.team-b.example.com")
    assert "may have" in routes.refusal("a.team-b.example.com")


def test_a_route_that_has_its_name_keeps_it_whatever_is_given_later() -> None:
    routes = Routes("team-a=other.example.com")
    routes.put("team-a/chat", HOST, ours=True)
    assert routes.refusal() == routes.yields() == ""


def test_whoever_shares_a_name_with_a_route_that_changes_hears_of_it_and_nobody_else() -> None:
    routes = Routes()
    routes.put("team-a/chat", HOST, ours=True)
    routes.put("team-c/else", "else.example.com")
    routes.concerned.clear()
    routes.put("team-b/shop", "*.example.com")
    assert set(routes.concerned) == {MINE, ("team-c", "else")}
    routes.concerned.clear()
    routes.put("team-b/shop", "*.example.com", rules=[{"backendRefs": [{"weight": 5}]}])
    assert routes.concerned == [], "weights are nobody's business"
    routes.cache.drop(("team-b", "shop"))
    assert MINE in routes.concerned
