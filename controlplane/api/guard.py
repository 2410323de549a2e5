"""Stands before every route: who asks, from which page, under which name; and what browsers may do with the answers.

Wrapped around the app by `app.py`. Names in `Host` are checked so that no foreign name can be pointed at this machine
(DNS rebinding), `Origin` so that no other site's page is served; who asks is the door's word (`door.py`). Knows nothing
of rollouts.
"""

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from canary.errors import SerinusError
from controlplane.adapters.connection_limiter import Network, sender_of
from controlplane.adapters.http_listener import RequestLimits
from controlplane.adapters.rate_limiter import RateLimiter
from controlplane.api.door import Caller, Door
from controlplane.api.keys import same
from controlplane.api.problem import HttpProblem, Problem, answer

ACTION_HEADER = "x-serinus-token"
MOST_BODY = 64 * 1024
REQUEST = RequestLimits(body=MOST_BODY)
BURST, RATE = 1000.0, 100.0
"""Requests that one sender may make at once, and how many more a second: a team behind one proxy has one address."""
SAFE = frozenset({"GET", "HEAD"})
CALLER = "serinus.caller"
"""Where a request's scope says who asks, as a `Caller`; routes that are open to all have none."""
SESSION = "/api/v1/session"
"""Signing in and out changes no rollout: it is possible on a read-only dashboard as well."""
SIGN_IN = "/sign-in"
HEALTH = frozenset({"/healthz", "/readyz"})
OPEN_PATHS = HEALTH | {"/", SIGN_IN, "/favicon.ico", "/api/v1/openapi.json"}
OPEN_FOLDERS = ("/static/", "/rollouts/")
"""The page itself holds nothing that is secret: what it shows comes from the API."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What this server allows."""

    door: Door
    read_only: bool = False
    hosts: frozenset[str] = frozenset()
    """Names besides `localhost` by which it may be called; addresses may always be used, as they cannot be rebound."""
    proxies: Sequence[Network] = ()
    """Proxies in front of it, whose word on who connects is believed (`X-Forwarded-For`)."""
    rate: RateLimiter = field(default_factory=lambda: RateLimiter(BURST, RATE))
    """How often each sender may ask for something."""
    monotonic: Callable[[], float] = time.monotonic

    def is_spent(self, sender: str) -> bool:
        """Whether a sender has asked too often to be read now."""
        return self.rate.is_spent(sender, self.monotonic())


class Guard:
    """An ASGI app around another."""

    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self._app, self._rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, or refuse with a problem."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            scope[CALLER] = await self._checked(scope["method"], scope["path"], Headers(scope=scope), sender_in(scope))
        except HttpProblem as refused:
            await _refuse(refused.problem)(scope, receive, send_with_headers)
            return
        except SerinusError as error:
            unknown = Problem(title="Who asks cannot be found out now", status=503, detail=str(error))
            await _refuse(unknown)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    async def _checked(self, method: str, path: str, headers: Headers, sender: str) -> Caller | None:
        """Who asks, where that matters; raises `HttpProblem`."""
        if path not in HEALTH and not self._rules.rate.take(sender, self._rules.monotonic()):
            raise HttpProblem(
                429, "Too many requests", "This address asks too often. Nothing was changed; try again soon."
            )
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise HttpProblem(403, "Wrong host", "This server is called by a name that is not its own.")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
            raise HttpProblem(403, "Wrong origin", "Pages of other sites may not use this server.")
        if _size(headers) > MOST_BODY:
            raise HttpProblem(413, "Too large", f"A request may have at most {MOST_BODY // 1024} KiB.")
        if method in SAFE and (path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)):
            return None
        door = self._rules.door
        if door.signs_in and method == "POST" and path in {SESSION, SIGN_IN}:
            if origin is None:
                raise HttpProblem(403, "Not from our page", "Signing in is for the sign-in page of this server.")
            return None
        caller = await door.admit(headers, sender)
        if caller is None:
            raise HttpProblem(401, "Who are you?", door.hint)
        if method in SAFE:
            return caller
        if self._rules.read_only and path != SESSION:
            raise HttpProblem(403, "Read-only", "This dashboard was started with --read-only. Nothing was changed.")
        if caller.by_cookie and (origin is None or not same(headers.get(ACTION_HEADER, ""), caller.key)):
            raise HttpProblem(
                403, "Not from our page", f"An action needs the page's own key besides the cookie. {door.hint}"
            )
        return caller

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self._rules.hosts | {"localhost"}:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True


def sender_in(scope: Scope) -> str:
    """Who asks, as limits know it: an address, or a network."""
    return sender_of(str((scope.get("client") or ("",))[0]))


def _size(headers: Headers) -> int:
    """Bytes of the body as announced; a body without an announced length is more than anybody needs to send."""
    if "transfer-encoding" in headers:
        return MOST_BODY + 1
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else MOST_BODY + 1


def _refuse(problem: Problem) -> ASGIApp:
    return answer(problem, {"www-authenticate": 'Bearer realm="serinus"'} if problem.status == 401 else None)
