"""The routes: read rollouts, follow one, ask it for something; the page; health and metrics.

Put together by `server.py`. Who asks is decided in `guard.py`, before any route, and what they may see by the source
that the routes are given for them. What is shown comes from its stores; what is asked goes into them, where the loop
finds it.
"""

from collections.abc import Callable
from importlib.metadata import version
from secrets import token_hex
from typing import Annotated, Any
from urllib.parse import quote, urlencode

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi import Path as PathPart
from fastapi.staticfiles import StaticFiles
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from canary.errors import SerinusError
from canary.preview import why_not_again
from canary.requests import groups_asked
from canary.serial import event_line, rfc3339
from canary.snapshot import OperatorRequest, request_id
from canary.spec.stored import from_text
from controlplane.api import problem
from controlplane.api.door import Caller, Door
from controlplane.api.guard import CALLER, Guard, Rules, sender_in
from controlplane.api.lasting import earlier_detail, lasting_panels
from controlplane.api.messages import PROBLEMS, Asked, Detail, Taken, plain
from controlplane.api.metrics import Tally
from controlplane.api.places import Sources
from controlplane.api.problem import HttpProblem, Problem
from controlplane.api.rights import kept
from controlplane.api.series import Series, series
from controlplane.api.sessions import STATIC, sessions
from controlplane.api.stream import StreamHub
from controlplane.api.summary import Listing, SummaryLines, Unreadable, by_need, empty_list
from controlplane.readmodel.plan_text import plan_text
from controlplane.readmodel.state import state_at

MOST_WAITING = 20
"""Requests without an answer that a rollout may have; more of them would only be a mistake or an attack."""
Id = Annotated[str, PathPart(description="Id of a rollout, from the list.", min_length=1, max_length=170)]
Attempt = Annotated[int | None, Query(ge=1, le=2**31, description="An earlier rollout of this name; else the newest.")]


def _caller(request: Request) -> Caller:
    caller = request.scope[CALLER]
    if not isinstance(caller, Caller):
        raise HttpProblem(401, "Who are you?", "This needs to know who asks.")
    return caller


Asker = Annotated[Caller, Depends(_caller)]
"""Who asks, as the guard found out."""


def build(sources: Sources, rules: Rules, hub: StreamHub, *, now: Callable[[], float]) -> Guard:
    """The whole app behind its guard. `now` gives seconds since the epoch."""
    app = FastAPI(
        title="Serinus",
        version=version("serinus"),
        summary=f"Rollouts of {sources.where}: read them, follow them, ask them for something.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    problem.install(app)
    _pages(app, rules)
    _reading(app, sources, rules, hub, now)
    _acting(app, sources, now)
    _operations(app, sources)
    sessions(app, sources, rules)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, rules)


def _pages(app: FastAPI, rules: Rules) -> None:
    door = rules.door

    async def page(request: Request) -> Response:
        """The page; where people sign in, somebody unknown is sent there first."""
        if door.signs_in and not await _is_known(door, request):
            return RedirectResponse(f"/sign-in?next={quote(_address(request))}", 303)
        return FileResponse(STATIC / "index.html")

    @app.get("/", include_in_schema=False)
    async def front(request: Request, token: str = "") -> Response:
        """The list; with the token in the address, the browser is given its cookie and an address without it."""
        if not token or door.signs_in:  # an address is kept and logged: no place for somebody's own token
            return await page(request)
        cookie = await door.opened(token, "", sender_in(request.scope))
        if cookie is None:
            raise HttpProblem(
                401, "Wrong token", "This is not the token of this dashboard: `serinus dashboard` prints it."
            )
        # What stands behind `#` stays in the browser: the page takes it into its own memory and out of the address.
        opened = RedirectResponse(f"/#key={cookie.key}", 303)
        cookie.put(opened)
        return opened

    @app.get("/rollouts/{id_}", include_in_schema=False)
    async def rollout_page(request: Request, id_: str) -> Response:
        """The same page; its script reads the address."""
        return await page(request)


def _address(request: Request) -> str:
    """The page that was asked for, with what it was asked to show; a token in it is not handed on."""
    asked = [(key, value) for key, value in request.query_params.multi_items() if key != "token"]
    return f"{request.url.path}?{urlencode(asked)}" if asked else request.url.path


async def _is_known(door: Door, request: Request) -> bool:
    """Whether somebody known asks for a page; while nobody can be known the page is shown, which holds nothing."""
    try:
        return await door.admit(request.headers, sender_in(request.scope)) is not None
    except SerinusError:
        return True


