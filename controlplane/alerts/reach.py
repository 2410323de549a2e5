"""Which addresses an alert may be sent to: a name is resolved once, every answer is checked, and those are dialled.

Used by the channels. An address comes from a secret, and who may write a secret must not learn what our network can
reach: no cloud's metadata, nothing link-local, and our own machine only where that was written out. Spellings that hide
an address (decimal, octal, IPv4 inside IPv6) are resolved first and judged by what they mean.
"""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from canary.errors import BadInput, Unavailable
from controlplane.alerts.channel import Refused

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset(
    ip_address(address) for address in ("169.254.169.254", "100.100.100.200", "192.0.0.192", "fd00:ec2::254")
)
"""Where clouds answer questions about the machine, credentials included."""
_NAT64 = IPv6Network("64:ff9b::/96")


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
        """The addresses of a host, all of them allowed. Raises `Refused`, or `Unavailable` where there are none."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise Unavailable("its name cannot be resolved") from None
        addresses = list(dict.fromkeys(ip_address(str(each[4][0]).partition("%")[0]) for each in found))
        for address in addresses:
            if objection := self.objection(meant(address), written_out=_written_out(host)):
                raise Refused(objection)
        return addresses

    def objection(self, address: Address, *, written_out: bool) -> str:
        """Why an address is not dialled; empty where it is."""
        if any(address in network for network in self.networks):
            return ""
        if address in METADATA or address.is_link_local:
            return "its address is link-local or a metadata service, which is never dialled"
        if address.is_unspecified or address.is_multicast:
            return "its address is not one of a server"
        if address.is_loopback:
            return "" if self.loopback and written_out else "its name leads back to this machine"
        if not address.is_global and not self.private:
            return "its address is in a private network, which is not allowed here"
        return ""


def meant(address: Address) -> Address:
    """The IPv4 address that is written inside an IPv6 one; any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None) or address


def networks_of(text: str) -> tuple[Network, ...]:
    """Networks from a list such as `10.1.0.0/16, fd00::/8`. Raises `BadInput`."""
    try:
        return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())
    except ValueError as error:
        raise BadInput(f"SERINUS_ALERT_NETWORKS is a list such as 10.1.0.0/16, fd00::/8: {error}.") from error


def _written_out(host: str) -> bool:
    """Whether a host is an address in its plain spelling, or the name that always means this machine."""
    if host == "localhost":
        return True
    try:
        return str(ip_address(host)) == host
    except ValueError:
        return False
