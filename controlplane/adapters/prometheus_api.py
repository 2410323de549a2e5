"""Asks one Prometheus one instant query and refuses answers that only look good. Used by `prometheus.py`.

An answer counts when Prometheus says success, warns of nothing and has the expected shape; partial answers arrive as
successes with a warning, which is why that matters. Queries are handed in whole; nothing is put together here.
"""

from typing import Literal

from pydantic import BaseModel, ValidationError

from canary.errors import Unavailable, WorldError
from controlplane.adapters.capped_http import CappedHttp

Point = tuple[float, float]
"""Time in seconds since the epoch, value (may be NaN or infinite)."""


class Series(BaseModel):
    """One series of an answer: a single point of a vector, or the raw points of a matrix."""

    metric: dict[str, str]
    value: Point | None = None
    values: list[Point] = []

    @property
    def name(self) -> str:
        """The metric's name; empty where a query dropped it."""
        return self.metric.get("__name__", "")

    @property
    def points(self) -> list[Point]:
        """All its points, oldest first."""
        return self.values or ([self.value] if self.value else [])


class _Data(BaseModel):
    resultType: Literal["matrix", "vector"]  # noqa: N815 - Prometheus' own spelling
    result: list[Series]


class _Answer(BaseModel):
    status: Literal["success", "error"]
    data: _Data | None = None
    errorType: str = ""  # noqa: N815 - Prometheus' own spelling
    error: str = ""
    warnings: list[str] = []


class PrometheusApi:
    """The HTTP API under one base URL."""

    def __init__(self, url: str, *, seconds: float, http: CappedHttp | None = None) -> None:
        """`seconds`: how long Prometheus may take for one answer."""
        self.url = url.rstrip("/")
        self._seconds = seconds
        self._http = http or CappedHttp()

    async def query(self, query: str) -> list[Series]:
        """The answer now.

        Raises `Unavailable` when Prometheus does not answer, and a plain `WorldError` when it does and its answer is of
        no use: it refuses the query, or warns that the answer is not whole.
        """
        form = {"query": query, "timeout": f"{round(self._seconds * 1000)}ms"}
        try:
            status, text = await self._http.post(f"{self.url}/api/v1/query", seconds=self._seconds, form=form)
        except Unavailable as error:
            raise Unavailable(f"Prometheus on {self.url} does not answer: {error}.") from error
        answer = self._understood(status, text)
        if answer.status == "error":
            raise WorldError(
                f"Prometheus on {self.url} refuses the query ({answer.errorType}): {_shortened(answer.error)}."
            )
        if answer.warnings:
            warnings = _shortened("; ".join(answer.warnings))
            raise WorldError(f"Prometheus on {self.url} warns that its answer may not be whole: {warnings}.")
        if answer.data is None:
            raise Unavailable(f"Prometheus on {self.url} answers without data.")
        return answer.data.result

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    def _understood(self, status: int, text: str) -> _Answer:
        """The parsed answer. Errors of the query come with 400 and 422; other failures are those of the server."""
        if status not in {200, 400, 422}:
            raise Unavailable(f"Prometheus on {self.url} answers {status}.")
        try:
            return _Answer.model_validate_json(text)
        except ValidationError as error:
            what = error.errors()[0]["type"]
            raise Unavailable(
                f"What answers on {self.url} does not speak as Prometheus does ({status}, {what})."
            ) from error


def _shortened(text: str, longest: int = 300) -> str:
    """One line, for it comes from outside and goes into sentences."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= longest else f"{line[:longest]}…"