def _reading(app: FastAPI, sources: Sources, rules: Rules, hub: StreamHub, now: Callable[[], float]) -> None:
    lines = SummaryLines(now)

    @app.get("/api/v1/rollouts", responses=PROBLEMS, tags=["rollouts"])
    async def rollouts(asker: Asker) -> Listing:
        """All rollouts that you may see, running or ended; those that may need somebody first."""
        places, problems = await sources.seen_by(asker.person).places()
        found, unshown = await lines.all(places)
        lost = sources.lost()
        return Listing(
            at=rfc3339(now()),
            stale=lost.why,
            stale_since=lost.moment,
            rollouts=sorted(found, key=by_need),
            unreadable=[Unreadable(folder=folder, problem=said) for folder, said in {**problems, **unshown}.items()],
            read_only=rules.read_only,
            panel=empty_list(cluster=sources.counted is None),
        )

    @app.get("/api/v1/rollouts/{id_}", responses=PROBLEMS, tags=["rollouts"])
    async def rollout(asker: Asker, id_: Id, attempt: Attempt = None) -> Detail:
        """One rollout: its state as people see it, the verdicts, the plan; an earlier attempt as it ended."""
        source = sources.seen_by(asker.person)
        place = await source.find(id_)
        stored = await place.store.load(place.name)
        if stored is None:
            raise HttpProblem(404, "No such rollout", "This rollout's state was removed just now.")
        if attempt not in {None, stored.rollout.attempt}:
            return await earlier_detail(place, stored, attempt, now())
        waiting = await place.store.requests(place.name)
        return Detail(
            state=state_at(place, stored, now()),
            panels=await lasting_panels(place, stored),
            verdicts=[plain(verdict) for verdict in stored.rollout.verdicts],
            plan=plan_text(stored.spec_text),
            waiting=[{"verb": r.verb, "by": r.by, "at": rfc3339(r.at), "full": r.full, "to": r.to} for r in waiting],
            may=[] if rules.read_only else list(await source.may(place)),
        )

    @app.get("/api/v1/rollouts/{id_}/events", responses=PROBLEMS, tags=["rollouts"])
    async def events(
        asker: Asker,
        id_: Id,
        attempt: Attempt = None,
        limit: Annotated[int, Query(ge=1, le=5000, description="The newest so many.")] = 1000,
    ) -> list[dict[str, Any]]:
        """What happened, oldest first, as `-o json` prints it (docs/contracts.md, section 1)."""
        place = await sources.seen_by(asker.person).find(id_)
        return [event_line(event) for event in (await place.store.history(place.name, attempt))[-limit:]]

    @app.get("/api/v1/rollouts/{id_}/series", responses=PROBLEMS, tags=["rollouts"])
    async def over_time(asker: Asker, id_: Id, attempt: Attempt = None) -> Series:
        """Weights and the gates' values over time, in columns."""
        place = await sources.seen_by(asker.person).find(id_)
        stored = await place.store.load(place.name)
        which = attempt or (stored.rollout.attempt if stored else 1)
        return series(place.samples(which), await place.store.history(place.name, which))

    @app.get(
        "/api/v1/rollouts/{id_}/stream",
        responses={**PROBLEMS, 200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
        response_class=StreamingResponse,
        tags=["rollouts"],
    )
    async def stream(
        request: Request, asker: Asker, id_: Id, last_event_id: Annotated[str, Header(max_length=200)] = ""
    ) -> StreamingResponse:
        """Server-sent events: `event` (event lines, by id) and `state` (about one a second while it runs)."""
        source, sender = sources.seen_by(asker.person), sender_in(request.scope)
        place = await source.find(id_, "watch")
        if hub.is_full(sender):
            raise HttpProblem(
                429, "Too many followers", "This address, or everybody together, follows too much already."
            )

        async def still_known() -> None:
            if await rules.door.admit(request.headers, sender) is None:
                raise HttpProblem(401, "Who are you?", rules.door.hint)

        messages = kept(hub.listen(place, last_event_id, sender), still_known)
        return StreamingResponse(source.kept(place, messages), media_type="text/event-stream")


def _acting(app: FastAPI, sources: Sources, now: Callable[[], float]) -> None:
    @app.post(
        "/api/v1/rollouts/{id_}/requests",
        status_code=202,
        responses={
            **PROBLEMS,
            409: {"model": Problem, "description": "The rollout has ended."},
            429: {"model": Problem, "description": "Too many requests wait for an answer."},
        },
        tags=["rollouts"],
    )
    async def ask(asker: Asker, id_: Id, asked: Asked) -> Taken:
        """Ask the rollout for something, as `serinus promote, pause, resume, abort, approve` do. The loop decides."""
        user = asker.person.name
        place = await sources.seen_by(asker.person).find(id_, asked.verb)
        stored = await place.store.load(place.name)
        if stored is None or (stored.rollout.finished and asked.verb != "retry"):
            raise HttpProblem(409, "It has ended", f"{place.name} has no rollout under way: nothing was asked.")
        if asked.verb == "retry" and (why := why_not_again(stored.rollout)):
            raise HttpProblem(409, "Nothing to begin once more", f"{why} Nothing was asked.")
        if len(await place.store.requests(place.name)) >= MOST_WAITING:
            raise HttpProblem(
                429, "Too many requests", f"{MOST_WAITING} requests wait for an answer: nothing was asked."
            )
        at = now()
        groups = groups_asked(from_text(stored.spec_text).spec, asker.person.groups) if asker.person.groups else ()
        id_ = request_id(asked.verb, at, token_hex(3))
        request = OperatorRequest(id_, asked.verb, user, at, asked.full, asked.to, groups)
        await place.store.ask(place.name, request)
        return Taken(
            id=request.id,
            verb=asked.verb,
            by=user,
            sentence=f"Asked to {asked.verb}. The answer stands in the decision log as soon as the loop has read it.",
        )


def _operations(app: FastAPI, sources: Sources) -> None:
    tally, counted = Tally(), sources.counted

    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Whether this process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], responses={503: {"model": Problem, "description": "Not ready."}})
    async def readyz() -> dict[str, str]:
        """Whether the rollouts can be read."""
        if why := await sources.unready():
            raise HttpProblem(503, "Not ready", why)
        return {"status": "ready"}

    if counted is None:
        return

    @app.get("/metrics", responses=PROBLEMS, tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        """Our own metrics in Prometheus' text format."""
        places, problems = await counted.places()
        page = await tally.exposition(places, len(problems))
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")
