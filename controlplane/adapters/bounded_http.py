"""Asks HTTP servers for one answer of bounded size in bounded time. Used by the metric sources.

It dials the URL that it is handed and no other: redirects are not followed, proxies of the environment are not used, no
credentials are attached that were not handed in, and an answer that is too large is dropped unread. Where the URL
comes from a plan, its host is resolved once, checked (`dial_policy.py`), and the address that was checked is dialled.
What an answer means is the caller's.
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import httpx2

from canary.errors import Unavailable
from controlplane.adapters.dial_policy import NotDialled, Reach
from controlplane.adapters.process_http import loopback_client

MOST_BYTES = 8 * 1024 * 1024
"""A metrics page of a large model server has 60 kB; whoever sends a hundred times that is broken or hostile."""


WIDEST = 4
"""Bytes that a character may take in memory."""
Take = Callable[[int], None]
"""Asked for so many bytes of memory more, or told of so many that are free again; raises `TooLarge` to refuse."""


def take_freely(_more: int) -> None:
    """Where memory is nobody's concern: answers that are few and small."""


class NotThere(Unavailable):
    """Nobody listens at this address."""


class TooSlow(Unavailable):
    """The whole answer was not here in time."""


class TooLarge(Unavailable):
    """The answer was larger than it may be."""


class BoundedAnswer(NamedTuple):
    """What a server said."""

    status: int
    text: str


class BoundedHttp:
    """Every method raises `Unavailable` with one clause when there is no answer that can be used."""

    def __init__(
        self,
        *,
        most_bytes: int = MOST_BYTES,
        tls: ssl.SSLContext | None = None,
        headers: Callable[[], Mapping[str, str]] | None = None,
        reach: Reach | None = None,
        kept: int = 0,
    ) -> None:
        """`tls` holds the certificates to trust; None trusts none, for loopback needs none and loading them is slow.

        `headers` are asked for before each request, and sent with it; `reach` says which addresses may be dialled, None
        allows all. `kept`: how many connections are kept for the next question. A server may close one just when it is
        used again, which looks like an outage, so whoever keeps some has to ask again.
        """
        self._most_bytes = most_bytes
        self._reach = reach
        self._headers = headers
        self._client = httpx2.AsyncClient(
            follow_redirects=False,
            trust_env=False,
            timeout=None,
            limits=httpx2.Limits(max_keepalive_connections=kept, max_connections=None),
            verify=tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
            headers={"accept-encoding": "identity"},
        )

    async def get(
        self,
        url: str,
        *,
        seconds: float,
        query: Mapping[str, str] | None = None,
        socket: Path | None = None,
        take: Take = take_freely,
    ) -> BoundedAnswer:
        """Ask with GET; the whole answer has to be here within `seconds`. `socket`: the file to dial for any host.

        `take` is asked for the memory that the answer needs while it is read.
        """
        request = self._client.build_request("GET", url, params=query)
        if socket is None:
            return await self._ask(request, seconds, take=take)
        async with loopback_client(None, socket=socket, keep_connections=False) as client:
            return await self._ask(request, seconds, client=client)

    async def post(
        self,
        url: str,
        *,
        seconds: float,
        form: Mapping[str, str],
        most_bytes: int | None = None,
        take: Take = take_freely,
    ) -> BoundedAnswer:
        """Ask with POST, the fields as a form; the whole answer has to be here within `seconds`.

        `most_bytes` bounds this answer further; `take` is asked for the memory that it needs while it is read.
        """
        request = self._client.build_request("POST", url, data=dict(form))
        return await self._ask(request, seconds, most_bytes, take=take)

    async def post_json(self, url: str, *, seconds: float, body: object) -> BoundedAnswer:
        """Ask with POST and a body of JSON; the whole answer has to be here within `seconds`."""
        return await self._ask(self._client.build_request("POST", url, json=body), seconds)

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _ask(
        self,
        request: httpx2.Request,
        seconds: float,
        most_bytes: int | None = None,
        client: httpx2.AsyncClient | None = None,
        take: Take = take_freely,
    ) -> BoundedAnswer:
        if self._headers:
            request.headers.update(self._headers())
        client = client or self._client
        try:
            async with asyncio.timeout(seconds):
                if self._reach is not None:
                    await self._check(request, self._reach)
                if client.is_closed:
                    raise Unavailable("this client was closed")  # a search that outlives its rollout ends with this
                response = await client.send(request, stream=True)
                try:
                    return BoundedAnswer(
                        response.status_code,
                        await self._read(response, min(most_bytes or self._most_bytes, self._most_bytes), take),
                    )
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise TooSlow(f"no answer within {seconds:g} s") from error
        except NotDialled as error:
            raise Unavailable(str(error)) from None
        except httpx2.ConnectError as error:
            if (refused := _tls_refused(error)) is not None:
                raise Unavailable(f"there is no safe connection: {refused}") from error
            raise NotThere("nobody listens there") from error
        except (httpx2.HTTPError, httpx2.StreamError) as error:
            raise Unavailable(f"the connection broke ({type(error).__name__})") from error

    async def _check(self, request: httpx2.Request, reach: Reach) -> None:
        """Let it go to the host's address that was checked, and speak as if to the name."""
        url = request.url
        host = url.raw_host.decode("ascii")
        address = (await reach.addresses(host, url.port or (443 if url.scheme == "https" else 80)))[0]
        request.extensions = {**request.extensions, "sni_hostname": host}
        request.url = url.copy_with(host=str(address))

    async def _read(self, response: httpx2.Response, most_bytes: int, take: Take) -> str:
        if response.is_redirect:
            raise Unavailable(f"it answers {response.status_code} with a redirect, which is not followed")
        if response.headers.get("content-encoding", "identity") != "identity":
            # Nobody asked for it, and a few compressed bytes can be gigabytes.
            raise Unavailable("it answers compressed, which was not asked for")
        read = bytearray()
        async for chunk in response.aiter_raw():
            read += chunk
            if len(read) > most_bytes:
                raise TooLarge(f"its answer is larger than {most_bytes} bytes and was dropped")
            take(len(chunk))
        # One character beyond the basic plane, and every other takes four bytes too.
        take(len(read) * (1 if read.isascii() else WIDEST))
        text = read.decode("utf-8", errors="replace")
        take(-len(read))
        return text


def _tls_refused(error: BaseException | None) -> str | None:
    """Why one side does not accept the other's certificate; None where it is something else that failed."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"its certificate is not accepted ({error.verify_message})"
        if isinstance(error, ssl.SSLError):
            return f"TLS failed ({error.reason or 'no reason given'})"
        error = error.__cause__ or error.__context__
    return None
