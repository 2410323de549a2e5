"""Listens for webhooks: takes deliveries in, has the signature of each verified, and lets a branch be looked at.

Opened by `follow.py` on one machine and by the cluster's sources. An ASGI application. Nothing in a delivery is dialled
or believed but that something was pushed; whatever is lost, refused or forged, the next look at the branch makes good.
What a flood may cost is bounded before anything is verified: connections, bodies, their number and time
(`adapters.http_listener`), and tries by one sender.
"""

import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

from canary.errors import BadInput
from controlplane.adapters.connection_limiter import LIMITS, ConnectionLimiter, ConnectionLimits, Network, sender_of
from controlplane.adapters.http_listener import TEXT, Receive, RequestLimits, Scope, Send, serve, whole
from controlplane.adapters.rate_limiter import RateLimiter
from controlplane.fair_queue import FairQueue
from controlplane.gitops.webhook import LARGEST, SignatureVerifier, WebhookAnswer

BODIES, BODIES_OF_ONE = 16, 8
"""Bodies in memory at once, of all senders and of one; further deliveries wait for their turn."""
REQUEST = RequestLimits(body=LARGEST)
BURST, RATE = 100.0, 20.0
"""Deliveries that one sender may send at once, and how many more a second."""
LEAST_WAIT = 5
"""Seconds that whoever sent too many is asked to wait."""
TOO_MANY = "Too many deliveries from this address."
FULL = "Too many connections."


@dataclass(frozen=True, slots=True)
class Hook:
    """Where deliveries for one branch go."""

    verifier: SignatureVerifier
    fetch: Callable[[], Awaitable[None]]
    """Lets the branch be looked at soon; many at once are one look."""


Find = Callable[[str], Awaitable[Hook | None]]
"""The hook at a path, or None. Raises `BadInput` where its secret cannot be used now."""


class WebhookListener:
    """An ASGI application that takes webhooks and nothing else."""

    def __init__(
        self,
        find: Find,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        proxies: Sequence[Network] = (),
    ) -> None:
        """`clock`: seconds since the epoch, for times that are signed; `proxies`: whose word on senders is believed."""
        self._find, self._clock, self._monotonic = find, clock, monotonic
        self._proxies = proxies
        self._bodies = FairQueue(BODIES, BODIES_OF_ONE)
        self._rate = RateLimiter(BURST, RATE)

    async def serve(
        self, listening: socket.socket, *, limits: ConnectionLimits = LIMITS, request: RequestLimits = REQUEST
    ) -> None:
        """Answer until cancelled."""
        limiter = ConnectionLimiter(
            limits,
            is_spent=lambda sender: self._rate.is_spent(sender, self._monotonic()),
            spent_answer=whole(HTTPStatus.TOO_MANY_REQUESTS, TOO_MANY, wait=LEAST_WAIT),
            full_answer=whole(HTTPStatus.SERVICE_UNAVAILABLE, FULL, wait=LEAST_WAIT),
            proxies=self._proxies,
        )
        await serve(self, listening, limiter=limiter, limits=request)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answer = await self._answer(scope, receive)
        body = f"{answer.sentence}\n".encode()
        headers = [(b"content-type", TEXT), (b"content-length", str(len(body)).encode())]
        if answer.status == 429:
            headers.append((b"retry-after", str(LEAST_WAIT).encode()))
        if answer.status in {413, 429}:  # whatever is still on its way is not read
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> WebhookAnswer:
        if scope["method"] != "POST":
            return WebhookAnswer(405, "Webhooks are sent by POST.")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        sender = sender_of(str((scope.get("client") or ("",))[0]))
        if not self._rate.take(sender, self._monotonic()):
            return WebhookAnswer(429, TOO_MANY)
        said = headers.get("content-length", "0")
        if not said.isascii() or not said.isdigit() or len(said) > 12 or int(said) > LARGEST:
            return WebhookAnswer(413, "The body is larger than 1 MiB.")
        try:
            hook = await self._find(scope["path"])
        except BadInput as error:
            return WebhookAnswer(403, str(error))
        if hook is None:
            return WebhookAnswer(404, "No webhook is taken here.")
        async with self._bodies.held(sender):
            answer = hook.verifier.answer(headers, await _read(receive), self._clock())
        if answer.fetch:
            await hook.fetch()
        return answer


async def _read(receive: Receive) -> bytes:
    """The body, or what there is of it where its sender has gone."""
    pieces: list[bytes] = []
    more = True
    while more:
        message = await receive()
        pieces.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(pieces)


class SecretFile:
    """A secret in a file, read again when the file has changed, so that it may be rotated."""

    def __init__(self, file: Path) -> None:
        """Raises `BadInput` for a file that cannot be read."""
        self._file = file
        self._read_at = -1
        self.text = ""
        self.is_new()

    def is_new(self) -> bool:
        """Read it where it has changed, and answer whether it has; one that cannot be read now stays as it was."""
        try:
            changed = self._file.stat().st_mtime_ns
            if changed == self._read_at:
                return False
            text = self._file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            if self._read_at >= 0:
                return False
            raise BadInput(f"The webhook's secret cannot be read from {self._file}; nothing was started.") from error
        self._read_at, was, self.text = changed, self.text, text
        return text != was


def at_root(secret: SecretFile, branch: str, fetch: Callable[[], Awaitable[None]]) -> Find:
    """The one hook of one machine, at `/`. Raises `BadInput` for a secret that is too short."""
    verifier = SignatureVerifier("any", secret.text, branch)
    hook = Hook(verifier, fetch)

    async def find(path: str) -> Hook | None:
        if secret.is_new():
            verifier.renew(secret.text)
        return hook if path == "/" else None

    return find
