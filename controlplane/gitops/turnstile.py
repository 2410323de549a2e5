"""Before the door for webhooks: whoever has sent too much is turned away before a byte of it is understood.

Given to uvicorn by `listener.py` as the protocol of its connections. Understanding a request costs ten times what
turning it away costs, and a connection that says nothing costs memory for as long as it is kept; both are bounded here.
Every connection that gets through is uvicorn's own business.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 10.0
"""A connection on which no request has begun by then is closed."""
MOST_SILENT = 256
"""Connections on which nothing was said yet; the one that has been silent for longest goes first."""


class Lobby:
    """What all connections of one listener share."""

    def __init__(self, is_spent: Callable[[str], bool], refusal: bytes) -> None:
        """`is_spent`: whether an address may send nothing now; `refusal`: the whole answer, as bytes on the wire."""
        self.is_spent, self.refusal = is_spent, refusal
        self.silent: OrderedDict[int, asyncio.Transport] = OrderedDict()

    def protocol(self, **given: Any) -> "Turnstile":
        """A new connection's protocol; uvicorn calls this with what its own would be given."""
        return Turnstile(self, given)


class Turnstile(asyncio.Protocol):
    """One connection until its first bytes."""

    def __init__(self, lobby: Lobby, given: dict[str, Any]) -> None:
        self._lobby, self._given = lobby, given
        self._transport: asyncio.Transport
        self._inner: H11Protocol | None = None
        self._late: asyncio.TimerHandle

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Somebody connected."""
        silent, self._transport = self._lobby.silent, cast("asyncio.Transport", transport)
        silent[id(self)] = self._transport
        if len(silent) > MOST_SILENT:
            _, oldest = silent.popitem(last=False)
            oldest.abort()
        self._late = asyncio.get_running_loop().call_later(HEAD_SECONDS, self._end)

    def data_received(self, data: bytes) -> None:
        """The first bytes: answer for good, or let uvicorn have them and all that follow."""
        self._lobby.silent.pop(id(self), None)
        peer = self._transport.get_extra_info("peername") or ("",)
        if self._lobby.is_spent(str(peer[0])):
            self._transport.write(self._lobby.refusal)
            self._transport.close()
            return
        self._inner = H11Protocol(**self._given)
        self._transport.set_protocol(self._inner)
        self._inner.connection_made(self._transport)
        self._inner.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone without a word, or was turned away."""
        self._lobby.silent.pop(id(self), None)
        self._late.cancel()

    def _end(self) -> None:
        """Its time is over, unless a request has begun; headers that trickle in have not."""
        if self._inner is None or self._inner.cycle is None:
            self._transport.abort()
