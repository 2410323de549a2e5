"""Bounds what the connections to a listening socket may cost: how many, how long without a request, how slowly read.

Stands between the event loop and whatever speaks HTTP on a connection: uvicorn's protocol (`http_listener.py`) or a
stream reader (the sample server, for which it needs the standard library alone). It sees bytes come and go, and is told
when a request begins and when it is answered; it knows no HTTP. What a request itself may cost is bounded in
`http_listener.py`.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, cast

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """What is kept open."""

    total: int = 800
    """Connections; a laptop lets a process have 1024 files."""
    by_address: int = 400
    """Of those, by one address (`sender_of`)."""
    idle_seconds: float = 10.0
    """Without a request: from the connection's start, or an answer's end, until the next head has come whole."""
    stall_seconds: float = 30.0
    """That a client may take to make room for more of an answer."""


LIMITS = ConnectionLimits()


class ConnectionLimiter:
    """What all connections to one listening socket share."""

    def __init__(
        self,
        limits: ConnectionLimits = LIMITS,
        *,
        is_spent: Callable[[str], bool] = lambda _sender: False,
        spent_answer: bytes = b"",
        full_answer: bytes = b"",
        proxies: Sequence[Network] = (),
    ) -> None:
        """`is_spent`: whether a sender may ask for nothing now, and is given `spent_answer` without being read.

        `full_answer` is for a connection too many; both are whole answers as bytes. `proxies` are trusted to bound
        their own clients: no limit by address is theirs.
        """
        self.limits, self.proxies = limits, proxies
        self._is_spent, self._spent_answer, self._full_answer = is_spent, spent_answer, full_answer
        self._open: dict[LimitedConnection, None] = {}
        self._of: Counter[str] = Counter()
        self._idle: OrderedDict[LimitedConnection, None] = OrderedDict()
        """Those without a request, in the order of since when."""

    def protocol(self, make: "Callable[[LimitedConnection], asyncio.Protocol]") -> "LimitedConnection":
        """A new connection's protocol; `make` is called with it once there is something to read."""
        return LimitedConnection(self, make)

    def close(self) -> None:
        """End every connection."""
        for each in list(self._open):
            each.abort()

    def refuses(self, sender: str) -> bytes | None:
        """What to answer instead of reading on; None where there is nothing against it."""
        return self._spent_answer if sender and self._is_spent(sender) else None

    def enter(self, connection: "LimitedConnection") -> bytes | None:
        """Count a new connection, in the place of the one that has been idle for longest if need be.

        Answers what to say where there is no place for it.
        """
        sender = connection.sender
        if sender and self._of[sender] >= self.limits.by_address and not self._make_room(sender):
            return self._full_answer
        if len(self._open) >= self.limits.total and not self._make_room(""):
            return self._full_answer
        self._open[connection] = None
        self._of[sender] += 1
        self._idle[connection] = None
        return None

    def leave(self, connection: "LimitedConnection") -> None:
        """It is gone, or as good as; may be said twice."""
        self._idle.pop(connection, None)
        if connection in self._open:
            del self._open[connection]
            self._of[connection.sender] -= 1
            if not self._of[connection.sender]:
                del self._of[connection.sender]

    def idle(self, connection: "LimitedConnection", *, is_idle: bool) -> None:
        """Whether it has a request now."""
        self._idle.pop(connection, None)
        if is_idle and connection in self._open:
            self._idle[connection] = None

    def sender_at(self, peer: Any) -> str:
        """Who is counted for a connection from there; empty for a proxy, whose clients are counted one by one."""
        address = str(peer[0]) if peer else ""
        return "" if is_within(address, self.proxies) else sender_of(address)

    def _make_room(self, sender: str) -> bool:
        oldest = next((each for each in self._idle if not sender or each.sender == sender), None)
        if oldest is None:
            return False
        oldest.abort()
        return True


class LimitedConnection(asyncio.Protocol):
    """One connection; the protocol that speaks on it is made when its first bytes have come."""

    def __init__(self, limiter: ConnectionLimiter, make: "Callable[[LimitedConnection], asyncio.Protocol]") -> None:
        self.sender = ""
        """Who it counts for."""
        self._limiter, self._make = limiter, make
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._inner: asyncio.Protocol | None = None
        self._requests = 0
        """Under way: of two in a row the second may begin before whoever answered the first has finished."""
        self._is_gone = False
        self._deadline: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None

    def began(self) -> None:
        """A request's head is here: from now on it is whoever answers that bounds its time."""
        self._requests += 1
        self._limiter.idle(self, is_idle=False)
        self._wait(None)

    def ended(self) -> None:
        """It is answered: the next one may begin, and has to soon."""
        self._requests -= 1
        if self._requests or self._is_gone:
            return
        self._limiter.idle(self, is_idle=True)
        limits = self._limiter.limits
        self._wait(limits.stall_seconds if self._transport.get_write_buffer_size() else limits.idle_seconds)

    def abort(self) -> None:
        """End it at once, whatever is on its way."""
        self._limiter.leave(self)
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        self._transport = cast("asyncio.Transport", transport)
        self.sender = self._limiter.sender_at(transport.get_extra_info("peername"))
        if (answer := self._limiter.enter(self)) is not None:
            self._refuse(answer)
        self._wait(self._limiter.limits.idle_seconds)

    def data_received(self, data: bytes) -> None:
        """Hand the bytes on, unless nothing of theirs is to be read now."""
        if not self._requests and (answer := self._limiter.refuses(self.sender)) is not None:
            self._refuse(answer)
            return
        if self._inner is None:
            self._inner = self._make(self)
            self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client will send no more."""
        return self._inner.eof_received() if self._inner is not None else None

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        self._stalled = self._loop.call_later(self._limiter.limits.stall_seconds, self.abort)
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It has made room."""
        self._make_way()
        if self._inner is not None:
            self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_gone = True
        self._limiter.leave(self)
        self._wait(None)
        self._make_way()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def _refuse(self, answer: bytes) -> None:
        self._transport.write(answer)
        self._transport.close()

    def _wait(self, seconds: float | None) -> None:
        """End it after so many seconds, unless something happens; None: no more."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self._loop.call_later(seconds, self.abort)

    def _make_way(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None


def sender_of(address: str) -> str:
    """Whom the limits of an address are for: the address itself, over IPv6 the network that one customer is given."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is None:
            return str(ip_network((found, 64), strict=False))
        found = found.ipv4_mapped
    return str(found)


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of these."""
    if not networks:
        return False
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return any((mapped or found) in network for network in networks)
