"""A server that answers whatever a test wants, for the tests of the client and of how it gets in."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Script:
    """A server that answers by the test's handler and keeps what it was asked."""

    def __init__(self) -> None:
        self.handler: Handler = lambda _request: done(web.json_response({"metadata": {}}))
        self.asked: list[tuple[str, str, dict[str, str], str]] = []
        """Method, path, query and body of each request."""
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note the request, then do as the test says."""
        self.asked.append((request.method, request.path, dict(request.query), await request.text()))
        self.headers.append(dict(request.headers))
        return await self.handler(request)

    def says(self, body: object, status: int = 200, **headers: str) -> None:
        """Answer everything so."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.handler = lambda _request: done(web.json_response(body, status=status, headers=named))


class Collection:
    """Objects of a kind, in the order of their names; a page of them takes its time."""

    def __init__(self, count: int, size: int, seconds: float = 0.0) -> None:
        """`size`: bytes of each; `seconds`: that each takes to be sent."""
        self.items = [{"metadata": {"name": f"p{number:04}"}, "spec": "x" * size} for number in range(count)]
        self.seconds = seconds
        self.limits: list[int] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """A page."""
        limit, first = int(request.query["limit"]), int(request.query.get("continue") or 0)
        self.limits.append(limit)
        page = self.items[first : first + limit]
        await asyncio.sleep(self.seconds * len(page))
        more = {"continue": str(first + limit)} if first + limit < len(self.items) else {}
        return web.json_response({"metadata": {"resourceVersion": "7", **more}, "items": page})


async def done(response: web.StreamResponse) -> web.StreamResponse:
    """The answer of a handler that has nothing to wait for."""
    return response


def status(code: int, message: str = "no", reason: str = "", **details: Any) -> dict[str, Any]:
    """A `Status` object as API servers answer it."""
    return {"kind": "Status", "code": code, "message": message, "reason": reason, "details": details}
