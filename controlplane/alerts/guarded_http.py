"""Asks one web address: checked before it is dialled, bounded in time and size, without redirects, proxies or cookies.

Used by `post.py` for alerts and by `controlplane.gitops.hosts` for the APIs of git hosts. The transport is used without
httpx2's client, which would write every address to the log. Judges no answer.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2
from pydantic import SecretStr

from canary.errors import Unavailable
from controlplane.adapters.dial_policy import Address, NotDialled, Reach, is_public
from controlplane.alerts.channel import SECONDS, DeliveryRejected


@dataclass(frozen=True, slots=True)
class HttpReply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes = b""
    """Empty unless it was asked for."""


class GuardedHttp:
    """Asks, each time over a connection of its own. Every failure is one clause without the address."""

    def __init__(self, reach: Reach, *, seconds: float = SECONDS, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: the certificates to trust; None takes the machine's, loaded when first needed."""
        self._reach = reach
        self._seconds = seconds
        self._tls = tls

    async def ask(
        self, method: str, address: SecretStr, body: bytes, headers: Mapping[str, str], *, largest: int = 0
    ) -> HttpReply:
        """The answer, whatever its status; its body only where `largest`, in bytes, allows one.

        Raises `DeliveryRejected` for what may not be dialled or answers too much, `Unavailable` for everything else.
        """
        url = _understood(address)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._dial(method, url, body, headers, largest)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._seconds:g} s") from None

    async def _dial(
        self, method: str, url: httpx2.URL, body: bytes, headers: Mapping[str, str], largest: int
    ) -> HttpReply:
        """Try the host's addresses in turn until one can be connected to."""
        port = url.port or (443 if url.scheme == "https" else 80)
        try:
            addresses = await self._reach.addresses(_host(url), port)
        except NotDialled as error:
            raise DeliveryRejected(str(error)) from None
        if url.scheme == "http" and any(map(is_public, addresses)):
            raise DeliveryRejected(
                "its address begins with http://, and what is sent over a public network is encrypted"
            )
        for address in addresses:
            try:
                return await self._ask(method, url, address, body, headers, largest)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = _in_words(error)
            except (httpx2.HTTPError, httpx2.StreamError, ValueError) as error:
                raise Unavailable(f"the connection broke ({type(error).__name__})") from None
        raise Unavailable(problem)

    async def _ask(
        self, method: str, url: httpx2.URL, address: Address, body: bytes, headers: Mapping[str, str], largest: int
    ) -> HttpReply:
        """Connect to the address that was checked, and speak as if to the name."""
        request = httpx2.Request(
            method,
            url.copy_with(host=str(address)),
            content=body,
            headers={**headers, "host": url.netloc.decode("ascii"), "user-agent": "serinus"},
            extensions={
                "sni_hostname": _host(url),
                "timeout": dict.fromkeys(("connect", "read", "write"), self._seconds),
            },
        )
        async with httpx2.AsyncHTTPTransport(verify=await self._certificates(url), trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                content = await _content(response, largest) if largest else b""
            finally:
                await response.aclose()
        return HttpReply(response.status_code, {key.lower(): value for key, value in response.headers.items()}, content)

    async def _certificates(self, url: httpx2.URL) -> ssl.SSLContext:
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads some hundred certificates
        return self._tls


async def _content(response: httpx2.Response, largest: int) -> bytes:
    """The body as it came: what is packed could unfold to anything, and nobody asked for it."""
    if response.headers.get("content-encoding", "identity") != "identity":
        raise DeliveryRejected("it answers in an encoding that was not asked for")
    pieces, total = [], 0
    async for piece in response.aiter_raw():
        total += len(piece)
        if total > largest:
            raise DeliveryRejected(f"it answers with more than {largest // 1024} KiB")
        pieces.append(piece)
    return b"".join(pieces)


def _understood(address: SecretStr) -> httpx2.URL:
    """The address in its parts; the text itself stays out of the error, since it is a secret."""
    try:
        url = httpx2.URL(address.get_secret_value())
    except (httpx2.InvalidURL, ValueError):
        raise DeliveryRejected("what is kept as its address is not one") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise DeliveryRejected("its address does not begin with https://")
    if url.userinfo:
        raise DeliveryRejected("its address has a user or password in it; use tokenFrom")
    return url


def _host(url: httpx2.URL) -> str:
    """The host as DNS and certificates spell it."""
    return url.raw_host.decode("ascii")


def _in_words(error: Exception) -> str:
    if "CERTIFICATE" in str(error):
        return "its certificate is not trusted"
    return "nobody listens there" if isinstance(error, httpx2.ConnectError) else "it cannot be reached"
