"""From when on a rollout's numbers are read, where its plan does not say what counts them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from controlplane.evidence.discover import Choice
from controlplane.kserve.caches import Caches
from controlplane.kubernetes.memory import MemoryKube
from controlplane.operator.profile import Question
from controlplane.operator.world import ClusterWorld
from controlplane.simulation.clock import VirtualClock, play
from tests.controlplane.gateway.world import NAMESPACE, plan

KEY = (NAMESPACE, "chat")
PROMETHEUS = "http://127.0.0.1:9"


class Looker:
    """Says what counts as soon as the test lets it."""

    def __init__(self, choice: Choice) -> None:
        self.may_say = asyncio.Event()
        self._choice = choice

    async def __call__(self, question: Question) -> Choice:
        """The choice, in its time."""
        await self.may_say.wait()
        return self._choice


@asynccontextmanager
async def a_world(looker: Looker, told: list[str]) -> AsyncIterator[ClusterWorld]:
    clock = VirtualClock()
    world = ClusterWorld(MemoryKube(clock), Caches(), clock=clock, prometheus=PROMETHEUS, interval=1.0, find=looker)
    world.tell = lambda _key, _kind, _reason, sentence: told.append(sentence)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(world.run())
        await asyncio.sleep(0)
        yield world
        running.cancel()
    await world.close()


def profile_read(world: ClusterWorld) -> str | None:
    """What this rollout's numbers are read by; None while they are not."""
    places = world._fleets[PROMETHEUS].places(KEY)
    return places.profile if places else None


def test_the_best_witness_is_read_at_once_and_said_once_it_is_known() -> None:
    """A leader that takes over must see a canary that broke at its first tick, and not after a look around."""

    async def story() -> None:
        told: list[str] = []
        looker = Looker(Choice("envoy-gateway", "it is scraped"))
        async with a_world(looker, told) as world:
            world.open(plan(), NAMESPACE)
            assert profile_read(world) == "envoy-gateway"
            assert told == []
            looker.may_say.set()
            await asyncio.sleep(0.1)
        assert told == ["Numbers are read by the metrics profile envoy-gateway: it is scraped."]

    play(story())


def test_another_that_is_found_takes_its_place_as_long_as_nothing_was_counted() -> None:
    async def story() -> None:
        told: list[str] = []
        looker = Looker(Choice("istio", "a mesh counts"))
        async with a_world(looker, told) as world:
            world.open(plan(), NAMESPACE)
            looker.may_say.set()
            await asyncio.sleep(0.1)
            assert profile_read(world) == "istio"
        assert told == ["Numbers are read by the metrics profile istio: a mesh counts."]

    play(story())
