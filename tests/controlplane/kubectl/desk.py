"""A person at a terminal: kubectl canary on an API server in memory, with rollouts that a real operator has played.

The operator runs in virtual time (`tests.controlplane.operator.town`); what it left is put before the plugin.
"""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from click.testing import CliRunner, Result

from controlplane.adapters.system_clock import SystemClock
from controlplane.kubectl.main import canary
from controlplane.kubectl.session import KubectlSession, Where
from controlplane.kubernetes.api import Object
from controlplane.kubernetes.resources import EVENT, MODEL_CANARY, NAMESPACE, ROLLOUT_HISTORY
from controlplane.simulation.clock import EPOCH, play
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.operator.town import PLACE, Office, Town, a_canary, a_spec

KINDS = (MODEL_CANARY, ROLLOUT_HISTORY, EVENT)
NOW = EPOCH + 3600
PERSON = "ann@example.com"


async def broken(town: Town) -> None:
    """A canary that begins to fail in its second stage."""
    await town.apply()
    await town.until(lambda: town.status().get("stage") == 1)
    town.place().broken_since = town.clock.now()
    await town.until(town.at_rest)


async def good(town: Town) -> None:
    """A canary that is promoted."""
    await town.apply()
    await town.until(town.at_rest)


async def under_way(town: Town) -> None:
    """A canary in its first stage."""
    stages: list[dict[str, Any]] = [{"traffic": "5%", "hold": "1h", "gates": ["error_rate <= 5%"]}, {"traffic": "100%"}]
    await town.apply(spec=a_spec(stages=stages))
    await town.until(lambda: town.status().get("phase") == "Analyzing")


async def faulty(town: Town) -> None:
    """A spec that the operator refuses."""
    await town.apply(spec=a_spec() | {"sticky": {"header": "x-user"}})
    await town.until(lambda: bool(town.status().get("conditions")))


@functools.cache
def left_by(story: Callable[[Town], Coroutine[Any, Any, None]]) -> tuple[tuple[Object, ...], ...]:
    """Everything that the operator left in the cluster after this story, by kind."""

    async def played() -> tuple[tuple[Object, ...], ...]:
        town = Town()
        office = town.office()
        async with asyncio.TaskGroup() as tasks:
            living = tasks.create_task(office.live())
            await story(town)
            await asyncio.sleep(5)  # Events and the history are written at leisure.
            living.cancel()
        return tuple(tuple(town.kube.objects(kind).values()) for kind in KINDS)

    return play(played())


@dataclass
class Desk:
    """One API server, and what is typed at it."""

    kube: MemoryKube

    def __call__(self, *words: str, typed: str | None = None) -> Result:
        """Run `kubectl canary` with these words."""
        return CliRunner().invoke(canary, list(words), obj=self.open, input=typed, prog_name="kubectl canary")

    def open(self, where: Where) -> KubectlSession:
        """A session as the kubeconfig would give it."""
        return session(self.kube, where)


def session(kube: MemoryKube, where: Where = Where(), now: Callable[[], float] = lambda: NOW) -> KubectlSession:  # noqa: B008 - frozen
    """A connection to this server as the person."""
    return KubectlSession(
        kube=kube,
        namespace=where.namespace or PLACE,
        everywhere=where.all_namespaces,
        person=PERSON,
        server="memory",
        now=now,
        spoken=f" -n {where.namespace}" if where.namespace else "",
    )


def desk(*stories: Callable[[Town], Coroutine[Any, Any, None]]) -> Desk:
    """A server with what these stories left; rollouts are called chat, chat-2 and so on only in what is read off."""
    kube = MemoryKube(SystemClock())
    kube.seed(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}})
    for story in stories:
        for kind, objects in zip(KINDS, left_by(story), strict=True):
            kube.seed(kind, *objects)
    return Desk(kube)


__all__ = ["NOW", "PERSON", "PLACE", "Desk", "Office", "Town", "a_canary", "a_spec", "broken", "desk", "faulty", "good"]
