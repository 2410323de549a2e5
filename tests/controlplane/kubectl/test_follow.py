"""Following one ModelCanary: nothing is missed, whatever happens to the watch."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

import pytest

from canary.errors import BadInput
from controlplane.kubectl.follow import follow
from controlplane.kubernetes.api import Object, Rejected
from controlplane.kubernetes.resources import MODEL_CANARY, NAMESPACE
from controlplane.simulation.clock import VirtualClock, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.kubectl.desk import PLACE, a_canary, session

Play = Callable[["Scene"], Coroutine[Any, Any, None]]


class Scene:
    """A ModelCanary, somebody who changes it, and somebody who follows it."""

    def __init__(self) -> None:
        self.kube = MemoryKube(VirtualClock())
        self.kube.seed(NAMESPACE, {"metadata": {"name": PLACE}})
        self.said: list[str] = []
        self.seen: asyncio.Queue[str] = asyncio.Queue()

    async def change(self, mark: str) -> None:
        """Write something new into it."""
        patch = {"metadata": {"labels": {"mark": mark}}}
        await self.kube.acting_as("somebody").patch(MODEL_CANARY, PLACE, "chat", patch)

    async def follow(self) -> None:
        """Take every state down."""
        object_: Object = await self.kube.get(MODEL_CANARY, PLACE, "chat")
        async with aclosing(follow(session(self.kube), object_, self.said.append)) as states:
            async for state in states:
                self.seen.put_nowait((state["metadata"].get("labels") or {}).get("mark", ""))

    async def sees(self, mark: str) -> None:
        """Wait until this state has been seen."""
        async with asyncio.timeout(60):
            while await self.seen.get() != mark:
                pass


def plays(story: Play) -> Callable[[], None]:
    """A test in virtual time."""

    def test() -> None:
        async def played() -> None:
            scene = Scene()
            await scene.kube.create(MODEL_CANARY, a_canary())
            async with asyncio.TaskGroup() as tasks:
                following = tasks.create_task(scene.follow())
                await scene.sees("")
                await story(scene)
                following.cancel()

        play(played())

    test.__name__, test.__doc__ = story.__name__, story.__doc__
    return test


@plays
async def test_every_change_is_seen(scene: Scene) -> None:
    for mark in ("a", "b"):
        await scene.change(mark)
        await scene.sees(mark)
    assert scene.said == []


@plays
async def test_what_happens_between_two_watches_is_not_missed(scene: Scene) -> None:
    scene.kube.break_watches()
    await scene.change("between")
    await scene.sees("between")


@plays
async def test_a_server_that_goes_away_is_waited_for_and_that_is_said_once(scene: Scene) -> None:
    scene.kube.stop()
    await asyncio.sleep(10)
    assert len(scene.said) == 1
    assert scene.said[0].endswith("It is tried again.")
    scene.kube.down = False
    await scene.change("after")
    await scene.sees("after")
    assert scene.said[1:] == ["The API server answers again."]


@plays
async def test_an_expired_version_is_read_anew(scene: Scene) -> None:
    scene.kube.compact(watches=True)
    await scene.change("later")
    await scene.sees("later")


@plays
async def test_who_may_not_watch_looks_every_second(scene: Scene) -> None:
    scene.kube.fail_next(Rejected("forbidden"), verb="watch", times=1000)
    scene.kube.break_watches()
    await asyncio.sleep(5)
    await scene.change("looked")
    await scene.sees("looked")


@pytest.mark.parametrize("anew", [False, True])
def test_one_that_is_deleted_is_no_longer_followed(anew: bool) -> None:
    """Even if another of the same name is there by now."""

    async def played() -> None:
        scene = Scene()
        await scene.kube.create(MODEL_CANARY, a_canary())
        following = asyncio.ensure_future(scene.follow())
        await scene.sees("")
        if anew:
            scene.kube.stop()
        other = scene.kube.acting_as("somebody")
        await other.delete(MODEL_CANARY, PLACE, "chat")
        if anew:
            await other.create(MODEL_CANARY, a_canary())
            scene.kube.down = False
        with pytest.raises(BadInput, match="was deleted"):
            await following

    play(played())
