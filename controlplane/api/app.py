"""The routes: read rollouts, follow one, ask it for something; the page; health and metrics.

Put together by `server.py`. Who may call what is decided in `guard.py`, before any route. What is shown comes from the
stores; what is asked goes into them, where the loop finds it.
"""

from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Header, Query
from fastapi import Path as PathPart
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from canary.observation import OperatorRequest
from canary.serial import event_line, rfc3339
from controlplane.api import problem
from controlplane.api.guard import Guard, Rules
from controlplane.api.keys import same
from controlplane.api.metrics import Tally
from controlplane.api.places import Home, Place
from controlplane.api.plan_text import plan_text
from controlplane.api.problem import Problem, Refused
from controlplane.api.series import Series, series
from controlplane.api.state import State, state_of
from controlplane.api.stream import Hub
from controlplane.api.summary import Listing, Unreadable, by_need, summary_of
from controlplane.view.live import read_live, read_samples

STATIC = Path(__file__).parent.parent / "dashboard" / "static"
MOST_WAITING = 20
"""Requests without an answer that a rollout may have; more of them would only be a mistake or an attack."""
PROBLEMS: dict[int | str, dict[str, Any]] = {
    code: {"model": Problem, "content": {problem.MEDIA_TYPE: {}}, "description": words}
    for code, words in {
        401: "No token, or a wrong one.",
        403: "Wrong host or origin.",
        404: "No such rollout.",
        422: "A parameter that is not understood.",
        503: "The state cannot be read now.",
    }.items()
}
Id = Annotated[str, PathPart(description="Id of a rollout, from the list.", min_length=1, max_length=170)]
Attempt = Annotated[int | None, Query(ge=1, le=2**31, description="An earlier rollout of this name; else the newest.")]


class Asked(BaseModel):
    """What a person asks of a rollout."""

    model_config = ConfigDict(extra="forbid")

    verb: Literal["promote", "pause", "resume", "abort", "approve"]
    full: bool = Field(default=False, description="For promote: go to 100 % at once.")


class Taken(BaseModel):
    """A request that was put where the loop finds it."""

    id: str = Field(description="Stands in the evidence of the event that answers it.")
    verb: str
    by: str
    sentence: str


class Detail(BaseModel):
    """Everything about one rollout but its events."""

    state: State
    verdicts: list[dict[str, Any]] = Field(description="The judge's last verdicts as they are.")
    plan: str = Field(description="The plan as YAML; what may be secret is hidden.")
    waiting: list[dict[str, Any]] = Field(description="Requests without an answer.")


class Session(BaseModel):
    """What the page needs to act."""

    user: str
    read_only: bool
    token: str = Field(description="To be sent as `X-Serinus-Token` with every action; empty when read-only.")
    version: str


def build(home: Home, rules: Rules, hub: Hub, *, user: str, now: Callable[[], float]) -> Guard:
    """The whole app behind its guard. `user` is whom requests are signed with; `now` gives seconds since the epoch."""
    app = FastAPI(
        title="Serinus",
        version=version("serinus"),
        summary="Rollouts on this machine: read them, follow them, ask them for something.",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    problem.install(app)
    _pages(app, rules)
    _reading(app, home, rules, hub, user, now)
    _acting(app, home, user, now)
    _operations(app, home)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, rules)


def _pages(app: FastAPI, rules: Rules) -> None:
    @app.get("/", include_in_schema=False)
    async def front(token: str = "") -> Response:
        """The list; with the token in the address, the browser is given its cookie and an address without it."""
        if not token:
            return FileResponse(STATIC / "index.html")
        if not same(token, rules.keys.token):
            raise Refused(401, "Wrong token", "This is not the token of this dashboard: `serinus dashboard` prints it.")
        opened = RedirectResponse("/", 303)
        keys = rules.keys
        opened.set_cookie(keys.cookie_name, keys.cookie, httponly=True, samesite="strict", max_age=30 * 86400)
        return opened

    @app.get("/rollouts/{id_}", include_in_schema=False)
    async def rollout_page(id_: str) -> Response:
        """The same page; its script reads the address."""
        return FileResponse(STATIC / "index.html")


