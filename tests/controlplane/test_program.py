"""The whole program with alert channels, for real: processes, Envoy, requests, and a server that is told."""

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controlplane import private_files
from controlplane.adapters.envoy_config import addresses_in
from controlplane.private_files import read_json
from controlplane.program import stop_all
from controlplane.sample.load import SampleLoad
from tests.controlplane.adapters.waiting import until
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.other_user import exposed, open_to_all, readable
from tests.controlplane.real import LeftBehind, running, write_plan

pytestmark = pytest.mark.real


async def test_a_rollback_is_told_once_in_the_words_of_the_history(tmp_path: Path) -> None:
    """Another channel whose secret is missing is said before the rollout and changes nothing."""
    first: dict[str, Any] = {"traffic": "50%", "hold": "60s", "gates": ["error_rate <= 10%"]}
    state = tmp_path / "state"
    address = tmp_path / "address"
    slack = {"slack": {"urlFrom": {"secret": "slack", "key": "url"}}, "on": ["promoted"]}
    async with Receiver() as hook:
        address.write_text(f"{hook.url()}\n")
        alerts = [slack, {"webhook": {"urlFrom": {"file": str(address)}}}]
        with LeftBehind(state):
            async with running(write_plan(tmp_path, stages=[first, {"traffic": "100%"}], alerts=alerts), state) as run:
                await run.until(event="phase", phase="Analyzing")
                host, port = (await run.address()).rsplit(":", 1)
                stop, load = asyncio.Event(), SampleLoad(host, int(port), rate=150, chance=random.Random(1))
                async with asyncio.TaskGroup() as users:
                    users.create_task(load.run(stop))
                    await _make_the_canary_fail(state)
                    await run.until(event="end")
                    stop.set()
                assert await run.end() == 1
    decided = next(event for event in run.events if event["phase"] == "RollingBack" and event["event"] == "phase")
    end = run.events[-1]
    assert end["decided"] <= end["zero"]
    (told,) = [got.json["data"] for got in hook.got]
    assert told["key"] == "real/1/rolledBack"
    assert told["sentence"] == decided["message"]
    assert told["facts"]["Traffic"] == end["message"]
    assert told["facts"]["Gate"] == decided["evidence"]["gate"]
    assert told["facts"]["Lost by shifts"] == "0"
    assert told["commands"][0] == f"serinus history real --state {state}"
    assert any("Alerts to slack (slack/url) cannot be sent as it is" in sentence for sentence in run.said)


async def test_s7_another_user_reads_nothing_of_a_rollout_and_an_open_state_is_closed_at_the_next_start(
    tmp_path: Path,
) -> None:
    """With real programs and a umask that lets everybody in; a kill leaves all the files that there ever are."""
    before = os.umask(0)
    plan = write_plan(
        tmp_path,
        stages=[{"traffic": "50%", "hold": "60s"}, {"traffic": "100%"}],
        metrics="auto",
        alerts=[{"slack": {"urlFrom": {"secret": "slack", "key": "url"}}}],
    )
    try:
        with open_to_all() as shared, LeftBehind(shared / "state"):
            state = shared / "state"
            async with running(plan, state) as run:
                await run.until(event="phase", phase="Analyzing")
                await until((state / "live.json").exists)
                run.kill()
                await run.end()
            assert readable(state) == []
            assert exposed(state) == []
            assert [child.name for child in state.iterdir() if not private_files._is_ours(child.name)] == []
            for path in (state, *state.rglob("*")):
                path.chmod(0o777 if path.is_dir() else 0o666)
            assert "serinus.db" in readable(state)
            async with running(plan, state) as run:
                await run.until(event="phase", phase="Analyzing")
                assert readable(state) == []
                assert exposed(state) == []
            await stop_all(state)
    finally:
        os.umask(before)


async def _make_the_canary_fail(state: Path) -> None:
    canary = addresses_in(read_json(state / "envoy" / "clusters.json"))["canary-0"]
    async with httpx2.AsyncClient(timeout=60) as client:
        (await client.post(f"http://{canary}/knobs", json={"error_rate": 0.8})).raise_for_status()
