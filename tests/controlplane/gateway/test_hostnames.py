"""Whose a host name is: what routes claim, which names overlap, who may have which."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput
from controlplane.gateway.hostnames import ALL, Allowed, claim_of, covering, overlap

LABELS = ("a", "b", "ab")
NAMES = [".".join(each) for depth in (1, 2, 3, 4) for each in itertools.product(LABELS, repeat=depth)]
"""Every name of up to four labels."""
hosts = st.one_of(
    st.sampled_from([each for each in NAMES if each.count(".") < 3]),
    st.sampled_from([f"*.{each}" for each in NAMES if each.count(".") < 2]),
    st.just(ALL),
)


def _meant_by(host: str) -> set[str]:
    """All of those names that a host name means, as the Gateway API has it."""
    if host == ALL:
        return set(NAMES)
    return {each for each in NAMES if each.endswith(host[1:])} if host.startswith("*.") else {host}


@given(hosts, hosts)
def test_s14_two_names_overlap_where_some_request_is_meant_by_both(one: str, other: str) -> None:
    assert overlap(one, other) is overlap(other, one) is bool(_meant_by(one) & _meant_by(other))


@given(st.sampled_from(NAMES))
def test_what_covers_a_name_is_all_that_means_it(name: str) -> None:
    wide = {*NAMES, *(f"*.{each}" for each in NAMES), ALL}
    assert set(covering(name)) == {each for each in wide if name in _meant_by(each)}


def _route(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "r", "namespace": "team-b"}, "spec": spec}


PARENT = {"name": "gw", "namespace": "infra"}


@pytest.mark.parametrize(
    ("spec", "claimed"),
    [
        ({"hostnames": ["Chat.Example.com."]}, {"chat.example.com"}),
        ({"hostnames": ["*.example.com", "a.b"]}, {"*.example.com", "a.b"}),
        ({}, {ALL}),
        ({"rules": [{}]}, {ALL}),
        ({"rules": [{"matches": [{"headers": [{"name": "x", "value": "y"}]}]}]}, {ALL}),
        ({"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}]}]}, {ALL}),
        ({"rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/models/chat"}}]}]}, set()),
        ({"rules": [{"matches": [{"path": {"type": "Exact", "value": "/"}}]}]}, set()),
    ],
)
def test_a_route_claims_its_names_or_every_one_where_it_names_none(spec: dict[str, Any], claimed: set[str]) -> None:
    claim = claim_of(_route(parentRefs=[PARENT], **spec))
    assert claim.hosts == claimed
    assert claim.gateways == {("infra", "gw")}


def test_only_gateways_count_and_one_without_a_namespace_is_in_the_routes_own() -> None:
    claim = claim_of(_route(parentRefs=[{"name": "gw"}, {"kind": "Service", "name": "x"}], hostnames=["a.b"]))
    assert claim.gateways == {("team-b", "gw")}


@pytest.mark.parametrize(
    ("namespace", "host", "may"),
    [
        ("team-a", "chat.team-a.example.com", True),
        ("team-a", "deep.chat.team-a.example.com", True),
        ("team-a", "*.team-a.example.com", True),
        ("team-a", "team-a.example.com", False),
        ("team-a", "*.example.com", False),
        ("team-a", "chat.team-b.example.com", False),
        ("team-a", "evilteam-a.example.com", False),
        ("team-b", "chat.example.com", True),
        ("team-b", "chat.team-b.example.com", False),
        ("shop", "x.shop.example.net", True),
        ("shop", "x.team-a.example.com", False),
    ],
)
def test_s14_a_namespace_may_have_the_names_that_it_is_given(namespace: str, host: str, may: bool) -> None:
    allowed = Allowed.of(["team-a=*.team-a.example.com", "team-b=chat.example.com", "*=*.{namespace}.example.net"])
    assert allowed.permits(namespace, host) is may


def test_without_a_word_every_namespace_may_have_every_name() -> None:
    assert Allowed({}).permits("team-a", "*.example.com")
    assert Allowed.of(["team-a=a.b"]).of_namespace("team-b") == ()


@pytest.mark.parametrize("text", ["", "team-a", "team-a=", "=a.b", "team-a=,", "team-a=*", "team-a=*x.example.com"])
def test_what_gives_no_name_to_nobody_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="does not say which host names"):
        Allowed.of([text])
