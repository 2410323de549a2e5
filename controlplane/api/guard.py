"""Stands before every route: who asks, from which page, under which name; and what browsers may do with the answers.

Wrapped around the app by `app.py`. Names in `Host` are checked so that no foreign name can be pointed at this machine
(DNS rebinding), `Origin` so that no other site's page is served, the token so that nobody else on it is. Knows nothing
of rollouts.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from controlplane.api.keys import Keys, same
from controlplane.api.problem import Problem, Refused, answer

ACTION_HEADER = "x-serinus-token"
MOST_BODY = 64 * 1024
SAFE = frozenset({"GET", "HEAD"})
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/favicon.ico", "/api/v1/openapi.json"})
OPEN_FOLDERS = ("/static/", "/rollouts/")
"""The page itself holds nothing that is secret: what it shows comes from the API."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
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

    keys: Keys
    read_only: bool = False
    hosts: frozenset[str] = frozenset()
    """Names besides `localhost` by which it may be called; addresses may always be used, as they cannot be rebound."""


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
            self._check(scope["method"], scope["path"], Headers(scope=scope))
        except Refused as refused:
            await _refuse(refused.problem)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, method: str, path: str, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise Refused(403, "Wrong host", "This server is called by a name that is not its own.")
        origin = headers.get("origin")
        if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
            raise Refused(403, "Wrong origin", "Pages of other sites may not use this server.")
        if _size(headers) > MOST_BODY:
            raise Refused(413, "Too large", f"A request may have at most {MOST_BODY // 1024} KiB.")
        if method in SAFE and (path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)):
            return
        by_token = self._has_token(headers)
        if not by_token and not self._has_cookie(headers):
            raise Refused(
                401,
                "Who are you?",
                "This needs the token of the dashboard: open the address that `serinus dashboard` printed, or send it "
                "as `Authorization: Bearer …`.",
            )
        if method in SAFE:
            return
        if self._rules.read_only:
            raise Refused(403, "Read-only", "This dashboard was started with --read-only. Nothing was changed.")
        if not by_token and (origin is None or not same(headers.get(ACTION_HEADER, ""), self._rules.keys.header)):
            raise Refused(403, "Not from our page", "An action needs the page's own token besides the cookie.")

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if name.lower() in self._rules.hosts | {"localhost"}:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return True

    def _has_token(self, headers: Headers) -> bool:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same(token.strip(), self._rules.keys.token)

    def _has_cookie(self, headers: Headers) -> bool:
        keys = self._rules.keys
        return any(same(value, keys.cookie) for value in _cookies(headers.getlist("cookie"), keys.cookie_name))


def _cookies(lines: Iterable[str], name: str) -> Iterable[str]:
    for line in lines:
        try:
            found = SimpleCookie(line).get(name)
        except CookieError:
            continue
        if found is not None:
            yield found.value


def _size(headers: Headers) -> int:
    """Bytes of the body as announced; a body without an announced length is more than anybody needs to send."""
    if "transfer-encoding" in headers:
        return MOST_BODY + 1
    length = headers.get("content-length", "0")
    return int(length) if length.isascii() and length.isdigit() else MOST_BODY + 1


def _refuse(problem: Problem) -> ASGIApp:
    return answer(problem, {"www-authenticate": 'Bearer realm="serinus"'} if problem.status == 401 else None)
