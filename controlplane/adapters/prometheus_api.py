"""Asks one Prometheus one question and refuses answers that only look good. Used by the metric sources.

An answer counts when Prometheus says success, warns of nothing, calls nothing partial and has the expected shape;
partial answers arrive as successes with a warning, which is why that matters. Queries are handed in whole; nothing is
put together here. However large an answer is, reading it never keeps the event loop for more than a moment.
"""

import asyncio
import math
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import nullcontext
from typing import Any, NoReturn

from pydantic_core import from_json

from canary.errors import ExternalError, Unavailable
from controlplane.adapters.answer_budget import AnswerBudget, Hold
from controlplane.adapters.bounded_http import BoundedAnswer, BoundedHttp, Take, TooLarge
from controlplane.adapters.prometheus_native import spelled_out
from controlplane.adapters.prometheus_parse import Newest, newest_in, newest_of, parted, read_in, series_in
from controlplane.adapters.prometheus_series import PrometheusSeries

REFUSED = {400, 422}
"""Answers about the query itself; other failures are those of the server."""
KINDS = {"bad_data", "canceled", "execution", "internal", "not_acceptable", "not_found", "timeout", "unavailable"}
"""What Prometheus calls its errors."""
LONGEST_WHOLE = 4 * 1024 * 1024
"""Characters of an answer in another form than Prometheus writes, which can only be read as a whole."""
PARSED = 8
"""Times as much memory as its text takes a series with all its points, at most: a short number has 24 bytes too."""


class QueryRefused(ExternalError):  # noqa: N818 - what became of it
    """Prometheus answers, and does not carry the query out: it makes no sense, or would take too much."""


