"""A real Prometheus on a small disk that fills up: numbers go on, and the cause and its end are said once each."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from canary.weights import Arm
from controlplane.adapters.prometheus import PrometheusSource
from controlplane.adapters.prometheus_api import PrometheusApi
from controlplane.adapters.prometheus_local import LocalPrometheus
from controlplane.adapters.prometheus_server import MISSING, PrometheusServer, find_prometheus
from controlplane.adapters.system_clock import SystemClock
from tests.controlplane.adapters.test_prometheus_history_real import Growing
from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.small_disk import fill, mounted

pytestmark = pytest.mark.real
INTERVAL = 0.2
NAMES: dict[Arm, str] = {"stable": "v1", "canary": "v2"}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Six megabytes."""
    with mounted(tmp_path / "disk", 6) as made:
        yield made


@asynccontextmanager
async def opened(disk: Path, said: list[str]) -> AsyncIterator[LocalPrometheus]:
    """The source with its data on that disk."""
    program = find_prometheus()
    if program is None:
        pytest.skip(MISSING)
    async with Growing() as page:
        server = PrometheusServer(
            disk / "prometheus",
            program=program,
            envoy=lambda: page.address,
            pages=lambda: {"stable": {}, "canary": {}},
            names=NAMES,
            interval=INTERVAL,
        )
        query = PrometheusSource(
            PrometheusApi("http://127.0.0.1:0", seconds=PATIENCE_S), interval=INTERVAL, names=NAMES
        )
        source = LocalPrometheus(server, query, clock=SystemClock(), interval=INTERVAL, say=said.append)
        try:
            yield source
        finally:
            await source.close()


async def read_until_said(source: LocalPrometheus, said: list[str], count: int) -> None:
    """Read on until so many sentences were said; every reading is there, is of now, and counts more than the last."""
    last = 0.0
    async with asyncio.timeout(PATIENCE_S):
        while len(said) < count:
            counters = await source.read()
            requests = counters.arms["canary"]["canary-0"].requests
            assert requests is not None
            assert requests >= last
            assert abs(time.time() - counters.at) < PATIENCE_S
            last = requests
            await asyncio.sleep(INTERVAL)


async def test_a_disk_that_fills_up_blinds_nobody_and_is_said_with_its_folder(disk: Path) -> None:
    said: list[str] = []
    async with opened(disk, said) as source:
        async with asyncio.timeout(PATIENCE_S):
            while source._newest is None:
                await source.read()
                await asyncio.sleep(INTERVAL)
        filler = fill(disk)
        await read_until_said(source, said, 1)
        assert f"the disk of {disk / 'prometheus'} is full" in said[0]
        assert f"Free some space for {disk / 'prometheus'}; it goes on by itself." in said[0]
        filler.unlink()
        await read_until_said(source, said, 2)
        assert said[1] == "Prometheus stores what it scrapes again, and is read again."


async def test_a_disk_that_is_full_at_the_start_blinds_nobody(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("controlplane.adapters.prometheus_local.STARTS_WITHIN_S", 3.0)
    fill(disk)
    said: list[str] = []
    async with opened(disk, said) as source:
        await read_until_said(source, said, 1)
        assert f"the disk of {disk / 'prometheus'} is full" in said[0]
        assert source._newest is None
