"""What the API answers when it cannot do what was asked: `application/problem+json` (RFC 9457), in whole sentences.

Used by the guard and by every route.
"""

import json
from collections.abc import Mapping

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from canary.errors import SerinusError

MEDIA_TYPE = "application/problem+json"
LEAST_WAIT = 5
"""Seconds that whoever asks too often is asked to wait."""


class Problem(BaseModel):
    """Why a request was not served."""

    type: str = "about:blank"
    title: str = Field(description="What is wrong, in a few words; the same for each problem of its kind.")
    status: int = Field(description="The HTTP status code.")
    detail: str = Field(description="What happened, to what, and what can be done about it.")


class HttpProblem(Exception):  # noqa: N818 - an answer, not an accident
    """Ends a request with a problem."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = Problem(title=title, status=status, detail=detail)


def answer(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The problem as a response."""
    wait = {"retry-after": str(LEAST_WAIT)} if problem.status == 429 else {}
    return Response(
        json.dumps(problem.model_dump(), ensure_ascii=False), problem.status, {**wait, **(headers or {})}, MEDIA_TYPE
    )


def install(app: FastAPI) -> None:
    """Let every error of this app end in a problem."""

    @app.exception_handler(HttpProblem)
    async def refused(_request: Request, error: HttpProblem) -> Response:
        return answer(error.problem)

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        details = {
            404: ("Not found", "There is nothing at this address. /api/v1/openapi.json lists what there is."),
            405: ("Method not allowed", f"{request.method} is not possible at this address."),
        }
        title, detail = details.get(error.status_code, ("Not possible", str(error.detail)))
        return answer(Problem(title=title, status=error.status_code, detail=detail), error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> Response:
        faults = "; ".join(f"{_where(fault['loc'])}: {fault['msg']}" for fault in error.errors()[:10])
        return answer(Problem(title="Not understood", status=422, detail=f"{faults}. Nothing was changed."))

    @app.exception_handler(SerinusError)
    async def ours(_request: Request, error: SerinusError) -> Response:
        return answer(Problem(title="The state cannot be used now", status=503, detail=str(error)))


def _where(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location)