class PrometheusApi:
    """The HTTP API under one base URL."""

    def __init__(
        self,
        url: str,
        *,
        seconds: float,
        http: BoundedHttp | None = None,
        trusted: bool = True,
        turns: asyncio.Semaphore | None = None,
        budget: AnswerBudget | None = None,
    ) -> None:
        """`seconds`: how long Prometheus may take for one answer.

        Of one that is not `trusted`, because a plan names its address, no word is repeated in errors: it could be
        anybody's. Those that share `turns` have their answers read one after the other, and those that share `budget`
        have so much memory for all of them: one whose answer has no room in it is `Unavailable`.
        """
        self.url = url.rstrip("/")
        self.seconds = seconds
        self._http = http or BoundedHttp()
        self._trusted = trusted
        self._turns = turns or nullcontext()
        self.budget = budget or AnswerBudget(math.inf)

    async def query(
        self, query: str, *, at: float | None = None, seconds: float | None = None, most_bytes: int | None = None
    ) -> list[PrometheusSeries]:
        """The answer now, or as of `at`; `seconds` and `most_bytes` bound it further than others.

        Raises `Unavailable` when Prometheus does not answer, and a plain `ExternalError` when it does and its answer is
        of no use: it refuses the query, or warns that the answer is not whole.
        """
        form = {"query": query} if at is None else {"query": query, "time": f"{at:.3f}"}
        return await self._series("query", form, seconds or self.seconds, most_bytes)

    async def counters(self, query: str, *, at: float | None = None) -> list[PrometheusSeries]:
        """The same of raw counters, with native histograms spelled out as classic series."""
        return spelled_out(await self.query(query, at=at))

    async def query_range(
        self, query: str, *, start: float, end: float, step: float, most_bytes: int | None = None
    ) -> list[PrometheusSeries]:
        """The answer at `start` and every `step` seconds after it until `end`; raises as `query` does."""
        form = {"query": query, "start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        return await self._series("query_range", form, self.seconds, most_bytes)

    async def newest(self, query: str, kept: Hold | None = None) -> Newest:
        """The newest point of every series of a range of raw samples; raises as `query` does. Made for thousands.

        Series that make no sense are left out and counted, for they are nobody else's business. `kept`: the memory of
        what is answered, which is the caller's to give back; where there is none left, this raises `TooLarge`.
        """
        found = Newest([], [], [])
        with self.budget.hold(kept.holder if kept else "") as hold:
            status, result, pieces = await self._ask("query", {"query": query}, self.seconds, hold.take)
            try:
                async with self._turns:
                    for piece in pieces:
                        await asyncio.sleep(0)  # everybody else has a turn
                        more = newest_in(piece)
                        (kept or hold).take(more.bytes)
                        found.add(more)
                    found.add(newest_of(*read_in(result)))
            except ValueError as error:
                raise self.not_understood(f"{status}, no series") from error
        if found.unreadable and not found.labels:
            raise self.not_understood(f"{status}, no series")
        return found

    async def values(self, label: str, matcher: str = "") -> frozenset[str]:
        """The values of a label, of series that match; raises as `query` does."""
        where = {"match[]": matcher} if matcher else {}
        with self.budget.hold("") as hold:
            url = f"{self.url}/api/v1/label/{label}/values"
            status, text = await self._answered(self._http.get(url, seconds=self.seconds, query=where, take=hold.take))
            answer = self._checked(self._parsed(text, status))
        found = answer.get("data")
        if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
            raise self.not_understood(f"{status}, no values")
        return frozenset(found)

    def not_understood(self, what: str) -> Unavailable:
        """The error of an answer that is not Prometheus' kind of answer."""
        return Unavailable(f"What answers on {self.url} does not speak as Prometheus does ({what}).")

    def too_large(self, error: TooLarge) -> Unavailable:
        """The error of an answer for which there is no memory."""
        told = Unavailable(f"Prometheus on {self.url} cannot be read: {error}.")
        told.__cause__ = TooLarge(str(error))  # a new one, which keeps nothing of what was being read
        return told

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.close()

    async def _series(
        self, endpoint: str, form: Mapping[str, str], seconds: float, most_bytes: int | None
    ) -> list[PrometheusSeries]:
        """All series of an answer, each of which has to make sense."""
        with self.budget.hold("") as hold:
            status, result, pieces = await self._ask(endpoint, form, seconds, hold.take, most_bytes)
            try:
                async with self._turns:
                    found, unreadable = read_in(result)
                    for piece in pieces:
                        await asyncio.sleep(0)
                        hold.take(PARSED * len(piece))
                        more, bad = series_in(piece)
                        found += more
                        unreadable += bad
            except ValueError as error:
                raise self.not_understood(f"{status}, no series") from error
            except TooLarge as error:
                raise self.too_large(error) from None
        if unreadable:
            raise self.not_understood(f"{status}, {unreadable} series without sense")
        return found

    async def _ask(
        self, endpoint: str, form: Mapping[str, str], seconds: float, take: Take, most_bytes: int | None = None
    ) -> tuple[int, list[Any], Iterator[str]]:
        """The answer's status and its series, once it is known to be whole: parsed ones, and the text of all others."""
        status, text = await self._text(endpoint, form, seconds, take, most_bytes)
        envelope, pieces = (parted(text) if status == 200 else None) or (text, iter(()))
        return status, self._result(self._checked(self._parsed(envelope, status)), status), pieces

    async def _text(
        self, endpoint: str, form: Mapping[str, str], seconds: float, take: Take, most_bytes: int | None
    ) -> BoundedAnswer:
        """What it answers to a question."""
        form = {**form, "timeout": f"{round(seconds * 1000)}ms"}
        url = f"{self.url}/api/v1/{endpoint}"
        return await self._answered(self._http.post(url, seconds=seconds, form=form, most_bytes=most_bytes, take=take))

    async def _answered(self, asked: Awaitable[BoundedAnswer]) -> BoundedAnswer:
        """The answer, if it speaks of the question at all."""
        try:
            answer = await asked
        except Unavailable as error:
            raise Unavailable(f"Prometheus on {self.url} does not answer: {error}.") from error
        if answer.status != 200 and answer.status not in REFUSED:
            credentials = ": it does not accept our credentials" if answer.status in {401, 403} else ""
            raise Unavailable(f"Prometheus on {self.url} answers {answer.status}{credentials}.")
        return answer

    def _checked(self, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer, once it is known to be one and to be whole."""
        if answer.get("status") == "error":
            self._refused(answer)
        if warnings := answer.get("warnings"):
            listed = "; ".join(map(str, warnings)) if isinstance(warnings, list) else str(warnings)
            raise ExternalError(
                f"Prometheus on {self.url} warns that its answer may not be whole{self._quoted(listed)}."
            )
        if answer.get("isPartial"):  # VictoriaMetrics says it so
            raise ExternalError(f"Prometheus on {self.url} says that its answer is partial.")
        return answer

    def _parsed(self, text: str, status: int) -> dict[str, Any]:
        if len(text) > LONGEST_WHOLE:
            raise self.not_understood(f"{status}, in another form")
        try:
            answer = from_json(text)
        except ValueError as error:
            raise self.not_understood(f"{status}, no JSON") from error
        if not isinstance(answer, dict) or answer.get("status") not in ("success", "error"):
            raise self.not_understood(f"{status}, without its status")
        return answer

    def _refused(self, answer: Mapping[str, Any]) -> NoReturn:
        kind, why = str(answer.get("errorType", "")), str(answer.get("error", ""))
        known = f" ({kind})" if kind in KINDS else ""
        raise QueryRefused(f"Prometheus on {self.url} refuses the query{known}{self._quoted(why)}.")

    def _quoted(self, text: str) -> str:
        """What it says, after a colon; nothing where it may be anybody who says it."""
        return f": {_shortened(text)}" if self._trusted else ""

    def _result(self, answer: Mapping[str, Any], status: int) -> list[Any]:
        data = answer.get("data")
        if data is None:
            raise Unavailable(f"Prometheus on {self.url} answers without data.")
        if (
            not isinstance(data, dict)
            or data.get("resultType") not in ("matrix", "vector")
            or not isinstance(data.get("result"), list)
        ):
            raise self.not_understood(f"{status}, no series")
        result: list[Any] = data["result"]
        return result


def _shortened(text: str, longest: int = 300) -> str:
    """One line, for it comes from outside and goes into sentences."""
    line = " ".join(text.split()).rstrip(".")
    return line if len(line) <= longest else f"{line[:longest]}…"
