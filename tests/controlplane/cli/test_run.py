"""`serinus run`, for real: the sample server twice, a real Envoy, real requests; only the times are short."""

import asyncio
import json
import os
import random
import signal
import socket
import sys
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest
import yaml

from controlplane.adapters.envoy_config import addresses_in
from controlplane.adapters.sqlite_store import SqliteStore
from controlplane.private_files import read_json
from controlplane.sample.load import SampleLoad, Stats
from tests.controlplane.real import LeftBehind, running, write_plan

pytestmark = pytest.mark.real

GATES = ["error_rate <= 10%", "latency p95 <= 10s"]
"""The second is judged as any other; how quick a busy machine answers decides nothing here."""

LASTING = [{"metric": "error_rate", "max": "10%", "minSamples": 600}, *GATES[1:]]
"""No stage ends before its users have sent twice as many, so that what a test does to it meanwhile comes in time."""


class Users:
    """Requests to the address of a run, for as long as the block lasts."""

    def __init__(self, address: str, rate: float = 150.0) -> None:
        host, port = address.rsplit(":", 1)
        self._load = SampleLoad(host, int(port), rate=rate, chance=random.Random(1))
        self._stop = asyncio.Event()
        self._tasks = asyncio.TaskGroup()
        self._sending: asyncio.Task[Stats] | None = None

    @property
    def stats(self) -> Stats:
        """What became of the requests so far."""
        return self._load.stats

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        self._sending = self._tasks.create_task(self._load.run(self._stop))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._tasks.__aexit__(None, None, None)

    async def have_sent(self, count: int) -> None:
        """Wait until they have sent so many requests."""
        while self.stats.sent < count:  # noqa: ASYNC110 - the load counts, it does not call
            await asyncio.sleep(0.01)

    async def leave(self) -> None:
        """Send nothing more, and wait for the open answers."""
        self._stop.set()
        if self._sending:
            await self._sending


async def turn_the_canarys_knobs(state: Path, **knobs: float) -> None:
    """The canary gets worse while it runs."""
    address = next(line for line in _addresses(state, "canary"))
    async with httpx2.AsyncClient(timeout=60) as client:
        (await client.post(f"http://{address}/knobs", json=knobs)).raise_for_status()


def _addresses(state: Path, arm: str) -> list[str]:
    clusters = addresses_in(read_json(state / "envoy" / "clusters.json"))
    return [str(address) for name, address in clusters.items() if name.startswith(arm)]


