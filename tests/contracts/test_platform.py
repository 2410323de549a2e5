"""What every platform promises, asked of the one in memory, of real processes and of KServe's (over a fake KServe)."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from canary.spec.models import Profile, Variant
from canary.weights import Arm
from controlplane.adapters.process_replica import StartPace
from controlplane.adapters.processes import ProcessPlatform
from controlplane.kserve.llm import LlmPlatform
from controlplane.kserve.standard import KServeStandard
from testing.memory_adapters import MemoryPlatform
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.kserve.worlds import llm_platform, standard_platform
from tests.patience import now

Platform = MemoryPlatform | ProcessPlatform | KServeStandard | LlmPlatform
SERVER = str(Path(__file__).parents[1] / "controlplane" / "adapters" / "small_server.py")
QUICK = StartPace(
    look_every_s=0.02,
    probe_every_s=0.03,
    notice_s=0.0,
    pause_s=0.05,
    grace_s=PATIENCE_S,
)


@pytest.fixture(params=["memory", "kserve", "kserve-llm", pytest.param("processes", marks=pytest.mark.real)])
async def platform(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Platform]:
    if request.param == "memory":
        yield MemoryPlatform(now, ready_after_s=0.05)
        return
    if request.param == "kserve":
        async with standard_platform(load_s=0.05) as standard:
            yield standard
        return
    if request.param == "kserve-llm":
        async with llm_platform(load_s=0.05) as llm:
            yield llm
        return
    async with ProcessPlatform(tmp_path, now=now, pace=QUICK) as processes:
        yield processes
        await processes.close()


def variant(name: str, replicas: int = 1) -> Variant:
    """One that a machine can start by its command, and a cluster by its GPUs."""
    command = (sys.executable, SERVER, "{port}")
    return Variant(name=name, command=command, env={"NAME": name}, replicas=replicas, profile=Profile(gpu="L40S"))


async def until_ready(platform: Platform, arm: Arm, replicas: int = 1) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while (await platform.seen())[arm].ready < replicas:  # noqa: ASYNC110 - asked of the port, which tells nobody
            await asyncio.sleep(0.01)


async def test_nothing_runs_before_it_is_asked_for(platform: Platform) -> None:
    for seen in (await platform.seen()).values():
        assert (seen.wanted, seen.ready, seen.usable, seen.problem) == (0, 0, False, "not running")
    assert platform.endpoints() == {"stable": {}, "canary": {}}


async def test_run_returns_at_once_and_the_variant_becomes_ready_later(platform: Platform) -> None:
    await platform.run("stable", variant("v1"))
    seen = (await platform.seen())["stable"]
    assert (seen.wanted, seen.ready) == (1, 0)
    assert seen.problem
    assert not platform.endpoints()["stable"]
    await until_ready(platform, "stable")
    seen = (await platform.seen())["stable"]
    assert (seen.wanted, seen.ready, seen.problem, seen.hopeless) == (1, 1, "", False)


async def test_every_replica_has_a_name_and_an_address_of_its_own(platform: Platform) -> None:
    await platform.run("canary", variant("v2", replicas=2))
    await until_ready(platform, "canary", 2)
    endpoints = platform.endpoints()["canary"]
    assert len(endpoints) == 2
    assert len(set(endpoints.values())) == 2
    assert platform.addresses()["canary"] == endpoints
    assert sorted(platform.ready_since()) == sorted(endpoints)


async def test_run_may_be_repeated(platform: Platform) -> None:
    """The loop says it at every pass; nothing is started anew by it."""
    await platform.run("stable", variant("v1"))
    await until_ready(platform, "stable")
    before = (platform.endpoints(), platform.ready_since())
    await platform.run("stable", variant("v1"))
    assert (platform.endpoints(), platform.ready_since()) == before


async def test_the_arms_do_not_touch_each_other(platform: Platform) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not all(seen.ready for seen in (await platform.seen()).values()):
            await platform.run("stable", variant("v1"))  # at every pass, as the loop does:
            await platform.run("canary", variant("v2"))  # a canary may wait until stable has its nodes
            await asyncio.sleep(0.01)
        before = platform.endpoints()["stable"]
        while platform.endpoints()["canary"]:
            await platform.stop("canary")  # a step a call, where it takes more than one
            await asyncio.sleep(0.01)
    assert platform.endpoints() == {"stable": before, "canary": {}}
    seen = await platform.seen()
    assert (seen["stable"].ready, seen["canary"].ready, seen["canary"].wanted) == (1, 0, 0)


async def test_stop_may_be_repeated_and_asked_of_what_never_ran(platform: Platform) -> None:
    await platform.stop("canary")
    await platform.run("canary", variant("v2"))
    await until_ready(platform, "canary")
    await platform.stop("canary")
    await platform.stop("canary")
    assert platform.addresses()["canary"] == {}


async def test_what_was_stopped_can_run_again(platform: Platform) -> None:
    await platform.run("canary", variant("v2"))
    await platform.stop("canary")
    await platform.run("canary", variant("v2"))
    await until_ready(platform, "canary")


async def test_another_variant_takes_the_arm_over(platform: Platform) -> None:
    await platform.run("stable", variant("v1", replicas=2))
    await until_ready(platform, "stable", 2)
    await platform.run("stable", variant("v2"))
    assert (await platform.seen())["stable"].wanted == 1
    await until_ready(platform, "stable")
    assert len(platform.endpoints()["stable"]) == 1


async def test_what_is_seen_carries_its_time(platform: Platform) -> None:
    before = now()
    seen = await platform.seen()
    assert all(before <= of_arm.at <= now() for of_arm in seen.values())
