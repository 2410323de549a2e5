"""The session: who asks, what the page has to send with an action; and signing in and out where people do.

Added to the app by `app.py`. Where people sign in (`door.signs_in`), a token that was pasted into the sign-in page
becomes a cookie that no script can read; it ends with the token, with the browser, or when somebody signs out.
"""

import re
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, Header, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import HTMLResponse, RedirectResponse, Response

from canary.errors import SerinusError
from controlplane.api.door import Caller, Cookie
from controlplane.api.guard import ACTION_HEADER, CALLER, SESSION, SIGN_IN, Rules, sender_in
from controlplane.api.keys import same
from controlplane.api.messages import PROBLEMS, Session
from controlplane.api.places import Sources
from controlplane.api.problem import HttpProblem, Problem
from controlplane.api.reviews import COOKIE, SECURE_COOKIE

STATIC = Path(__file__).parent.parent / "dashboard" / "static"
_PAGE = re.compile(r"/(rollouts/[^/?#\\\s\x00-\x1f]+)?(\?[^#\\\s\x00-\x1f]*)?")
LONGEST_TOKEN = 3800
"""Characters; browsers keep cookies of 4 kB."""


class SignIn(BaseModel):
    """A token to sign in with."""

    model_config = ConfigDict(extra="forbid")

    token: str = Field(min_length=1, max_length=64 * 1024)


def sessions(app: FastAPI, sources: Sources, rules: Rules) -> None:
    """Add the routes."""

    @app.get(SESSION, responses=PROBLEMS, tags=["session"])
    async def session(request: Request, caller: Annotated[Caller, Depends(_caller)]) -> Session:
        """Who asks, and what the page has to send with an action; on one machine only to whoever has it already."""
        # Browsers send the cookie of this port to all others of the machine: by it alone nobody learns the key.
        has_key = not caller.by_cookie or same(request.headers.get(ACTION_HEADER, ""), caller.key)
        # The key lets a page sign out as well, so that it is told on a read-only dashboard too where people sign in.
        hidden = not rules.door.signs_in and (rules.read_only or not has_key)
        return Session(
            user=caller.person.name,
            read_only=rules.read_only,
            token="" if hidden else caller.key,
            version=version("serinus"),
            where=sources.where,
            signs_out=rules.door.signs_in and caller.by_cookie,
        )

    if rules.door.signs_in:
        _signing(app, rules)
        return

    @app.get(SIGN_IN, include_in_schema=False)
    async def nowhere() -> Response:
        """Where one token opens everything there is nothing to sign in to: the page says what opens it."""
        return RedirectResponse("/", 303)


def _ours(address: str) -> str:
    """The address if it is a page of this server, with what it was asked to show; else the list."""
    return address if _PAGE.fullmatch(address) else "/"


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[CALLER]
    return caller


def _signing(app: FastAPI, rules: Rules) -> None:
    text = (STATIC / "sign-in.html").read_text(encoding="utf-8").replace("{how}", escape(rules.door.how))

    def page(onward: str, problem: str = "", status: int = 200) -> Response:
        told = f'<p id="problem" role="alert" class="banner bad">✖ {escape(problem)}</p>' if problem else ""
        shown = text.replace("{next}", escape(_ours(onward))).replace("{problem}", told)
        # A page that tells nobody where it is has its own form sent without an origin, which is refused.
        return HTMLResponse(shown, status, {"referrer-policy": "same-origin"})

    async def opened(token: str, origin: str, request: Request) -> Cookie:
        if len(token) > LONGEST_TOKEN:
            raise HttpProblem(413, "Too long", f"A token of more than {LONGEST_TOKEN} characters fits into no cookie.")
        cookie = await rules.door.opened(token, origin, sender_in(request.scope))
        if cookie is None:
            raise HttpProblem(401, "Not accepted", f"The API server does not accept this token here. {rules.door.hint}")
        return cookie

    @app.get(SIGN_IN, include_in_schema=False)
    async def sign_in_page(request: Request) -> Response:
        """Where a token is pasted."""
        return page(request.query_params.get("next", "/"))

    @app.post(SIGN_IN, include_in_schema=False)
    async def sign_in_here(request: Request, origin: Annotated[str, Header(max_length=300)]) -> Response:
        """The page's own form, which needs no script: on to what was asked for, or the page again with the reason."""
        given = parse_qs((await request.body()).decode("utf-8", "replace"))
        onward = given.get("next", ["/"])[0]
        try:
            cookie = await opened(given.get("token", [""])[0].strip(), origin, request)
        except HttpProblem as refused:
            return page(onward, refused.problem.detail, refused.problem.status)
        except SerinusError as error:
            return page(onward, f"Who you are cannot be asked now: {error}", 503)
        answer = RedirectResponse(_ours(onward), 303)
        cookie.put(answer)
        return answer

    refusals: dict[int | str, dict[str, Any]] = {
        401: {"model": Problem, "description": "The token opens nothing."},
        413: {"model": Problem, "description": "The token is too long for a cookie."},
        429: {"model": Problem, "description": "This address has tried too often."},
    }

    @app.post(SESSION, status_code=204, responses={**PROBLEMS, **refusals}, response_class=Response, tags=["session"])
    async def sign_in(request: Request, given: SignIn, origin: Annotated[str, Header(max_length=300)]) -> Response:
        """Sign in with a token; the answer gives the browser its cookie."""
        cookie = await opened(given.token.strip(), origin, request)
        answer = Response(status_code=204)
        cookie.put(answer)
        return answer

    @app.delete(SESSION, status_code=204, responses=PROBLEMS, response_class=Response, tags=["session"])
    async def sign_out(request: Request) -> Response:
        """Take the cookie from the browser."""
        answer = Response(status_code=204)
        for name in request.cookies:
            if name in {COOKIE, SECURE_COOKIE}:
                answer.delete_cookie(name, httponly=True, samesite="strict", secure=name == SECURE_COOKIE)
        return answer
