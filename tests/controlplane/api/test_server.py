"""A real `serinus run` seen and ended over HTTP: nothing between the browser's end and Envoy is played."""

import asyncio
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.controlplane.adapters.waiting import PATIENCE_S
from tests.controlplane.api.serving import serving
from tests.controlplane.real import LeftBehind, running, write_plan

STAGES = [{"traffic": "5%", "hold": "60s"}, {"traffic": "100%", "hold": "60s"}]


@pytest.mark.real
async def test_a_real_rollout_is_watched_and_aborted_over_http(tmp_path: Path) -> None:
    """Readiness and the weight in force are those that the loop sees; the loop answers what was asked for."""
    plan, home = write_plan(tmp_path, stages=STAGES), tmp_path / "states"
    with LeftBehind(home / "real"), serving(home) as served:
        headers = {"authorization": f"Bearer {served.keys.token}"}
        async with (
            running(plan, home / "real") as run,
            httpx2.AsyncClient(base_url=served.url, headers=headers, timeout=PATIENCE_S) as client,
        ):
            await run.until(event="phase", phase="Analyzing")
            state = await _state_where(client, "Analyzing")
            assert state["controller"]["running"]
            assert [(arm["arm"], arm["in_force"]["text"], arm["ready"]) for arm in state["arms"]] == [
                ("stable", "95 %", 1),
                ("canary", "5 %", 1),
            ]
            asked = await client.post("/api/v1/rollouts/real/requests", json={"verb": "abort"})
            assert asked.status_code == 202
            answer = await run.until(event="operator")
            assert (answer["evidence"]["id"], answer["evidence"]["by"]) == (asked.json()["id"], "ada")
            end = await run.until(event="end")
            assert end["result"] == "aborted"
            state = await _state_where(client, "RolledBack")
            assert state["sentence"] == "ada aborted: everything goes back to stable."
            series = (await client.get("/api/v1/rollouts/real/series")).json()
            assert series["source"] == "samples"
            assert 0.05 in series["in_force"]
            assert await run.end() == 1


async def _state_where(client: httpx2.AsyncClient, phase: str) -> dict[str, Any]:
    """The state as soon as it is in this phase and somebody has looked since."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            state = (await client.get("/api/v1/rollouts/real")).json()["state"]
            if state["phase"] == phase and (state["finished"] or state["arms"][1]["in_force"]["value"]):
                return dict(state)
            await asyncio.sleep(0.1)
