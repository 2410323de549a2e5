"""Which addresses may be dialled: a name is resolved once, every answer is checked, and those addresses are dialled.

Used wherever the host to dial comes from a plan, a Secret or a repository: alert channels, git, metrics. Whoever may
write those must not learn what our network can reach: no cloud metadata, nothing link-local, and this machine only
where it was written out. Spellings that hide an address (decimal, octal, IPv4 inside IPv6) are resolved first and
judged by the address they lead to. Opens no connection itself.
"""

import asyncio
import functools
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from canary.errors import BadInput, ExternalError, Unavailable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(*texts: str) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in texts)


METADATA = _networks(
    "100.100.100.200/32",  # Alibaba
    "168.63.129.16/32",  # Azure's WireServer
    "192.0.0.192/32",  # Oracle
    "fd00:42::42/128",  # Scaleway
    "fd00:a9fe:a9fe::/48",  # Akamai (Linode)
    "fd00:c1::/32",  # Oracle
    "fd00:ec2::/32",  # Amazon: the instance's metadata, EKS pod credentials, DNS, time
    "fd20:ce::/32",  # Google
)
"""Where clouds answer questions about the machine, credentials included; those that are link-local need no entry."""
_NOT_GLOBAL = _networks("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "2001:db8::/32", "3fff::/20")
"""Special-purpose by IANA's registries; `is_global` of some versions of Python takes a part of them for public."""
_NO_SERVERS = _networks("0.0.0.0/8", "255.255.255.255/32")
_UNICAST = _networks("2000::/3", "fc00::/7")
"""The only IPv6 addresses that a server can have, besides loopback and link-local ones."""
_EMBEDDED = _networks("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96")
"""The last 32 bits are an IPv4 address. 64:ff9b:1::/48 is not here: where it has one depends on the network."""


class NotDialled(ExternalError):  # noqa: N818 - what became of it
    """The host leads to an address that may not be dialled. The message is one clause without the address."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be dialled besides public addresses."""

    private: bool = True
    """Private networks, where an Alertmanager or a mail server usually is."""
    loopback: bool = True
    """This machine, but only where it is written as `localhost` or as a plain address."""
    networks: Sequence[Network] = ()
    """Allowed whatever they are."""

    async def addresses(self, host: str, port: int) -> list[Address]:
        """The addresses of a host, all of them allowed; never empty.

        Raises `NotDialled`, or `Unavailable` where there are none.
        """
        try:
            found = await _resolved(host, port)
        except (OSError, UnicodeError):
            raise Unavailable("its name cannot be resolved") from None
        addresses = list(dict.fromkeys(ip_address(str(each[4][0]).partition("%")[0]) for each in found))
        if not addresses:
            raise Unavailable("its name has no address")
        for address in addresses:
            if objection := self.objection(address, written_out=is_written_out(host)):
                raise NotDialled(objection)
        return addresses

    def objection(self, address: Address, *, written_out: bool) -> str:
        """Why an address is not dialled, as a clause; empty where it is."""
        inner = meant(address)
        if _is_in(address, self.networks) or _is_in(inner, self.networks):
            return ""
        if _is_in(inner, METADATA) or inner.is_link_local:
            return "its address is link-local or a metadata service, which is never dialled"
        if inner.is_loopback:
            return "" if self.loopback and written_out else "its name leads back to this machine"
        if _is_no_server(inner):
            return "its address is not one of a server"
        if not self.private and not is_public(inner):
            return "its address is in a private network, which is not allowed here"
        return ""


_RESOLVERS = ThreadPoolExecutor(4, "names to check")
"""For names that others chose: a name server that hangs keeps its place for half a minute, whoever gave up waiting, and
must not take those in which the program resolves its own."""
_resolving: dict[tuple[int, str, int], "asyncio.Future[list[Any]]"] = {}
"""By event loop, host and port: a name that is being resolved already is not asked for again."""


async def _resolved(host: str, port: int) -> list[Any]:
    loop = asyncio.get_running_loop()
    key = (id(loop), host, port)
    if (asked := _resolving.get(key)) is None:
        resolve = functools.partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        asked = _resolving[key] = loop.run_in_executor(_RESOLVERS, resolve)
        asked.add_done_callback(functools.partial(_over, key))
    return await asyncio.shield(asked)


def _over(key: tuple[int, str, int], asked: "asyncio.Future[list[Any]]") -> None:
    del _resolving[key]
    if not asked.cancelled():
        asked.exception()  # whoever asked may have given up: then nobody else takes notice of it


def is_public(address: Address) -> bool:
    """Whether packets to this address leave for the internet."""
    inner = meant(address)
    return inner.is_global and not _is_in(inner, _NOT_GLOBAL) and not _is_no_server(inner)


def meant(address: Address) -> Address:
    """The IPv4 address that is written inside an IPv6 one; any other as it is."""
    if isinstance(address, IPv4Address) or address.is_loopback or address.is_unspecified:
        return address
    if _is_in(address, _EMBEDDED):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.sixtofour or (address.teredo[1] if address.teredo else None) or address


def networks_of(text: str, what: str = "SERINUS_ALERT_NETWORKS") -> tuple[Network, ...]:
    """Networks from a list such as `10.1.0.0/16, fd00::/8`; `what`: where it stands. Raises `BadInput`."""
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise BadInput(f"{what} is a list such as 10.1.0.0/16, fd00::/8: {error}.") from error


def is_written_out(host: str, *, by_name: bool = True) -> bool:
    """Whether a host is an address in its plain spelling, or (`by_name`) the name that always means this machine."""
    if by_name and host == "localhost":
        return True
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return False


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _is_no_server(address: Address) -> bool:
    if address.is_unspecified or address.is_multicast:
        return True
    return _is_in(address, _NO_SERVERS) if address.version == 4 else not _is_in(address, _UNICAST)
