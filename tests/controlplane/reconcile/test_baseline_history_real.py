"""Two rollouts one after the other, for real: the second knows what its stable variant did as the canary before it."""

import asyncio
import random
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.adapters.prometheus_server import MISSING, find_prometheus
from controlplane.program import stop_all
from controlplane.sample.load import SampleLoad
from tests.controlplane.real import FAST, SERVER, LeftBehind, running, write_plan

pytestmark = pytest.mark.real
NOISY = [*SERVER, *FAST, "--error-rate", "0.1"]
"""One request in ten fails: then a moment shows how much that varies."""


def loading(until: Path) -> list[str]:
    """The same, which takes longer to load than the past takes to read, as real models do: until this file is there."""
    return ["sh", "-c", f"while [ ! -e {until} ]; do sleep 0.1; done; exec {shlex.join(NOISY)}"]


@pytest.mark.timeout(600)
async def test_a_margin_below_the_noise_of_the_earlier_winner_is_said_at_the_start(tmp_path: Path) -> None:
    """The winner's processes serve on and are stable now; Prometheus remembers them as the canary of the first run."""
    if find_prometheus() is None:
        pytest.skip(MISSING)
    state = tmp_path / "state"
    first = [{"traffic": "50%", "hold": "25s"}, {"traffic": "100%", "hold": "2s"}]
    with LeftBehind(state):
        plan = _plan(tmp_path, "v1", "v2", stages=first)
        async with running(plan, state, "--keep") as run:
            await _with_users(run, "end")
            assert await run.end() == 0
        gates = ["error_rate not worse than stable by 2%"]
        stages: list[dict[str, Any]] = [{"traffic": "50%", "hold": "300s", "gates": gates}, first[1]]
        loaded = tmp_path / "loaded"
        plan = _plan(tmp_path, "v2", "v3", stages=stages, tried=loading(loaded))
        async with running(plan, state) as run:
            said = await run.until(reason="NoiseFloor")
            assert said["phase"] in {"Pending", "Preparing"}
            assert said["message"].startswith("Your 2 % limit is below the ")
            assert said["evidence"]["noise"] > 0.02
            loaded.touch()
            await run.until(event="phase", phase="Analyzing")
            run.process.terminate()
            await run.end()
        await stop_all(state)


def _plan(folder: Path, stable: str, canary: str, stages: list[dict[str, Any]], tried: Sequence[str] = NOISY) -> Path:
    """Both variants fail as often and differ in what they are told in their environment."""
    file = write_plan(folder, stable=NOISY, canary=tried, metrics="prometheus", stages=stages)
    plan = yaml.safe_load(file.read_text())
    for role, name in (("stable", stable), ("canary", canary)):
        plan["spec"][role] |= {"name": name, "env": {"VARIANT": name}}
    file.write_text(yaml.safe_dump(plan))
    return file


async def _with_users(run: Any, event: str) -> None:
    host, port = (await run.address()).rsplit(":", 1)
    stop, load = asyncio.Event(), SampleLoad(host, int(port), rate=150, chance=random.Random(1))
    async with asyncio.TaskGroup() as users:
        users.create_task(load.run(stop))
        await run.until(event=event)
        stop.set()