def _reading(app: FastAPI, home: Home, rules: Rules, hub: Hub, user: str, now: Callable[[], float]) -> None:
    async def read(place: Place) -> Detail:
        stored = await place.store.load(place.name)
        if stored is None:
            raise Refused(404, "No such rollout", "This rollout's state was removed just now.")
        waiting = await place.store.requests(place.name)
        live = read_live(place.folder, place.name)
        return Detail(
            state=state_of(place.id, stored, live, now()),
            verdicts=[_plain(verdict) for verdict in stored.rollout.verdicts],
            plan=plan_text(stored.spec_text),
            waiting=[{"verb": r.verb, "by": r.by, "at": rfc3339(r.at), "full": r.full} for r in waiting],
        )

    @app.get("/api/v1/rollouts", responses=PROBLEMS, tags=["rollouts"])
    async def rollouts() -> Listing:
        """All rollouts of this state directory, running or ended; those that may need somebody first."""
        places, problems = await home.places()
        lines = []
        for place in places:
            stored = await place.store.load(place.name)
            if stored is not None:
                live = read_live(place.folder, place.name)
                lines.append(summary_of(state_of(place.id, stored, live, now())))
        return Listing(
            at=rfc3339(now()),
            rollouts=sorted(lines, key=by_need),
            unreadable=[Unreadable(folder=folder, problem=said) for folder, said in problems.items()],
            read_only=rules.read_only,
        )

    @app.get("/api/v1/rollouts/{id_}", responses=PROBLEMS, tags=["rollouts"])
    async def rollout(id_: Id) -> Detail:
        """One rollout: its state as people see it, the verdicts, the plan."""
        return await read(await home.find(id_))

    @app.get("/api/v1/rollouts/{id_}/events", responses=PROBLEMS, tags=["rollouts"])
    async def events(
        id_: Id,
        attempt: Attempt = None,
        limit: Annotated[int, Query(ge=1, le=5000, description="The newest so many.")] = 1000,
    ) -> list[dict[str, Any]]:
        """What happened, oldest first, as `-o json` prints it (docs/contracts.md, section 1)."""
        place = await home.find(id_)
        return [event_line(event) for event in (await place.store.history(place.name, attempt))[-limit:]]

    @app.get("/api/v1/rollouts/{id_}/series", responses=PROBLEMS, tags=["rollouts"])
    async def over_time(id_: Id, attempt: Attempt = None) -> Series:
        """Weights and the gates' values over time, in columns."""
        place = await home.find(id_)
        stored = await place.store.load(place.name)
        which = attempt or (stored.rollout.attempt if stored else 1)
        return series(read_samples(place.folder, place.name, which), await place.store.history(place.name, which))

    @app.get(
        "/api/v1/rollouts/{id_}/stream",
        responses={**PROBLEMS, 200: {"content": {"text/event-stream": {}}, "description": "Server-sent events."}},
        response_class=StreamingResponse,
        tags=["rollouts"],
    )
    async def stream(id_: Id, last_event_id: Annotated[str, Header(max_length=200)] = "") -> StreamingResponse:
        """Server-sent events: `event` (event lines, by id) and `state` (about one a second while it runs)."""
        place = await home.find(id_)
        return StreamingResponse(hub.listen(place, last_event_id), media_type="text/event-stream")

    @app.get("/api/v1/session", responses=PROBLEMS, tags=["session"])
    async def session() -> Session:
        """Who asks, and what the page has to send with an action."""
        token = "" if rules.read_only else rules.keys.header
        return Session(user=user, read_only=rules.read_only, token=token, version=version("serinus"))


def _acting(app: FastAPI, home: Home, user: str, now: Callable[[], float]) -> None:
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
    async def ask(id_: Id, asked: Asked) -> Taken:
        """Ask the rollout for something, as `serinus promote, pause, resume, abort, approve` do. The loop decides."""
        place = await home.find(id_)
        stored = await place.store.load(place.name)
        if stored is None or stored.rollout.finished:
            raise Refused(409, "It has ended", f"{place.name} has no rollout under way: nothing was asked.")
        if len(await place.store.requests(place.name)) >= MOST_WAITING:
            raise Refused(429, "Too many requests", f"{MOST_WAITING} requests wait for an answer: nothing was asked.")
        at = now()
        request = OperatorRequest(f"{asked.verb}-{at:.6f}", asked.verb, user, at, asked.full)
        await place.store.ask(place.name, request)
        return Taken(
            id=request.id,
            verb=asked.verb,
            by=user,
            sentence=f"Asked to {asked.verb}. The answer stands in the decision log as soon as the loop has read it.",
        )


def _operations(app: FastAPI, home: Home) -> None:
    tally = Tally()

    @app.get("/healthz", tags=["operations"])
    async def healthz() -> dict[str, str]:
        """Whether this process answers."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["operations"], responses={503: {"model": Problem, "description": "Not ready."}})
    async def readyz() -> dict[str, str]:
        """Whether the state directory can be read."""
        _, problems = await home.places()
        if problems:
            raise Refused(503, "Not ready", f"{len(problems)} state folder(s) cannot be read; the list says which.")
        return {"status": "ready"}

    @app.get("/metrics", responses=PROBLEMS, tags=["operations"], response_class=Response)
    async def metrics() -> Response:
        """Our own metrics in Prometheus' text format."""
        places, problems = await home.places()
        page = await tally.exposition(places, len(problems))
        return Response(page, media_type="text/plain; version=0.0.4; charset=utf-8")


def _plain(verdict: Any) -> dict[str, Any]:
    from dataclasses import asdict

    found = asdict(verdict)
    return {
        key: None if isinstance(value, float) and not abs(value) < float("inf") else value
        for key, value in found.items()
    }
