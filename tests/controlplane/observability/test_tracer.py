"""Exporting in the background: nothing waits, a restart loses nothing, a collector that hangs delays nobody."""

import asyncio
import threading
from collections.abc import Mapping, Sequence

import pytest

from canary.rollout import Event
from controlplane.observability import tracer as module
from controlplane.observability.trace import Span, spans, trace_of
from controlplane.observability.tracer import Tracer, opened
from controlplane.simulation.scenarios import SCENARIOS
from controlplane.simulation.story import simulate
from tests.simulation.plans import TINY_PLAN

EVENTS = simulate(TINY_PLAN, SCENARIOS["errors-x20"], seed=1).events


class Collector:
    """Takes spans, or does not."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.down = False
        self.hangs = threading.Event()
        self.hangs.set()

    def export(self, trace: str, finished: Sequence[Span], resource: Mapping[str, str]) -> None:
        self.hangs.wait(60)
        if self.down:
            raise ConnectionRefusedError("refused")
        self.got += [(trace, span.key) for span in finished]


class Told:
    """A history that grows."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    async def history(self) -> Sequence[Event]:
        return self.events

    def happens(self, tracer: Tracer, events: Sequence[Event]) -> None:
        for event in events:
            self.events.append(event)
            tracer.happened(event, self.history)


def wanted() -> set[tuple[str, str]]:
    return {(trace_of(EVENTS[0]), span.key) for span in spans(EVENTS)}


async def test_every_span_is_told_once_when_it_has_ended() -> None:
    collector, told, said = Collector(), Told(), list[str]()
    tracer = Tracer(collector, said.append)
    for event in EVENTS:
        told.happens(tracer, [event])
        assert await tracer.deliver()
    assert len(collector.got) == len(set(collector.got))
    assert set(collector.got) == wanted()
    assert said == []


async def test_after_a_restart_the_whole_trace_is_there() -> None:
    """The first process died with half of it untold; ids say that what comes twice is the same."""
    collector, told = Collector(), Told()
    told.happens(Tracer(collector, print), EVENTS[: len(EVENTS) // 2])
    second = Tracer(collector, print)
    told.happens(second, EVENTS[len(EVENTS) // 2 :])
    assert await second.deliver()
    assert set(collector.got) == wanted()


async def test_a_collector_that_is_down_is_said_once_and_gets_everything_later() -> None:
    collector, told, said = Collector(), Told(), list[str]()
    tracer = Tracer(collector, said.append)
    collector.down = True
    for event in EVENTS:
        told.happens(tracer, [event])
        await tracer.deliver()
    assert said == ["Traces do not arrive: refused. They are sent again; no rollout waits for it."]
    collector.down = False
    assert await tracer.deliver()
    assert set(collector.got) == wanted()
    assert said[1:] == ["Traces arrive again."]


async def test_a_collector_that_hangs_delays_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an event nor leaving: at the end there is a moment, and no more."""
    monkeypatch.setattr(module, "PATIENCE", 0.05)
    monkeypatch.setattr(module, "LAST_WORDS", 0.1)
    collector, told, said = Collector(), Told(), list[str]()
    collector.hangs.clear()
    async with opened(collector, said.append) as tracer:
        told.happens(tracer, EVENTS)
        await asyncio.sleep(0.2)
    assert collector.got == []
    assert any("Traces do not arrive" in sentence for sentence in said)
    collector.hangs.set()


async def test_what_fails_inside_is_raised_as_it_is() -> None:
    """Not as one of a group: the command's exit code depends on it."""
    with pytest.raises(LookupError, match="mine"):
        async with opened(Collector(), print):
            raise LookupError("mine")


async def test_many_rollouts_with_news_are_names_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ROLLOUTS", 3)
    collector, told = Collector(), Told()
    tracer = Tracer(collector, print)
    for number in range(10):
        tracer.happened(EVENTS[0], told.history, f"ns{number}")
    assert len(tracer._news) == 3
