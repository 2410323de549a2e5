"""Whole rollouts on this machine, for real: a canary that fails a tenant, and one that would hide that it fails."""

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controlplane.adapters.envoy_config import addresses_in
from controlplane.adapters.prometheus_server import MISSING, find_prometheus
from controlplane.private_files import read_json
from controlplane.sample.load import SampleLoad
from tests.controlplane.real import LeftBehind, running, write_plan

pytestmark = pytest.mark.real
TENANTS = ("acme", "bolt", "crux")


@pytest.mark.parametrize("metrics", ["scrape", "prometheus"])
async def test_a_canary_that_fails_one_tenant_is_rolled_back_and_the_tenant_named(tmp_path: Path, metrics: str) -> None:
    """A fifth of all requests fail, which the limit allows; of bolt's it is three in five, which it does not."""
    if metrics == "prometheus" and find_prometheus() is None:
        pytest.skip(MISSING)
    first: dict[str, Any] = {"traffic": "50%", "hold": "60s", "gates": ["error_rate <= 30% per tenant"]}
    state = tmp_path / "state"
    plan = write_plan(tmp_path, stages=[first, {"traffic": "100%"}], metrics=metrics)
    with LeftBehind(state):
        async with running(plan, state) as run:
            host, port = (await run.address()).rsplit(":", 1)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as users:
                for seed, tenant in enumerate(TENANTS):
                    load = SampleLoad(host, int(port), rate=60, tenant=tenant, chance=random.Random(seed))
                    users.create_task(load.run(stop))
                await run.until(event="phase", phase="Analyzing")
                await _fail(state, "bolt")
                await run.until(event="end")
                stop.set()
            assert await run.end() == 1
    decided = next(event for event in run.events if event["phase"] == "RollingBack" and event["event"] == "phase")
    assert decided["reason"] == "GateFailed"
    assert "error rate of tenant bolt" in decided["message"]
    assert run.events[-1]["result"] == "rolled_back"


HIDING = [sys.executable, str(Path(__file__).with_name("hiding_server.py")), "{port}"]


@pytest.mark.parametrize("page", ["good", "bad"])
@pytest.mark.parametrize("metrics", ["scrape", "prometheus"])
async def test_s14_a_canary_cannot_hide_its_outage_behind_its_own_page(tmp_path: Path, metrics: str, page: str) -> None:
    """Every request fails. What the proxy counts of that decides, whatever the canary says of itself."""
    if metrics == "prometheus" and find_prometheus() is None:
        pytest.skip(MISSING)
    first: dict[str, Any] = {"traffic": "50%", "hold": "600s", "gates": ["error_rate <= 5%", "ttft p95 <= 10s"]}
    state = tmp_path / "state"
    plan = write_plan(tmp_path, stages=[first, {"traffic": "100%"}], metrics=metrics, canary=[*HIDING, page])
    with LeftBehind(state):
        async with running(plan, state) as run:
            host, port = (await run.address()).rsplit(":", 1)
            stop = asyncio.Event()
            async with asyncio.TaskGroup() as users:
                users.create_task(SampleLoad(host, int(port), rate=40, chance=random.Random(1)).run(stop))
                await run.until(event="end")
                stop.set()
            assert await run.end() == 1
    decided = next(event for event in run.events if event["phase"] == "RollingBack" and event["event"] == "phase")
    assert decided["reason"] in {"HardStop", "GateFailed"}, "and not that the canary was lost, or the numbers were"
    assert not [event for event in run.events if event["phase"] == "Blind"]
    assert not [said for said in run.said if "bug of ours" in said]


async def _fail(state: Path, tenant: str) -> None:
    """Make the canary fail three in five of this tenant's requests."""
    canary = addresses_in(read_json(state / "envoy" / "clusters.json"))["canary-0"]
    async with httpx2.AsyncClient(timeout=60) as client:
        (await client.post(f"http://{canary}/knobs", json={"tenant_error_rates": {tenant: 0.6}})).raise_for_status()
