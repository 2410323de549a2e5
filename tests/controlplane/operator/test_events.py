"""Kubernetes Events: the same one twice is one, they are short enough for the API, and nobody waits for them."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from canary.errors import Unavailable
from canary.rollout import Phase, Reason
from controlplane.kubernetes.api import Object, Rejected
from controlplane.kubernetes.resources import EVENT
from controlplane.operator.events import LONGEST_NOTE, Events, Notice, event_object
from controlplane.simulation.clock import VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.canary.rollouts import an_event

ABOUT: Object = {"metadata": {"name": "chat", "namespace": "models", "uid": "u-1", "resourceVersion": "7"}}


async def _written(kube: MemoryKube, events: Events, seconds: float = 60.0) -> list[Object]:
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(events.run())
        await asyncio.sleep(seconds)
        running.cancel()
    return list(kube.objects(EVENT).values())


def _events(kube: MemoryKube) -> Events:
    return Events(kube, instance="operator-1", now=VirtualClock().now, say=lambda _sentence: None)


def test_an_event_that_is_told_again_is_there_once() -> None:
    """By another leader too: the name follows from the entry of the history."""

    async def story() -> None:
        kube = MemoryKube(VirtualClock())
        for events in (_events(kube), _events(kube)):
            events.tell_of(ABOUT, an_event(1, phase=Phase.ROLLING_BACK, reason=Reason.GATE_FAILED, message="Too slow."))
            [found] = await _written(kube, events)
        assert (found["type"], found["reason"], found["note"]) == ("Warning", "GateFailed", "Too slow.")
        assert found["regarding"]["uid"] == "u-1"

    play(story())


def test_what_somebody_asked_for_and_what_came_of_it_is_one_event() -> None:
    async def story() -> None:
        kube = MemoryKube(VirtualClock())
        events = _events(kube)
        for number, kind in ((1, "operator"), (2, "phase")):
            events.tell_of(ABOUT, an_event(number, event=kind, reason=Reason.ABORTED, message="ann aborted."))
        assert len(await _written(kube, events)) == 1

    play(story())


def test_weights_and_passes_are_no_events() -> None:
    async def story() -> None:
        kube = MemoryKube(VirtualClock())
        events = _events(kube)
        events.tell_of(ABOUT, an_event(1, event="weights"))
        events.tell_of(ABOUT, an_event(2, event="verdict", evidence={"verdict": "pass"}))
        assert await _written(kube, events) == []

    play(story())


def test_a_server_that_is_away_for_a_moment_gets_them_later_and_one_that_refuses_never() -> None:
    async def story() -> None:
        kube = MemoryKube(VirtualClock())
        events = _events(kube)
        kube.fail_next(Unavailable("down"), verb="create", times=3)
        events.tell(ABOUT, "a", "Normal", "A", "a")
        events.tell(ABOUT, "b", "Normal", "B", "b")
        assert [each["reason"] for each in await _written(kube, events)] == ["A", "B"]
        kube.fail_next(Rejected("the namespace is being deleted"), verb="create")
        events.tell(ABOUT, "c", "Normal", "C", "c")
        assert len(await _written(kube, events)) == 2
        assert events.lost == 1

    play(story())


def test_telling_waits_for_nothing() -> None:
    """A server that hangs for a minute delays no rollout."""

    async def story() -> None:
        kube = MemoryKube(VirtualClock())
        kube.latency = 60.0
        events = _events(kube)
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(events.run())
            began = asyncio.get_running_loop().time()
            for number in range(100):
                await events.listener(lambda: ABOUT).tell(an_event(number))
            assert asyncio.get_running_loop().time() == began
            running.cancel()

    play(story())


@given(st.text(max_size=3000), st.text(min_size=1, max_size=300))
def test_every_note_fits_the_api(note: str, name: str) -> None:
    about = {"metadata": {**ABOUT["metadata"], "name": name}}
    made = event_object(Notice(about, "x", "Normal", "Reason", note, 1.0), "i" * 500)
    assert len(made["note"].encode("utf-8", "replace")) <= LONGEST_NOTE
    assert len(made["metadata"]["name"]) <= 253
    assert len(made["reportingInstance"]) <= 128


def test_s14_an_event_that_no_calendar_has_ends_no_other() -> None:
    """Its moment comes out of a stored state, and what cannot be written is counted as lost."""

    async def story() -> None:
        kube, said = MemoryKube(VirtualClock()), list[str]()
        events = Events(kube, instance="operator-1", now=VirtualClock().now, say=said.append)
        for number, at in ((1, 1e300), (2, -1e300), (3, float("nan")), (4, float("inf")), (5, 1.0)):
            events.tell_of(ABOUT, an_event(number, phase=Phase.BLIND, message=f"number {number}", at=at))
        written = await _written(kube, events)
        assert [each["note"] for each in written] == ["number 5"]
        assert events.lost == len(said) == 4
        assert said[0].startswith("An Event about chat cannot be written: ")

    play(story())
