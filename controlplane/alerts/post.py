"""Posts a body to one web address: checked before it is dialled, bounded in time, its answer not read.

Used by the channels that speak HTTP. No redirect is followed, no proxy of the environment is used, no cookie kept, and
nothing of what a receiver answers but its status is ever shown: an answer could repeat a secret. The transport is used
without httpx2's client, which would write every address to the log.
"""

import asyncio
import ssl
from collections.abc import Mapping

import httpx2
from pydantic import SecretStr

from canary.errors import Unavailable
from controlplane.alerts.channel import SECONDS, Busy, Refused
from controlplane.alerts.reach import Address, Reach, meant

LONGEST_WAIT = 3600.0
"""Seconds; a receiver that asks for more is tried all the same."""
TRY_AGAIN = frozenset({408, 425, 429})


class Post:
    """Posts, each over its own connection. Every failure is one clause without the address."""

    def __init__(self, reach: Reach, *, seconds: float = SECONDS, tls: ssl.SSLContext | None = None) -> None:
        """`tls`: the certificates to trust; None takes the machine's, loaded when first needed."""
        self._reach = reach
        self._seconds = seconds
        self._tls = tls

    async def post(self, address: SecretStr, body: bytes, headers: Mapping[str, str]) -> None:
        """Deliver the body; raises `Refused`, `Busy` or `Unavailable`."""
        url = _understood(address)
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._dial(url, body, headers)
        except TimeoutError:
            raise Unavailable(f"no answer within {self._seconds:g} s") from None
        _judge(answer)

    async def _dial(self, url: httpx2.URL, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Try the host's addresses in turn until one can be connected to."""
        port = url.port or (443 if url.scheme == "https" else 80)
        addresses = await self._reach.addresses(_host(url), port)
        if url.scheme == "http" and any(meant(address).is_global for address in addresses):
            raise Refused("its address begins with http://, and what is sent over a public network is encrypted")
        for address in addresses:
            try:
                return await self._ask(url, address, body, headers)
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                problem = _in_words(error)
            except (httpx2.HTTPError, httpx2.StreamError, ValueError) as error:
                raise Unavailable(f"the connection broke ({type(error).__name__})") from None
        raise Unavailable(problem)

    async def _ask(self, url: httpx2.URL, address: Address, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Connect to the address that was checked, and speak as if to the name."""
        request = httpx2.Request(
            "POST",
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
            await response.aclose()
            return response

    async def _certificates(self, url: httpx2.URL) -> ssl.SSLContext:
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._tls is None:
            self._tls = await asyncio.to_thread(ssl.create_default_context)  # reads some hundred certificates
        return self._tls


def _understood(address: SecretStr) -> httpx2.URL:
    """The address in its parts; the text itself stays out of the error, since it is a secret."""
    try:
        url = httpx2.URL(address.get_secret_value())
    except (httpx2.InvalidURL, ValueError):
        raise Refused("what is kept as its address is not one") from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise Refused("its address does not begin with https://")
    if url.userinfo:
        raise Refused("its address has a user or password in it; use tokenFrom")
    return url


def _host(url: httpx2.URL) -> str:
    """The host as DNS and certificates spell it."""
    return url.raw_host.decode("ascii")


def _judge(answer: httpx2.Response) -> None:
    """Nothing for a success; otherwise the clause that its status deserves."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    if status in TRY_AGAIN or status >= 500:
        wait = answer.headers.get("retry-after", "")
        if wait.isdigit() and float(wait) <= LONGEST_WAIT:
            raise Busy(f"it answers {status} and asks to wait {wait} s", float(wait))
        raise Unavailable(f"it answers {status}")
    if 300 <= status < 400:
        raise Refused(f"it answers {status}, a redirect, which is not followed")
    known = {
        401: ": the key or token is wrong",
        403: ": the key or token is wrong",
        404: ": it is not there (any more)",
    }
    raise Refused(f"it answers {status}{known.get(status, '')}")


def _in_words(error: Exception) -> str:
    if "CERTIFICATE" in str(error):
        return "its certificate is not trusted"
    return "nobody listens there" if isinstance(error, httpx2.ConnectError) else "it cannot be reached"