async def test_a_healthy_canary_is_promoted_and_nothing_is_left_running(tmp_path: Path) -> None:
    """Every stage once, in order, judged by its gates; exit code 0."""
    stages = [{"traffic": f"{share}%", "hold": "2s", "gates": GATES} for share in (25, 75)] + [{"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=stages), state) as run:
            await run.until(event="phase", phase="Shifting")
            async with Users(await run.address()) as users:
                await run.until(event="phase", phase="Watching")
                await users.leave()
            assert await run.end() == 0
    assert [event["weight"] for event in run.events if event["event"] == "weights"] == [0.25, 0.75, 1.0]
    end = run.events[-1]
    assert (end["event"], end["result"]) == ("end", "promoted")
    assert end["requests"]["canary"] > 0
    assert end["requests"]["failed_by_shift"] == 0
    assert dict(users.stats.lost) == {}


async def test_a_canary_that_starts_to_fail_is_rolled_back(tmp_path: Path) -> None:
    """Exit code 1; the end says when harm began, when it was decided, and when the canary got nothing."""
    stages: list[dict[str, Any]] = [{"traffic": "50%", "hold": "300s", "gates": GATES}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=stages), state) as run:
            await run.until(event="phase", phase="Analyzing")
            async with Users(await run.address()) as users:
                await users.have_sent(100)
                await turn_the_canarys_knobs(state, error_rate=0.8)
                await run.until(event="end")
            assert await run.end() == 1
    end = run.events[-1]
    assert end["result"] == "rolled_back"
    assert end["decided"] <= end["zero"]
    assert end["requests"]["failed_by_shift"] == 0
    failed = next(event for event in run.events if event["reason"] == "GateFailed" and event["event"] == "phase")
    assert failed["evidence"]["canary"] > failed["evidence"]["limit"]
    assert users.stats.variants["canary"].failures > 0


async def test_a_run_that_is_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    """Killed with -9 at 25 %: traffic goes on, the next run takes over, no stage is repeated or skipped."""
    plan, state = write_plan(tmp_path), tmp_path / "state"
    with LeftBehind(state):
        async with running(plan, state) as run:
            address = await run.address()
            await run.until(event="phase", phase="Analyzing", stage=0)
            async with Users(address) as users:
                await run.until(event="phase", phase="Analyzing", stage=1)
                run.kill()
                await run.end()
                await asyncio.sleep(1)
                async with running(plan, state) as again:
                    assert await again.address() == address
                    await again.until(event="phase", phase="Watching")
                    await users.leave()
                    assert await again.end() == 0
    store = SqliteStore(state / "serinus.db")
    history = await store.history("real")
    await store.close()
    stages = [event.stage for event in history if event.event == "phase" and event.phase in {"Analyzing", "Watching"}]
    assert stages == [0, 1, 2, 3]
    assert [event.id for event in history] == [f"real/1/{number + 1}" for number in range(len(history))]
    assert users.stats.sent > 300
    assert dict(users.stats.lost) == {}


async def test_ctrl_c_puts_everything_back_on_stable_and_leaves(tmp_path: Path) -> None:
    """Without a terminal nobody can be asked, so the safe answer is taken."""
    stages = [{"traffic": "25%", "hold": "300s"}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=stages), state) as run:
            await run.until(event="phase", phase="Analyzing")
            run.process.send_signal(signal.SIGINT)
            assert await run.end() == 1
    assert run.events[-1]["result"] == "aborted"
    assert run.events[-1]["weight"] == 0


async def test_term_leaves_everything_serving_and_stop_ends_it(tmp_path: Path) -> None:
    """A deploy of the control plane must not touch anybody's traffic."""
    stages = [{"traffic": "25%", "hold": "300s"}, {"traffic": "100%"}]
    plan, state = write_plan(tmp_path, stages=stages), tmp_path / "state"
    with LeftBehind(state) as left:
        async with running(plan, state) as run:
            address = await run.address()
            await run.until(event="phase", phase="Analyzing")
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == 3
        async with httpx2.AsyncClient(timeout=60) as client:
            assert (await client.get(f"http://{address}/health")).status_code == 200
        assert len(left.processes()) >= 3
        stop = [sys.executable, "-m", "controlplane.cli.main", "stop", str(plan), "--state", str(state)]
        process = await asyncio.create_subprocess_exec(*stop, stdout=asyncio.subprocess.DEVNULL)
        assert await process.wait() == 0


async def test_a_canary_whose_command_does_not_exist_never_gets_traffic(tmp_path: Path) -> None:
    """One sentence says what is wrong; stable served all the time."""
    plan, state = write_plan(tmp_path, canary=["no-such-server", "{port}"]), tmp_path / "state"
    with LeftBehind(state):
        async with running(plan, state) as run:
            assert await run.end() == 1
    end = run.events[-1]
    assert end["result"] == "failed"
    assert any("no-such-server" in event["message"] and "v2" in event["message"] for event in run.events)
    assert all(event["weight"] == 0 for event in run.events)


async def test_a_canary_that_crashes_at_75_percent_loses_its_traffic(tmp_path: Path) -> None:
    """A process that is gone needs no statistics."""
    stages = [{"traffic": "75%", "hold": "300s"}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=stages), state) as run:
            await run.until(event="phase", phase="Analyzing")
            (records,) = state.rglob("processes.json")
            os.kill(json.loads(records.read_text())["canary-0"]["pid"], signal.SIGKILL)
            assert await run.end() == 1
    assert any(event["reason"] == "CanaryLost" for event in run.events)
    assert run.events[-1]["result"] == "rolled_back"


