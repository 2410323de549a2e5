"""Which addresses are dialled: S4's matrix of hosts that hide where they lead."""

import asyncio
import contextlib
import socket
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canary.errors import BadInput, Unavailable
from controlplane.adapters.dial_policy import NotDialled, Reach, is_public, meant, networks_of

NEVER = [
    "169.254.169.254",
    "169.254.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fe80::1",
    "fd00:42::42",
    "fd00:a9fe:a9fe::1",
    "fd00:c1::a9fe:a9fe",
    "fd00:ec2::23",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::169.254.169.254",
    "::ffff:0:169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "fec0::1",
    "100::1",
    "5f00::1",
    "0.0.0.0",
    "0.1.2.3",
    "255.255.255.255",
    "::",
    "224.0.0.1",
    "ff02::1",
]
"""NotDialled on every platform, however they are spelt."""
HIDDEN_LOOPBACK = ["2130706433", "0177.0.0.1", "0x7f.1", "127.1", "::ffff:127.0.0.1"]
"""Spellings of this machine that nobody uses by accident."""


@pytest.mark.parametrize("host", NEVER)
async def test_s4_metadata_and_link_local_addresses_are_never_dialled(host: str) -> None:
    with pytest.raises(NotDialled):
        await Reach().addresses(host, 80)


@pytest.mark.parametrize("host", ["2852039166", "0251.0376.0251.0376", "0xa9fea9fe"])
async def test_s4_another_spelling_of_the_metadata_address_changes_nothing(host: str) -> None:
    with pytest.raises(NotDialled, match="metadata"):
        await Reach().addresses(host, 80)


@pytest.mark.parametrize("host", HIDDEN_LOOPBACK)
async def test_s4_this_machine_under_another_spelling_is_refused(host: str) -> None:
    with pytest.raises(NotDialled, match=r"back to this machine|private"):
        await Reach(private=False).addresses(host, 80)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_s4_this_machine_is_dialled_where_it_is_written_out_and_allowed(host: str) -> None:
    assert await Reach().addresses(host, 80)
    with pytest.raises(NotDialled, match="back to this machine"):
        await Reach(loopback=False).addresses(host, 80)


def resolving(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Let every name resolve to these; answers the names that were looked up."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254"])
async def test_s4_a_name_that_leads_to_a_forbidden_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    """DNS rebinding: the name is innocent, its answer is not, even among innocent ones."""
    resolving(monkeypatch, "203.0.113.5", address)
    with pytest.raises(NotDialled):
        await Reach().addresses("hooks.example.com", 443)


async def test_s4_a_name_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was checked is what is dialled."""
    asked = resolving(monkeypatch, "8.8.8.8", "8.8.8.8")
    assert await Reach(private=False).addresses("hooks.example.com", 443) == [ip_address("8.8.8.8")]
    assert asked == ["hooks.example.com"]


@pytest.mark.parametrize("address", ["10.0.0.5", "192.168.1.1", "172.20.0.1", "100.64.0.1", "fd12::1"])
async def test_s4_private_networks_are_the_platforms_decision(address: str) -> None:
    assert await Reach().addresses(address, 80) == [ip_address(address)]
    with pytest.raises(NotDialled, match="private network"):
        await Reach(private=False).addresses(address, 80)


async def test_a_network_that_was_allowed_is_allowed_whatever_it_is() -> None:
    reach = Reach(private=False, loopback=False, networks=networks_of("169.254.7.0/24, fd12::/16"))
    assert await reach.addresses("169.254.7.9", 80)
    assert await reach.addresses("fd12::1", 80)
    with pytest.raises(NotDialled):
        await reach.addresses("169.254.8.9", 80)


async def test_a_name_that_does_not_exist_is_an_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "unknown")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with pytest.raises(Unavailable, match="cannot be resolved"):
        await Reach().addresses("nowhere.example.com", 443)


EMBEDDINGS = ("::", "::ffff:0:0", "::ffff:0:0:0", "64:ff9b::")
"""Prefixes of 96 bits before an IPv4 address."""


@given(st.sampled_from([each for each in NEVER if "." in each and ":" not in each]), st.sampled_from(EMBEDDINGS))
def test_s4_what_is_refused_as_ipv4_is_refused_inside_ipv6(address: str, prefix: str) -> None:
    inner = IPv4Address(address)
    outer = IPv6Address(int(IPv6Address(prefix)) + int(inner))
    assert meant(outer) == inner or outer.is_unspecified
    assert Reach().objection(outer, written_out=True)


@given(st.ip_addresses())
def test_s4_an_address_that_is_not_public_needs_a_reason_to_be_dialled(address: IPv4Address | IPv6Address) -> None:
    """Without private networks and this machine, nothing is left but what the internet routes."""
    allowed = not Reach(private=False, loopback=False).objection(address, written_out=True)
    assert not allowed or is_public(address)
    assert allowed or not is_public(address) or "metadata" in Reach().objection(address, written_out=True)


@pytest.mark.parametrize(
    "address", ["192.0.0.8", "192.88.99.1", "198.18.0.1", "203.0.113.5", "2001:2::1", "2001:db8::1", "3fff::1"]
)
def test_s4_special_purpose_addresses_are_not_public(address: str) -> None:
    """In every version of Python, whose `is_global` differ about some of them."""
    assert not is_public(ip_address(address))


def test_networks_that_are_none_are_refused() -> None:
    assert networks_of("") == ()
    assert networks_of("10.0.0.0/8") == (ip_network("10.0.0.0/8"),)
    with pytest.raises(BadInput, match="SERINUS_ALERT_NETWORKS"):
        networks_of("10.0.0.1/8")


def test_an_address_that_means_itself_stays_itself() -> None:
    assert str(meant(ip_address("2001:4860:4860::8888"))) == "2001:4860:4860::8888"
    assert str(meant(ip_address("8.8.8.8"))) == "8.8.8.8"


async def test_s14_a_name_server_that_hangs_keeps_no_place_of_the_programs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it is asked, it is asked once at a time; and threads and other names are free."""
    real, free, asked = socket.getaddrinfo, threading.Event(), []

    def getaddrinfo(host: Any, *more: Any, **named: Any) -> Any:
        if host == "hangs.example":
            asked.append(host)
            assert free.wait(60)
        return real("127.0.0.1", *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for _ in range(40):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.01):
                await Reach().addresses("hangs.example", 80)
    assert asked == ["hangs.example"]
    assert await asyncio.to_thread(lambda: "free") == "free"
    assert await Reach(networks=networks_of("127.0.0.0/8")).addresses("quick.example", 80)
    free.set()
