"""Asks a host's REST API: JSON in and out, a token read anew at each request, every failure as one clause.

Used by the adapters beside it. Goes out through `controlplane.alerts.guarded_http`, which checks addresses and follows
no redirect, so that a token never goes anywhere but to the address that an operator gave. An address out of an answer
is never used. What a host says is shown without our token and without anything that steers a terminal.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import SecretStr

from canary.errors import ExternalError, Unavailable
from canary.spec.source import printable
from controlplane.alerts.channel import DeliveryRejected
from controlplane.alerts.guarded_http import GuardedHttp, HttpReply
from controlplane.gitops.hosts.host import HostFailed, HostFailureKind

LARGEST = 8 * 1024 * 1024
"""Bytes of an answer: a page of long comments."""
PAGE = 50
"""Entries of a page: what all three hosts give by default settings."""
PAGES = 20
"""Pages that are read of one list."""
PATIENCE = 60.0
"""Seconds to wait where a host wants to be left alone and does not say for how long."""
LONGEST_WAIT = 3600.0
SAID_AT_MOST = 200
"""Characters of a host's own words."""
_NEXT = re.compile(r'rel="?next"?')

T = TypeVar("T")
Method = Literal["GET", "POST", "PATCH", "PUT"]
Token = Callable[[], Awaitable[SecretStr]]
"""Reads the token; raises `ExternalError` where it cannot be read."""


@dataclass(frozen=True, slots=True)
class HostAccess:
    """Everything that it takes to speak with one host's API, whichever kind it is."""

    root: str
    """`https://api.github.com`, without a slash at its end."""
    token: Token
    dial: GuardedHttp
    now: Callable[[], float]
    """Seconds since the epoch, since that is how hosts say when a limit ends."""


class Api:
    """The API of one host."""

    def __init__(self, name: str, door: HostAccess, *, scheme: str, headers: Mapping[str, str] | None = None) -> None:
        """`scheme`: what stands before the token in the header, `Bearer`."""
        self.name = name
        self._door = door
        self._scheme = scheme
        self._headers = {"content-type": "application/json", "accept": "application/json", **(headers or {})}

    async def ask(
        self, method: Method, path: str, read: Callable[[Any], T], *, body: Mapping[str, Any] | None = None
    ) -> T:
        """What `read` makes of the JSON that it answers. `path` begins with a slash, its parts quoted.

        Raises `HostFailed`, also for an answer that `read` finds not to be what it should be.
        """
        return self._read(read, (await self._ask(method, path, None, body))[0])

    async def pages(
        self, path: str, read: Callable[[Any], T], query: Mapping[str, Any] | None = None, *, size: str = "per_page"
    ) -> Sequence[T]:
        """All entries of a list, by pages as long as the host says that there is a next one."""
        entries: list[T] = []
        for number in range(1, PAGES + 1):
            page, headers = await self._ask("GET", path, {**(query or {}), size: PAGE, "page": number}, None)
            entries += self._read(lambda listed: [read(each) for each in listed], page)
            if not _NEXT.search(headers.get("link", "")):
                break
        return entries

    def _read(self, read: Callable[[Any], T], answer: Any) -> T:
        try:
            return read(answer)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise HostFailed(HostFailureKind.DOWN, f"{self.name} answers in a shape that is not known") from error

    async def _ask(
        self, method: Method, path: str, query: Mapping[str, Any] | None, body: Mapping[str, Any] | None
    ) -> tuple[Any, Mapping[str, str]]:
        address = f"{self._door.root}{path}{f'?{urlencode(query)}' if query else ''}"
        content = json.dumps(body).encode() if body is not None else b""
        try:
            token = await self._door.token()
        except ExternalError as error:
            raise HostFailed(HostFailureKind.TOKEN, f"{self.name} cannot be asked: {error}") from None
        secret = token.get_secret_value()
        headers = {**self._headers, "authorization": f"{self._scheme} {secret}"}
        try:
            answer = await self._door.dial.ask(method, SecretStr(address), content, headers, largest=LARGEST)
        except (DeliveryRejected, Unavailable) as error:
            raise HostFailed(HostFailureKind.DOWN, f"{self.name} cannot be asked: {error}") from None
        if 200 <= answer.status < 300:
            return self._json(answer), answer.headers
        raise self._failure(answer, secret)

    def _json(self, answer: HttpReply) -> Any:
        try:
            return json.loads(answer.body) if answer.body else None
        except (ValueError, RecursionError):
            raise HostFailed(
                HostFailureKind.DOWN, f"{self.name} answers {answer.status} and something else than JSON"
            ) from None

    def _failure(self, answer: HttpReply, secret: str) -> HostFailed:
        status, said = answer.status, _said(answer.body).replace(secret, "[redacted]")
        said = f": {printable(said)[:SAID_AT_MOST]}" if said else ""
        if status == 429 or (status == 403 and _is_limited(answer)):
            wait = _wait(answer, self._door.now())
            return HostFailed(HostFailureKind.BUSY, f"{self.name} has had enough requests of us ({status})", wait)
        if status == 401:
            return HostFailed(
                HostFailureKind.TOKEN, f"{self.name} does not accept the token ({status}); it may have expired"
            )
        if status == 403:
            return HostFailed(HostFailureKind.FORBIDDEN, f"{self.name} does not let the token do this ({status}){said}")
        if status in {404, 410}:
            return HostFailed(
                HostFailureKind.MISSING, f"{self.name} knows no such thing, or the token may not see it ({status})"
            )
        if 300 <= status < 400:
            moved = "a redirect, which is not followed; the repository may have a new address"
            return HostFailed(HostFailureKind.MISSING, f"{self.name} answers {status}, {moved}")
        if status >= 500 or status in {408, 425}:
            return HostFailed(HostFailureKind.DOWN, f"{self.name} answers {status}", _asked_wait(answer))
        return HostFailed(HostFailureKind.INVALID, f"{self.name} refuses ({status}){said}")


