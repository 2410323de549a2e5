"""An operator that works for long keeps no more than it needs: objects, tasks, descriptors, and writes to its server.

One rollout that waits for hours, and one life of a ModelCanary after the other, in virtual time. What is compared is
counted and never timed, so that no busy machine can fail it. With SERINUS_PROFILE=nightly it goes on for a day and for
hundreds of lives, and the memory of the process and the processor time of each part are looked at too.
"""

import asyncio
import gc
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import psutil

from controlplane.kubernetes.resources import EVENT, MODEL_CANARY
from controlplane.simulation.clock import play
from tests.controlplane.operator.cluster import GATE, NAME, PLACE, Cluster, a_canary

NIGHTLY = os.environ.get("SERINUS_PROFILE") == "nightly"
PARTS = 6
"""Looks at what is kept. The first two are no yardstick: windows and caches fill, modules are loaded."""
PART_S = 4 * 3600.0 if NIGHTLY else 200.0
"""Seconds between two looks at a rollout that waits; each has a tick."""
LIVES = 50 if NIGHTLY else 3
"""Of a ModelCanary between two looks."""
MOST_MIB = 64
"""That a process may grow by in a night: what is freed is not given back at once."""
WAITING = [{"traffic": "5%", "hold": "1000h", "gates": [GATE]}, {"traffic": "100%"}]


@dataclass(frozen=True)
class Kept:
    """What there is at one moment."""

    ours: Counter[str]
    """Objects of our own types."""
    everything: int
    """Objects that the collector knows."""
    tasks: int
    descriptors: int
    version: int
    """Of the API server: it counts writes."""
    rss: int
    """Bytes."""
    cpu: float
    """Seconds of processor time."""


async def kept(cluster: Cluster) -> Kept:
    """Without what can be collected, and what a real API server has on its disk: versions before, old Events."""
    for namespace, name in list(cluster.kube.objects(EVENT)):
        await cluster.kube.acting_as("kubectl").delete(EVENT, namespace, name)
    cluster.kube.server.compact()
    cluster.said.clear()
    cluster.gateway.splits.clear()
    gc.collect()
    everything = gc.get_objects()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in everything)
    process = psutil.Process()
    return Kept(
        Counter(name for name in names if name.startswith(("canary.", "controlplane."))),
        len(everything),
        len(asyncio.all_tasks()),
        process.num_fds(),
        cluster.kube.server.version,
        process.memory_info().rss,
        time.process_time(),
    )


def assert_level(looks: list[Kept], steps: float) -> None:
    """From the third look on nothing grows. `steps`: ticks or lives between two looks."""
    first, last = looks[2], looks[-1]
    grown = {name: count for name, count in (last.ours - first.ours).items() if count >= PARTS}
    assert grown == {}
    assert last.everything - first.everything < (PARTS - 3) * steps
    assert abs(last.tasks - first.tasks) < PARTS
    assert last.descriptors <= first.descriptors
    writes = [later.version - earlier.version for earlier, later in pairwise(looks)]
    assert max(writes[2:]) <= 1.1 * writes[1] + PARTS
    if NIGHTLY:
        seconds = [later.cpu - earlier.cpu for earlier, later in pairwise(looks)]
        assert min(seconds[3:]) < 1.5 * min(seconds[:3])
        assert last.rss - first.rss < MOST_MIB * 1024 * 1024


@asynccontextmanager
async def operated() -> AsyncIterator[Cluster]:
    """A cluster with an operator at work."""
    cluster, stop = Cluster(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        living = tasks.create_task(cluster.live())
        tasks.create_task(cluster.operator().run(stop))
        yield cluster
        stop.set()
        living.cancel()


def test_r9_a_rollout_that_waits_for_hours_keeps_nothing_of_its_ticks() -> None:
    looks: list[Kept] = []

    async def story() -> None:
        async with operated() as cluster:
            await cluster.kube.acting_as("kubectl").apply(MODEL_CANARY, a_canary(stages=WAITING))
            for _ in range(PARTS):
                await asyncio.sleep(PART_S)
                looks.append(await kept(cluster))
                assert cluster.status()["phase"] == "Analyzing"
            await cluster.ask("abort")
            await cluster.until(cluster.at_rest)

    play(story())
    assert_level(looks, PART_S / 10)


def test_r9_nothing_is_kept_of_rollouts_that_are_gone() -> None:
    """Begun, brought to their end and deleted, one after the other."""
    looks: list[Kept] = []

    async def story() -> None:
        async with operated() as cluster:
            kubectl = cluster.kube.acting_as("kubectl")
            for _ in range(PARTS):
                for life in range(LIVES):
                    cluster.numbers.broken = life % 2 == 1
                    await kubectl.apply(MODEL_CANARY, a_canary())
                    await cluster.until(cluster.at_rest)
                    await kubectl.delete(MODEL_CANARY, PLACE, NAME)
                    await cluster.until(lambda: (PLACE, NAME) not in cluster.kube.objects(MODEL_CANARY), 600)
                    cluster.numbers.broken = False
                await asyncio.sleep(300)
                looks.append(await kept(cluster))

    play(story())
    assert_level(looks, 20 * LIVES)
