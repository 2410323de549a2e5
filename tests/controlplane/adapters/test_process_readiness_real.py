"""Slow, hung and stopped servers behind a real Envoy: which of them is lost."""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from canary.spec.models import ReadinessProbe, Variant
from canary.weights import ALL_CANARY, ARMS, Arm
from controlplane.adapters.envoy import EnvoyRouter
from controlplane.adapters.envoy_process import EnvoyProcess
from controlplane.adapters.process_readiness import Answered, Failure, Probes
from controlplane.adapters.process_replica import StartPace
from controlplane.adapters.processes import ProcessPlatform
from controlplane.private_files import read_json
from tests.controlplane.adapters.upstreams import load
from tests.controlplane.adapters.waiting import PATIENCE_S, until
from tests.patience import now

pytestmark = pytest.mark.real
SERVER = str(Path(__file__).with_name("busy_server.py"))
HASTY = ReadinessProbe(timeout=0.15, period=0.1, failures=2)
"""Far less patient than the servers of these tests are slow."""


class World:
    """Two servers behind an Envoy that asks the canary alone, and the probes that failed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed = 0
        self.lost: set[Arm] = set()
        self.router = EnvoyRouter(folder / "envoy", listen="127.0.0.1:0", now=now, patience_s=PATIENCE_S)
        self.platform = ProcessPlatform(
            folder,
            now=time.time,
            pace=StartPace(probe_every_s=0.05, notice_s=0.0, grace_s=0.0),
            answered=self.router.answered,
            on_change=self._note,
        )

    async def start(self) -> None:
        """Until both are ready."""
        for arm in ARMS:
            command = (sys.executable, SERVER, "{port}", arm)
            await self.platform.run(arm, Variant(name=arm, command=command, ready=HASTY))
        await until(lambda: all(self.platform.endpoints()[arm] for arm in ARMS))
        self.lost.clear()
        await self.router.set_endpoints(self.platform.addresses(), self.platform.endpoints())
        await self.router.set_weights(ALL_CANARY)

    def tell(self, arm: Arm, number: int) -> None:
        """Send a signal to a server."""
        os.kill(int(read_json(self.folder / "processes.json")[f"{arm}-0"]["pid"]), number)

    async def until_failed(self, more: int) -> None:
        """Until so many more probes have failed."""
        enough = self.failed + more
        await until(lambda: self.failed >= enough)

    def _note(self) -> None:
        self.lost |= {arm for arm in ARMS if not self.platform.endpoints()[arm]}


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    """Both servers under way; nothing is left of it afterwards."""
    made, decide = World(tmp_path), Probes.lost

    def counted(probes: Probes, failure: Failure, now: Answered | None, on_time: Callable[[float], bool]) -> bool:
        made.failed += 1
        return decide(probes, failure, now, on_time)

    async with made.platform, made.router:
        await made.start()
        monkeypatch.setattr(Probes, "lost", counted)
        yield made
        await made.platform.close()
    await EnvoyProcess(tmp_path / "envoy", print).stop_left_behind(grace_s=0.0)


async def test_a_canary_whose_probes_are_late_is_not_lost_while_it_answers_requests(world: World) -> None:
    async with load(world.router.address, connections=8) as answers:
        await until(lambda: answers.total > 8)
        await world.until_failed(12)
        assert world.lost == set()
    assert answers.failed == []


async def test_a_canary_that_answers_nothing_any_more_is_lost_while_stable_is_on_time(world: World) -> None:
    world.tell("canary", signal.SIGSTOP)
    await until(lambda: world.lost == {"canary"})
    world.tell("canary", signal.SIGCONT)
    await until(lambda: bool(world.platform.endpoints()["canary"]))
    assert world.lost == {"canary"}


async def test_nobody_is_lost_while_the_probes_of_both_are_late(world: World) -> None:
    """As when the machine is suspended for a while: neither has done anything."""
    for arm in ARMS:
        world.tell(arm, signal.SIGSTOP)
    await world.until_failed(12)
    assert world.lost == set()
    world.tell("stable", signal.SIGCONT)
    await until(lambda: world.lost == {"canary"})


async def test_a_process_that_ends_is_lost_at_once(world: World) -> None:
    world.tell("canary", signal.SIGKILL)
    await until(lambda: world.lost == {"canary"})
    assert world.failed <= HASTY.failures