def link(address: Any) -> str:
    """An address for people out of an answer, shown and never dialled; nothing for what no browser should open."""
    text = str(address)
    return text if text.startswith(("https://", "http://")) and text.isascii() and text.isprintable() else ""


def nothing(_answer: Any) -> None:
    """For an answer that nobody reads."""


def _is_limited(answer: HttpReply) -> bool:
    """Whether a 403 is GitHub's way of saying 429."""
    spent = answer.headers.get("x-ratelimit-remaining") == "0"
    return spent or "retry-after" in answer.headers or "rate limit" in _said(answer.body).lower()


def _wait(answer: HttpReply, now: float) -> float:
    """How long a host wants to be left alone, in seconds."""
    if (asked := _asked_wait(answer)) is not None:
        return asked
    for header in ("x-ratelimit-reset", "ratelimit-reset"):
        stamp = answer.headers.get(header, "")
        if stamp.isascii() and stamp.isdigit() and len(stamp) < 12:
            return min(max(float(stamp) - now, 1.0), LONGEST_WAIT)
    return PATIENCE


def _asked_wait(answer: HttpReply) -> float | None:
    stamp = answer.headers.get("retry-after", "")
    return min(float(stamp), LONGEST_WAIT) if stamp.isascii() and stamp.isdigit() and len(stamp) < 9 else None


def _said(body: bytes) -> str:
    """The host's own words: `message`, `error` and the entries of `errors`, each of which may have any shape."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(answer, dict):
        return ""
    words = [_flat(answer.get(key)) for key in ("message", "error", "errors")]
    return "; ".join(dict.fromkeys(word for word in words if word))


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split())
    if isinstance(value, list):
        return ", ".join(word for each in value if (word := _flat(each)))
    if isinstance(value, dict):
        if isinstance(value.get("message"), str):
            return _flat(value["message"])
        return ", ".join(f"{key} {word}" for key, each in value.items() if (word := _flat(each)))
    return ""
