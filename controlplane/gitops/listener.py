"""Listens for webhooks: takes deliveries in, asks the doorman about each, and lets a branch be looked at.

Opened by `follow.py` on one machine and by the cluster's sources. An ASGI application. Nothing in a delivery is dialled
or believed but that something was pushed; whatever is lost, refused or forged, the next look at the branch makes good.
What a flood may cost is bounded before anything is verified: bodies, their number and time, and tries by one address
(`turnstile.py`).
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from canary.errors import BadInput
from controlplane.adapters.listening import Receive, Scope, Send, serve
from controlplane.gitops.turnstile import Lobby
from controlplane.gitops.webhook import LARGEST, Answer, Doorman

TEXT = b"text/plain; charset=utf-8"
BODIES = 16
"""Bodies in memory at once; further deliveries wait for their turn."""
BODY_SECONDS = 10.0
"""A body that takes longer is not waited for."""
BURST, REFILL = 100.0, 20.0
"""Deliveries that one address may send at once, and how many more a second."""
ADDRESSES = 1_000
"""Addresses whose deliveries are counted; the one unheard of for longest is forgotten first."""
LEAST_WAIT = 5
"""Seconds that whoever sent too many is asked to wait."""
TOO_MANY = "Too many deliveries from this address."
REFUSAL = (
    f"HTTP/1.1 429 Too Many Requests\r\ncontent-type: {TEXT.decode()}\r\ncontent-length: {len(TOO_MANY) + 1}\r\n"
    f"retry-after: {LEAST_WAIT}\r\nconnection: close\r\n\r\n{TOO_MANY}\n"
).encode()
"""The same answer for a connection of whoever has sent too much already."""


@dataclass(frozen=True, slots=True)
class Hook:
    """Where deliveries for one branch go."""

    doorman: Doorman
    fetch: Callable[[], Awaitable[None]]
    """Lets the branch be looked at soon; many at once are one look."""


Find = Callable[[str], Awaitable[Hook | None]]
"""The hook at a path, or None. Raises `BadInput` where its secret cannot be used now."""


class Listener:
    """An ASGI application that takes webhooks and nothing else."""

    def __init__(self, find: Find, *, clock: Callable[[], float] = time.time) -> None:
        """`clock`: seconds since the epoch."""
        self._find, self._clock = find, clock
        self._bodies = asyncio.Semaphore(BODIES)
        self._budgets = Budgets()
        self._lobby = Lobby(lambda address: self._budgets.is_spent(address, self._clock()), REFUSAL)

    async def serve(self, listening: socket.socket) -> None:
        """Answer until cancelled."""
        await serve(self, listening, http=self._lobby.protocol)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        answer = await self._answer(scope, receive)
        body = f"{answer.sentence}\n".encode()
        headers = [(b"content-type", TEXT), (b"content-length", str(len(body)).encode())]
        if answer.status == 429:
            headers.append((b"retry-after", str(LEAST_WAIT).encode()))
        if answer.status in {408, 413, 429}:  # whatever is still on its way is not read
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            return Answer(405, "Webhooks are sent by POST.")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        if not self._budgets.take(str((scope.get("client") or ("",))[0]), self._clock()):
            return Answer(429, TOO_MANY)
        said = headers.get("content-length", "0")
        if not said.isascii() or not said.isdigit() or len(said) > 12 or int(said) > LARGEST:
            return Answer(413, "The body is larger than 1 MiB.")
        try:
            hook = await self._find(scope["path"])
        except BadInput as error:
            return Answer(403, str(error))
        if hook is None:
            return Answer(404, "No webhook is taken here.")
        async with self._bodies:
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _read(receive)
            except TimeoutError:
                return Answer(408, "The body did not come in time.")
            if body is None:
                return Answer(413, "The body is larger than 1 MiB.")
            answer = hook.doorman.answer(headers, body, self._clock())
        if answer.fetch:
            await hook.fetch()
        return answer


async def _read(receive: Receive) -> bytes | None:
    """The body; None as soon as it is too large or its sender has gone."""
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > LARGEST:
            return None
        if not message.get("more_body"):
            return b"".join(pieces)


class Budgets:
    """How many deliveries each address may still send: a bucket that is filled again with time."""

    def __init__(self) -> None:
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def is_spent(self, address: str, now: float) -> bool:
        """Whether the next one would be too many."""
        return self._now(self._left.get(address, (BURST, now)), now) < 1.0

    def take(self, address: str, now: float) -> bool:
        """Whether one more may come."""
        left = self._now(self._left.pop(address, (BURST, now)), now)
        granted = left >= 1.0
        self._left[address] = (left - 1.0 if granted else left, now)
        while len(self._left) > ADDRESSES:
            self._left.popitem(last=False)
        return granted

    @staticmethod
    def _now(known: tuple[float, float], now: float) -> float:
        left, since = known
        return min(BURST, left + max(now - since, 0.0) * REFILL)


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
    doorman = Doorman("any", secret.text, branch)
    hook = Hook(doorman, fetch)

    async def find(path: str) -> Hook | None:
        if secret.is_new():
            doorman.renew(secret.text)
        return hook if path == "/" else None

    return find
