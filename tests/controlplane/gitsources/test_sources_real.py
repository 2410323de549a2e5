"""Webhooks of GitSources, and how many a namespace may have; with real git over HTTP."""

import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controlplane.adapters.system_clock import SystemClock
from controlplane.gitsources.machine_quota import MachineQuota, Quota
from controlplane.kubernetes.resources import GIT_SOURCE, SECRET
from tests.controlplane.gitops.deliveries import push, signed
from tests.controlplane.gitsources.estate import HOOK, NAMESPACE, SOURCE, Estate, estate


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Estate]:
    async with estate(tmp_path) as made:
        yield made


async def test_a_webhook_at_any_replica_lets_the_leader_look(town: Estate) -> None:
    """It is checked with the secret of that source, and noted on the resource; the interval is an hour."""
    async with town.operator():
        await town.follow(interval="1h")
        await town.until(lambda: town.condition("Ready")[1] == "Empty")
        town.commit(chat="slow1")
        body = push("github")
        hook = await town.sources.find(f"/{NAMESPACE}/{SOURCE}")
        assert hook is not None
        forged = hook.verifier.answer(signed("github", body, at=0, secret="another one, long enough"), body, 0.0)
        assert not forged.fetch
        assert hook.verifier.answer(signed("github", body, at=0, secret=HOOK), body, 0.0).fetch
        await hook.fetch()
        await town.until(lambda: town.clerk.began == ["chat slow1"])
        assert await town.sources.find("/models/none") is None
        await town.kube.delete(GIT_SOURCE, NAMESPACE, SOURCE)
        await town.until(lambda: town.sources.cache.get(NAMESPACE, SOURCE) is None)
        assert await town.sources.find(f"/{NAMESPACE}/{SOURCE}") is None
        assert town.canary("chat")["spec"]["canary"]["name"] == "slow1"


async def test_r14_a_secret_that_was_replaced_opens_nothing_longer_because_a_clock_was_set_back(
    town: Estate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with town.operator():
        await town.follow(interval="1h")
        await town.until(lambda: town.condition("Ready")[1] == "Empty")
        assert await town.sources.find(f"/{NAMESPACE}/{SOURCE}")
        replaced = base64.b64encode(b"a new one, which is long enough").decode()
        secret = town.kube.objects(SECRET)[NAMESPACE, "git"]
        town.kube.seed(SECRET, {**secret, "data": {**secret["data"], "webhook": replaced}})
        monkeypatch.setattr(SystemClock, "now", lambda _self: time.time() - 8 * 3600.0)
        hook = await town.sources.find(f"/{NAMESPACE}/{SOURCE}")
        assert hook is not None
        body = push("github")
        assert not hook.verifier.answer(signed("github", body, at=0, secret=HOOK), body, 0.0).fetch


async def test_s14_a_namespace_is_followed_in_so_many_repositories_and_the_oldest_of_them(town: Estate) -> None:
    """Whoever makes one more is told; it is followed once there is room, and its copy goes with it."""
    town.quota = Quota(sources=1)
    town.commit(chat="v1")
    async with town.operator():
        await town.follow("a-first")
        await town.until(lambda: town.condition("Ready", "a-first")[1] == "UpToDate")
        await town.follow("b-second", paths=["none/*.yml"])
        await town.until(lambda: town.condition("Ready", "b-second")[1] == "TooMany")
        assert "the oldest 1 are followed" in town.condition("Ready", "b-second")[2]
        room = MachineQuota(town.folder / "cache", town.quota)
        assert room.folder((NAMESPACE, "a-first")).exists()
        assert not room.folder((NAMESPACE, "b-second")).exists()
        await town.kube.acting_as("kubectl").delete(GIT_SOURCE, NAMESPACE, "a-first")
        await town.until(lambda: town.condition("Ready", "b-second")[1] == "UpToDate")
        await town.until(lambda: not room.folder((NAMESPACE, "a-first")).exists())
