"""Asks one Prometheus one question and refuses answers that only look good. Used by the metric sources.

An answer counts when Prometheus says success, warns of nothing, calls nothing partial and has the expected shape;
partial answers arrive as successes with a warning, which is why that matters. Queries are handed in whole; nothing is
put together here.
"""

from collections.abc import Mapping
from typing import Any, NoReturn

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from canary.errors import Unavailable, WorldError
from controlplane.adapters.capped_http import Answer, CappedHttp
from controlplane.adapters.prometheus_native import spelled_out
from controlplane.adapters.prometheus_series import Series
from controlplane.adapters.prometheus_text import Newest, cut

RawSeries = Mapping[str, Any]
"""A series as it stands in the answer: `metric`, labels by name, and `values`, pairs of a time and a number as text."""
REFUSED = {400, 422}
"""Answers about the query itself; other failures are those of the server."""


_SERIES = TypeAdapter(list[Series])


class PrometheusApi:
    """The HTTP API under one base URL."""

    def __init__(self, url: str, *, seconds: float, http: CappedHttp | None = None) -> None:
        """`seconds`: how long Prometheus may take for one answer."""
        self.url = url.rstrip("/")
        self._seconds = seconds
        self._http = http or CappedHttp()

    async def query(self, query: str, *, at: float | None = None, seconds: float | None = None) -> list[Series]:
        """The answer now, or as of `at`.

        Raises `Unavailable` when Prometheus does not answer, and a plain `WorldError` when it does and its answer is of
        no use: it refuses the query, or warns that the answer is not whole.
        """
        form = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        return self._checked(await self._ask("query", form, seconds or self._seconds))

    async def counters(self, query: str, *, at: float | None = None) -> list[Series]:
        """The same of raw counters, with native histograms spelled out as classic series."""
        return spelled_out(await self.query(query, at=at))

    async def query_range(self, query: str, *, start: float, end: float, step: float) -> list[Series]:
        """The answer at `start` and every `step` seconds after it until `end`; raises as `query` does."""
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return self._checked(await self._ask("query_range", form, self._seconds))

    async def newest(self, query: str) -> Newest:
        """The newest point of every series of a range of raw samples; raises as `query` does. Made for thousands."""
        status, text = await self._text("query", {"query": query}, self._seconds)
        if status == 200 and (found := cut(text)):
            envelope, points = found
            self._whole(self._parsed(envelope, status), status)
            return points
        result = spelled_out(self._checked(self._whole(self._parsed(text, status), status)), newest=True)
        told = [(to_json(each.metric).decode()[:-1], *each.points[-1]) for each in result if each.points]
        return Newest([labels for labels, _, _ in told], [at for _, at, _ in told], [value for _, _, value in told])

    def not_understood(self, what: str) -> Unavailable:
        """The error of an answer that is not Prometheus' kind of answer."""
        return Unavailable(f"What answers on {self.url} does not speak as Prometheus does ({what}).")

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _ask(self, endpoint: str, form: Mapping[str, str], seconds: float) -> list[RawSeries]:
        status, text = await self._text(endpoint, form, seconds)
        return self._whole(self._parsed(text, status), status)

    async def _text(self, endpoint: str, form: Mapping[str, str], seconds: float) -> Answer:
        """What it answers, if that speaks of the query at all."""
        form = {**form, "timeout": f"{round(seconds * 1000)}ms"}
        try:
            answer = await self._http.post(f"{self.url}/api/v1/{endpoint}", seconds=seconds, form=form)
        except Unavailable as error:
            raise Unavailable(f"Prometheus on {self.url} does not answer: {error}.") from error
        if answer.status != 200 and answer.status not in REFUSED:
            credentials = ": it does not accept our credentials" if answer.status in {401, 403} else ""
            raise Unavailable(f"Prometheus on {self.url} answers {answer.status}{credentials}.")
        return answer

    def _whole(self, answer: Mapping[str, Any], status: int) -> list[RawSeries]:
        """The series of the answer, once it is known to be one and to be whole."""
        if answer.get("status") == "error":
            self._refused(answer)
        if warnings := answer.get("warnings"):
            listed = "; ".join(map(str, warnings)) if isinstance(warnings, list) else str(warnings)
            raise WorldError(f"Prometheus on {self.url} warns that its answer may not be whole: {_shortened(listed)}.")
        if answer.get("isPartial"):  # VictoriaMetrics says it so
            raise WorldError(f"Prometheus on {self.url} says that its answer is partial.")
        return self._result(answer, status)

    def _parsed(self, text: str, status: int) -> dict[str, Any]:
        try:
            answer = from_json(text)
        except ValueError as error:
            raise self.not_understood(f"{status}, no JSON") from error
        if not isinstance(answer, dict) or answer.get("status") not in {"success", "error"}:
            raise self.not_understood(f"{status}, without its status")
        return answer

    def _refused(self, answer: Mapping[str, Any]) -> NoReturn:
        kind, why = str(answer.get("errorType", "")), str(answer.get("error", ""))
        raise WorldError(f"Prometheus on {self.url} refuses the query ({_shortened(kind)}): {_shortened(why)}.")

    def _result(self, answer: Mapping[str, Any], status: int) -> list[RawSeries]:
        data = answer.get("data")
        if data is None:
            raise Unavailable(f"Prometheus on {self.url} answers without data.")
        if (
            not isinstance(data, dict)
            or data.get("resultType") not in {"matrix", "vector"}
            or not isinstance(data.get("result"), list)
        ):
            raise self.not_understood(f"{status}, no series")
        result: list[RawSeries] = data["result"]
        return result

    def _checked(self, result: list[RawSeries]) -> list[Series]:
        try:
            return _SERIES.validate_python(result)
        except ValidationError as error:
            raise self.not_understood(error.errors()[0]["type"]) from error


def _shortened(text: str, longest: int = 300) -> str:
    """One line, for it comes from outside and goes into sentences."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= longest else f"{line[:longest]}…"
