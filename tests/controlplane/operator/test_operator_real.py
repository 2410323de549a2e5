"""Operators as processes of their own, on an API server that this process serves: what the system can do to them."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.scale_prometheus import FakePrometheus
from controlplane.adapters.system_clock import SystemClock
from controlplane.kubernetes.resources import GATEWAY, HTTP_ROUTE, LEASE, MODEL_CANARY, NAMESPACE
from controlplane.operator.settings import LEASE_NAME
from testing.fake_apiserver.kube import MemoryKube
from tests.controlplane.gateway.world import Controller
from tests.controlplane.kserve.fake_kserve import FakeKServe
from tests.controlplane.kubernetes.served import Asked, MemoryApi, listening
from tests.controlplane.operator.cluster import NAME, PLACE, a_canary
from tests.controlplane.real import Run, program

HOME = "serinus"
STAGES = [
    {
        "traffic": "5%",
        "hold": "1h",
        "gates": [{"metric": "error_rate", "max": "5%", "test": "threshold", "failures": 0}],
    },
    {"traffic": "100%"},
]


class World:
    """The API server, and everything that a cluster does by itself."""

    def __init__(self) -> None:
        self.kube = MemoryKube(SystemClock())
        self.api = MemoryApi(self.kube)
        for name in (PLACE, HOME):
            self.kube.seed(NAMESPACE, {"metadata": {"name": name}})
        self.kube.seed(GATEWAY, {"metadata": {"name": "kserve-ingress-gateway", "namespace": "kserve"}})
        self.prometheus = FakePrometheus()
        self._kserve = FakeKServe(self.kube)
        self._gateway = Controller(self.kube.acting_as("gateway-controller"))
        self._changed = asyncio.Condition()

    async def live(self) -> None:
        """What goes on by itself."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._gateway.run())
            while True:
                self._kserve.step()
                await asyncio.sleep(0.2)

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until this is so, for as long as it takes."""
        while not what():  # noqa: ASYNC110 - the fact is in the server
            await asyncio.sleep(0.05)

    def leader(self) -> str:
        """Whose lease it is."""
        lease = self.kube.objects(LEASE).get((HOME, LEASE_NAME)) or {"spec": {}}
        return str(lease["spec"].get("holderIdentity", "")).partition("-")[0]

    def status(self) -> dict[str, Any]:
        """Of the ModelCanary."""
        return (self.kube.objects(MODEL_CANARY).get((PLACE, NAME)) or {}).get("status") or {}

    def weight(self) -> int:
        """The canary's, in the route."""
        route = self.kube.objects(HTTP_ROUTE).get((PLACE, NAME))
        backends = route["spec"]["rules"][0]["backendRefs"] if route else []
        return sum(each["weight"] for each in backends if "-v2-" in each["name"])

    def asked_by(self, name: str, since: int = 0) -> list[tuple[Asked, int]]:
        """Requests of one operator with the status of each answer."""
        return [each for each in self.api.asked[since:] if each[0].token == name]


@asynccontextmanager
async def operator(name: str, host: str, prometheus: str, folder: Path) -> AsyncIterator[Run]:
    """`serinus controller --cluster`, known to the server by its token; killed at the end of the block."""
    config = folder / f"{name}.yml"
    config.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": "served", "user": name}}],
                "clusters": [{"name": "served", "cluster": {"server": host}}],
                "users": [{"name": name, "user": {"token": name}}],
            }
        )
    )
    command = ("controller", "--cluster", "--kubeconfig", str(config), "--prometheus", prometheus, "--interval", "1s")
    async with program(folder, *command, env={"POD_NAME": name, "POD_NAMESPACE": HOME}) as run:
        yield run


@pytest.mark.real
async def test_r2_a_leader_that_was_frozen_past_its_lease_writes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    """Stopped by SIGSTOP while its rollout is at 5 %. The canary breaks, the other one takes over and rolls back."""
    world = World()
    await world.prometheus.open()
    world.prometheus.add(f"{PLACE}/{NAME}", canary_rate=100.0, stable_rate=1900.0)
    async with listening(world.api) as host, asyncio.TaskGroup() as tasks:
        living = tasks.create_task(world.live())
        async with operator("first", host, world.prometheus.url, tmp_path) as first:
            await world.until(lambda: world.leader() == "first")
            await world.kube.acting_as("kubectl").apply(
                MODEL_CANARY, a_canary(stages=STAGES, fingerprint={"policy": "ignore"})
            )
            await world.until(lambda: world.status().get("phase") == "Analyzing")
            async with operator("second", host, world.prometheus.url, tmp_path):
                await world.until(lambda: any("/modelcanaries" in asked.path for asked, _ in world.asked_by("second")))
                first.process.send_signal(signal.SIGSTOP)
                world.prometheus.fail(f"{PLACE}/{NAME}", 1.0)
                await world.until(lambda: world.leader() == "second")
                await world.until(lambda: world.status().get("result") == "rolled_back")
                frozen = len(world.api.asked)
                first.process.send_signal(signal.SIGCONT)
                await first.until_said("no longer leads")
                await world.until(lambda: any("/leases/" in asked.path for asked, _ in world.asked_by("first", frozen)))
                written = [
                    (asked.method, asked.path)
                    for asked, status in world.asked_by("first", frozen)
                    if asked.writes and status < 300
                ]
                assert written == []
                assert (world.leader(), world.status()["fence"]) == ("second", 2)
        living.cancel()
    await world.prometheus.close()