async def test_an_envoy_that_dies_is_started_again_and_the_rollout_goes_on(tmp_path: Path) -> None:
    """It is said in one sentence, the weights are the same, and nobody is rolled back for it."""
    stages: list[dict[str, Any]] = [{"traffic": "50%", "hold": "2s", "gates": LASTING}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state) as left:
        async with running(write_plan(tmp_path, stages=stages), state) as run:
            await run.until(event="phase", phase="Analyzing")
            async with Users(await run.address()) as users:
                await users.have_sent(50)
                envoy = next(process for process in left.processes() if "envoy" in process.name())
                envoy.kill()
                await run.until_said("started again")
                await run.until(event="phase", phase="Succeeded")
            assert await run.end() == 0


async def test_a_port_that_is_taken_is_said_before_anything_is_judged(tmp_path: Path) -> None:
    """The sentence names the address and what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        state = tmp_path / "state"
        with LeftBehind(state):
            async with running(write_plan(tmp_path, listen=listen), state) as run:
                assert await run.end() in {1, 2}
    assert any(listen.rsplit(":", 1)[1] in sentence for sentence in run.said), run.tell()
    assert not any("Traceback" in sentence for sentence in run.said)


async def test_a_plan_that_this_machine_cannot_carry_out_is_refused_with_every_fault(tmp_path: Path) -> None:
    """Exit code 2, and nothing was started."""
    plan = write_plan(tmp_path, shadow={"for": "1d", "judge": {"kind": "exact"}}, budget={"perDay": "$1"})
    data = yaml.safe_load(plan.read_text())
    data["spec"]["model"]["uri"] = "hf://meta-llama/Llama-3.1-8B-Instruct"
    data["spec"]["canary"] |= {"quantization": "fp8", "profile": {"gpu": "A100"}}
    plan.write_text(json.dumps(data))
    async with running(plan, tmp_path / "state") as run:
        assert await run.end() == 2
    text = "\n".join(run.said)
    assert "spec.shadow" in text
    assert "spec.budget" in text
    assert "spec.canary.quantization" in text
    assert "Nothing was started" in text
    assert not (tmp_path / "state").exists()


async def test_a_second_run_on_the_same_state_is_refused(tmp_path: Path) -> None:
    """Two controllers would fight over the route."""
    stages = [{"traffic": "25%", "hold": "300s"}, {"traffic": "100%"}]
    plan, state = write_plan(tmp_path, stages=stages), tmp_path / "state"
    with LeftBehind(state):
        async with running(plan, state) as run:
            await run.until(event="phase", phase="Analyzing")
            async with running(plan, state) as second:
                assert await second.end() == 2
            assert "already carries out a rollout" in second.tell()
            run.process.send_signal(signal.SIGINT)
            await run.end()


async def test_a_changed_plan_ends_the_unfinished_rollout_first(tmp_path: Path) -> None:
    """The older plan's traffic is given back as superseded; then the new one begins."""
    slow = [{"traffic": "25%", "hold": "300s"}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(write_plan(tmp_path, stages=slow), state) as run:
            await run.until(event="phase", phase="Analyzing")
            run.kill()
            await run.end()
        quick = [{"traffic": "50%", "hold": "1s"}, {"traffic": "100%"}]
        async with running(write_plan(tmp_path, stages=quick), state) as again:
            assert await again.end() == 0
    assert [event["result"] for event in again.events if event["event"] == "end"] == ["superseded", "promoted"]


async def serinus(*arguments: str) -> tuple[int, str]:
    """Exit code and output of another command, meanwhile."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "controlplane.cli.main",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_a_person_approves_pauses_resumes_and_aborts_from_another_terminal(tmp_path: Path) -> None:
    """Each word is answered in a sentence; history and status show it."""
    stages = [{"traffic": "10%", "hold": "1s", "approve": "ml-leads"}, {"traffic": "50%", "hold": "300s"}]
    plan = write_plan(tmp_path, stages=[*stages, {"traffic": "100%"}])
    state = tmp_path / "state"
    here = ("--state", str(state))
    with LeftBehind(state):
        async with running(plan, state) as run:
            await run.until(event="phase", phase="AwaitingApproval")
            code, text = await serinus("approve", str(plan), *here)
            assert (code, "approved" in text) == (0, True), text
            await run.until(event="phase", phase="Analyzing", stage=1)
            assert (await serinus("pause", "real", *here))[0] == 0
            await run.until(event="phase", phase="Paused")
            code, text = await serinus("status", "real", *here)
            assert code == 0
            assert "Paused" in text
            code, text = await serinus("why", "real", *here)
            assert code == 0
            assert "paused the rollout" in text
            assert (await serinus("resume", "real", *here))[0] == 0
            assert (await serinus("abort", "real", *here))[0] == 0
            assert await run.end() == 1
    code, text = await serinus("history", "real", *here)
    assert code == 0
    assert text.count("\n") == len(run.events)
    assert (await serinus("status", "real", *here))[0] == 1
    assert (await serinus("abort", "real", *here))[0] == 1
    assert (await serinus("status", "nobody", "--state", str(tmp_path / "none")))[0] == 2


async def test_a_person_skips_to_a_later_share_from_another_terminal(tmp_path: Path) -> None:
    """The share is in force afterwards; one that no later stage has changes nothing."""
    stages = [{"traffic": share, "hold": "300s"} for share in ("10%", "25%", "75%")]
    plan, state = write_plan(tmp_path, stages=[*stages, {"traffic": "100%"}]), tmp_path / "state"
    here = ("--state", str(state))
    with LeftBehind(state):
        async with running(plan, state) as run:
            await run.until(event="phase", phase="Analyzing", stage=0)
            _, text = await serinus("promote", "real", "--to", "60%", *here)
            assert text.endswith("which no later stage has (25 %, 75 %, 100 %): nothing was changed.\n"), text
            code, text = await serinus("promote", "real", "--to", "75%", *here)
            assert (code, text.endswith("skipped to stage 3 (75 %).\n")) == (0, True), text
            await run.until(event="phase", phase="Analyzing", stage=2)
            assert (await serinus("abort", "real", *here))[0] == 0
            assert await run.end() == 1
    assert {0.25, 0.75} & {event["weight"] for event in run.events if event["event"] == "weights"} == {0.75}


async def test_a_canary_that_never_gets_ready_is_given_up_at_its_deadline(tmp_path: Path) -> None:
    """The sentence says how long was waited; no request was ever sent to it."""
    plan, state = write_plan(tmp_path, canary=["--never-ready"], progressDeadline="6s"), tmp_path / "state"
    with LeftBehind(state):
        async with running(plan, state) as run:
            assert await run.end() == 1
    failed = next(event for event in run.events if event["reason"] == "CanaryNotReady")
    assert "did not become ready" in failed["message"]
    assert run.events[-1]["result"] == "failed"
    assert all(event["weight"] == 0 for event in run.events)


async def test_a_prometheus_that_dies_is_started_again_and_nobody_is_rolled_back(tmp_path: Path) -> None:
    """While it is away nothing passes and nothing fails; afterwards the stage ends as usual."""
    stages: list[dict[str, Any]] = [{"traffic": "50%", "hold": "2s", "gates": LASTING}, {"traffic": "100%"}]
    state = tmp_path / "state"
    with LeftBehind(state) as left:
        async with running(write_plan(tmp_path, stages=stages, metrics="prometheus"), state) as run:
            await run.until(event="phase", phase="Analyzing")
            async with Users(await run.address()) as users:
                await users.have_sent(50)
                prometheus = next(process for process in left.processes() if "prometheus" in process.name())
                prometheus.kill()
                await run.until(
                    event="phase",
                    phase="Succeeded",
                )
            assert await run.end() == 0
    assert not any(event["reason"] == "GateFailed" for event in run.events)
