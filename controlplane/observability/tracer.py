"""Exports rollouts as traces, in the background: nothing waits for it, and a restart loses nothing.

Opened by the commands when `OTEL_EXPORTER_OTLP_ENDPOINT` is set. What is kept is which rollouts have news, and no more:
spans are made from the history, which its store keeps (`trace.py`), and sent when they have ended. A collector that is
down or hangs is tried again later; ids are stable, so what is sent twice is the same span. The wire is `otlp.py`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

from canary.errors import SerinusError
from canary.rollout import Event
from controlplane.backoff import Backoff
from controlplane.observability.trace import Span, spans, trace_of

History = Callable[[], Awaitable[Sequence[Event]]]
"""The newest attempt's history of one rollout."""
MOST_ROLLOUTS = 10_000
"""With news at once; those beyond are told with their next event."""
PATIENCE = 10.0
"""Seconds for one delivery;"""
FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
"""and until the next try, doubling, when it fails."""
LAST_WORDS = 5.0
"""Seconds at the end for what was not told yet."""


class Exporter(Protocol):
    """Sends spans somewhere; raises `OSError` or `TimeoutError` where it cannot. Called on a thread of its own."""

    def export(self, trace: str, finished: Sequence[Span], resource: Mapping[str, str]) -> None:
        """Deliver these spans of one trace."""
        ...


class Tracer:
    """Knows which rollouts have news, and which spans were told."""

    def __init__(self, exporter: Exporter, say: Callable[[str], None]) -> None:
        self._exporter, self._say = exporter, say
        self._news: dict[str, tuple[History, str]] = {}
        self._told: dict[str, set[str]] = {}
        self._stir = asyncio.Event()
        self._complained = False

    def happened(self, event: Event, history: History, namespace: str = "") -> None:
        """An event was saved. Returns at once."""
        if event.event not in {"phase", "end"}:
            return  # verdicts and words go with the span that they fall into
        if len(self._news) < MOST_ROLLOUTS:
            self._news[f"{namespace}/{event.rollout}"] = (history, namespace)
            self._stir.set()

    async def run(self) -> None:
        """Deliver, for ever."""
        backoff = Backoff(FIRST_WAIT, LONGEST_WAIT)
        while True:
            await self._stir.wait()
            self._stir.clear()
            if await self.deliver():
                backoff.reset()
            else:
                await asyncio.sleep(backoff.next())
                self._stir.set()

    async def deliver(self) -> bool:
        """One round through all that have news; whether everything was delivered."""
        well = True
        for key, (history, namespace) in list(self._news.items()):
            try:
                events = await history()
                await self._tell(events, namespace)
            except (SerinusError, OSError, TimeoutError) as error:
                well = False
                self._complain(error)
            else:
                if self._news.get(key) == (history, namespace):
                    del self._news[key]
        if well and self._complained:
            self._complained = False
            self._say("Traces arrive again.")
        return well

    async def _tell(self, events: Sequence[Event], namespace: str) -> None:
        if not events:
            return
        trace = trace_of(events[-1], namespace)
        told = self._told.setdefault(trace, set())
        finished = [span for span in spans(events) if span.ended is not None and span.key not in told]
        if not finished:
            return
        resource = {"serinus.namespace": namespace} if namespace else {}
        async with asyncio.timeout(PATIENCE):
            await asyncio.to_thread(self._exporter.export, trace, finished, resource)
        told.update(span.key for span in finished)
        if events[-1].event == "end":
            del self._told[trace]

    def _complain(self, error: Exception) -> None:
        if not self._complained:
            self._complained = True
            why = str(error) or f"no answer within {PATIENCE:g} s"
            self._say(f"Traces do not arrive: {why}. They are sent again; no rollout waits for it.")


@asynccontextmanager
async def opened(exporter: Exporter, say: Callable[[str], None]) -> AsyncIterator[Tracer]:
    """A tracer that works while the block runs, with a moment at its end for the last spans."""
    tracer, raised = Tracer(exporter, say), None
    async with asyncio.TaskGroup() as tasks:
        working = tasks.create_task(tracer.run(), name="tracer")
        try:
            yield tracer
        except BaseException as error:  # noqa: BLE001 - raised below: as it is, not as one of a group
            raised = error
        working.cancel()
        try:
            async with asyncio.timeout(LAST_WORDS):
                await tracer.deliver()
        except TimeoutError:
            say("The last spans could not be delivered.")
    if raised is not None:
        raise raised
