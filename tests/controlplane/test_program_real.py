"""What users get from a whole rollout on this machine: real servers as processes, the real Envoy, requests of users."""

import asyncio
import contextlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from controlplane.adapters.envoy_config import clusters_in
from controlplane.private_files import read_json
from tests.controlplane import rude_server
from tests.controlplane.real import LeftBehind, Run, running, write_plan
from tests.controlplane.small_disk import fill, mounted

pytestmark = pytest.mark.real
STREAMS = 24
HALF: dict[str, Any] = {"traffic": "50%", "hold": "10m"}


def rude(*flags: str) -> list[str]:
    """The command of a server with these manners."""
    return [sys.executable, rude_server.__file__, "{port}", *flags]


class User:
    """Asks one question, and reads what comes for as long as it comes."""

    def __init__(self) -> None:
        self.variant = ""
        self.body = b""
        self.answering = asyncio.Event()

    @property
    def finished(self) -> bool:
        """Whether the answer came to its end."""
        return self.body.endswith(b"[END]\r\n0\r\n\r\n")

    async def ask(self, address: str) -> None:
        """Until the connection is closed."""
        host, port = address.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.closing(writer):
            writer.write(b"POST /v1/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            self.variant = head.lower().partition(b"x-serinus-variant: ")[2].partition(b"\r")[0].decode()
            self.answering.set()
            while piece := await reader.read(65536):
                self.body += piece


async def users_of(run: Run, tasks: asyncio.TaskGroup) -> list[User]:
    """Users with answers under way, at least so many from the canary."""
    await run.until(event="phase", phase="Analyzing")
    users: list[User] = []
    while sum(user.variant == "canary" for user in users) < STREAMS:
        users.append(User())
        tasks.create_task(users[-1].ask(await run.address()))
        await users[-1].answering.wait()
    return users


async def test_the_answers_under_way_at_a_rollback_are_finished(tmp_path: Path) -> None:
    """The canary cuts its answers off when it is stopped, as vLLM does: so it is stopped after the last of them."""
    done = tmp_path / "done"
    variants = rude("--until", str(done))
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=variants, canary=variants)
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state") as run, asyncio.TaskGroup() as streams:
            users = await users_of(run, streams)
            await command("abort", "real", "--yes", "--state", str(run.state))
            waiting = await run.until(reason="Draining")
            assert waiting["weight"] == 0
            assert "Open requests of v2: " in waiting["message"]
            done.touch()
            end = await run.until(event="end")
            assert await run.end() == 1
    assert all(user.finished for user in users)
    assert end["requests"]["cut_by_stop"] == 0
    assert end["requests"]["failed_by_shift"] == 0
    assert "that it had begun" in end["message"]


async def test_what_is_not_finished_within_the_drain_is_cut_and_counted(tmp_path: Path) -> None:
    """The way back itself is as quick as ever."""
    variants = rude("--until", str(tmp_path / "never"))
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=variants, canary=variants, drain="1s")
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state", "--keep") as run, asyncio.TaskGroup() as streams:
            users = await users_of(run, streams)
            await command("abort", "real", "--yes", "--state", str(run.state))
            end = await run.until(event="end")
            assert await run.end() == 1
            await command("stop", str(plan), "--state", str(run.state))
    mine = sum(user.variant == "canary" for user in users)
    assert not any(user.finished for user in users)
    assert end["requests"]["cut_by_stop"] == mine
    assert end["requests"]["failed_by_shift"] == 0
    assert f"{mine} requests that v2 was still answering were cut off" in end["message"]
    assert end["decided_to_zero"] < 5


async def test_what_the_winner_is_answering_is_finished_before_everything_is_stopped(tmp_path: Path) -> None:
    """By `serinus stop`, which refuses new clients at once."""
    done = tmp_path / "done"
    variants = rude("--until", str(done))
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=variants, canary=variants, drain="2m")
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state", "--keep") as run, asyncio.TaskGroup() as streams:
            users = await users_of(run, streams)
            await command("abort", "real", "--yes", "--state", str(run.state))
            await command("abort", "real", "--yes", "--state", str(run.state))  # the canary is not waited for
            assert await run.end() == 1
            address = await run.address()
            stopping = streams.create_task(command("stop", str(plan), "--state", str(run.state)))
            while await accepts(address):  # noqa: ASYNC110 - another process sets no event of ours
                await asyncio.sleep(0.05)
            assert not stopping.done()
            done.touch()
            await stopping
    stable = [user for user in users if user.variant == "stable"]
    assert stable
    assert all(user.finished for user in stable)


async def accepts(address: str) -> bool:
    """Whether a client can connect."""
    host, port = address.rsplit(":", 1)
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except ConnectionError:
        return False
    writer.close()
    return True


async def command(*words: str) -> str:
    """A command of ours; what it prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controlplane.cli.main", *words, stdout=-1, stderr=-2, stdin=asyncio.subprocess.DEVNULL
    )
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()
    return told.decode()


async def test_a_canary_that_answers_404_to_everything_is_rolled_back_by_the_hard_stop(tmp_path: Path) -> None:
    """A wrong model name: no server error anywhere, and nobody is served. No gate of the plan asks for it."""
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=rude(), canary=rude("--status", "404"))
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state") as run:
            await run.until(event="phase", phase="Analyzing")
            async with asyncio.TaskGroup() as asking:
                users = asking.create_task(ask_on(await run.address()))
                decided = await run.until(event="phase", phase="RollingBack")
                users.cancel()
            assert await run.end() == 1
    assert "canary requests were answered 4xx or failed" in decided["message"]
    assert decided["evidence"]["spoke"] == "hard stop"


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param("", id="nothing"),
        pytest.param('data: {"error": {"message": "CUDA error", "code": 500}}\n\ndata: [DONE]\n\n', id="an error"),
    ],
)
async def test_a_canary_whose_good_status_is_all_that_is_good_is_rolled_back_by_the_hard_stop(
    tmp_path: Path, stream: str
) -> None:
    """Streams that end at once, and streams that say that the engine failed, under a 200: users got no answer."""
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=rude(), canary=rude("--stream", stream))
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state") as run:
            await run.until(event="phase", phase="Analyzing")
            async with asyncio.TaskGroup() as asking:
                users = asking.create_task(ask_on(await run.address()))
                decided = await run.until(event="phase", phase="RollingBack")
                users.cancel()
            assert await run.end() == 1
    assert re.search(r"(\d+) of \1 canary requests failed", decided["message"])
    assert decided["evidence"]["spoke"] == "hard stop"


async def test_a_canary_that_begins_answers_and_says_nothing_is_rolled_back_by_the_hard_stop(tmp_path: Path) -> None:
    """An engine that stands behind a healthy `/health`: every answer is a 200, and none comes to its end."""
    silent = rude("--silent-after", "10")
    stages = [{"traffic": "25%", "hold": "10m"}, {"traffic": "100%"}]
    plan = write_plan(tmp_path, stages=stages, stable=rude(), canary=silent, drain="0s")
    with LeftBehind(tmp_path / "state"):
        async with running(plan, tmp_path / "state") as run:
            await run.until(event="phase", phase="Analyzing")
            async with asyncio.TaskGroup() as asking:
                users = asking.create_task(ask_on(await run.address()))
                decided = await run.until(event="phase", phase="RollingBack")
                users.cancel()
            assert await run.end() == 1
    assert re.search(r"\d+ of \d+ requests that the canary began in the last \d+ s finished", decided["message"])
    assert "a hang" in decided["message"]
    assert decided["evidence"]["spoke"] == "hard stop"


async def test_a_canary_is_rolled_back_on_a_full_disk_and_it_is_recorded_once_there_is_room(tmp_path: Path) -> None:
    """Everything is on that disk: the state, the logs, the routes, the record of what serves."""
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=rude(), canary=rude("--status", "404"))
    with mounted(tmp_path / "disk", 24) as disk, LeftBehind(disk / "state"):
        async with running(plan, disk / "state") as run:
            await run.until(event="phase", phase="Analyzing")
            filler, address = fill(disk), await run.address()
            async with asyncio.TaskGroup() as asking:
                users = asking.create_task(ask_on(address))
                while routed(disk / "state") != {"stable-0"}:
                    assert run.process.returncode is None, run.tell()
                    await asyncio.sleep(0.05)
                users.cancel()
            assert "full" in await run.until_said("its traffic does not rise until that is saved")
            filler.unlink()
            assert await run.end() == 1
        assert [event["result"] for event in run.events if event["event"] == "end"] == ["rolled_back"]
    assert not any("Traceback" in line for line in run.said)


async def test_a_full_disk_at_the_start_is_said_in_a_sentence_and_no_rollout_under_way_is_refused_for_it(
    tmp_path: Path,
) -> None:
    """A run that was killed has to go on, and to be able to roll back, whatever there is room for."""
    plan = write_plan(tmp_path, stages=[HALF, {"traffic": "100%"}], stable=rude(), canary=rude("--status", "404"))
    with mounted(tmp_path / "disk", 24) as disk, LeftBehind(disk / "state"):
        filler = fill(disk)
        async with running(plan, disk / "state") as refused:
            assert await refused.end() == 1
        assert refused.said == [await refused.until_said("the disk is full")]
        filler.unlink()
        async with running(plan, disk / "state") as killed:
            await killed.until(event="phase", phase="Analyzing")
            killed.kill()
            await killed.end()
        filler = fill(disk)
        async with running(plan, disk / "state") as run:
            async with asyncio.TaskGroup() as asking:
                users = asking.create_task(ask_on(await run.address()))
                await run.until_said("its traffic does not rise until that is saved")
                while routed(disk / "state") != {"stable-0"}:
                    assert run.process.returncode is None, run.tell()
                    await asyncio.sleep(0.05)
                users.cancel()
            filler.unlink()
            assert await run.end() == 1
        assert [event["result"] for event in run.events if event["event"] == "end"] == ["rolled_back"]


def routed(state: Path) -> frozenset[str]:
    """The replicas that Envoy's routes lead to."""
    return clusters_in(read_json(state / "envoy/routes.json")["resources"][0])


async def ask_on(address: str, *, a_second: float = 20.0) -> None:
    """Users who come one after the other until cancelled."""
    async with asyncio.TaskGroup() as users:
        while True:
            users.create_task(User().ask(address))
            await asyncio.sleep(1 / a_second)


def evaluated_plan(folder: Path, *canary: str) -> Path:
    """Both variants answer eight words; a data set whose items want the last two of them."""
    lines = [json.dumps({"id": f"i{n}", "prompt": f"Where is order {n}?", "expected": "and will"}) for n in range(150)]
    (folder / "items.jsonl").write_text("\n".join(lines))
    return write_plan(
        folder,
        stages=[{"traffic": "50%", "hold": "1s"}, {"traffic": "100%"}],
        stable=["--tokens", "8"],
        canary=["--tokens", "8", *canary],
        evaluation={"dataset": "items.jsonl", "metrics": ["contains >= stable"]},
    )


async def test_a_canary_whose_answers_are_worse_never_gets_a_request(tmp_path: Path) -> None:
    """Every fourth answer is cut off: no error, no latency, nothing that a metric counts."""
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(evaluated_plan(tmp_path, "--truncated", "0.25"), state) as run:
            assert await run.end() == 1
    phases = [event["phase"] for event in run.events if event["event"] == "phase"]
    assert phases[-4:] == ["Preparing", "Evaluating", "RollingBack", "RolledBack"]
    assert all(event["weight"] == 0 for event in run.events)
    failed = next(event for event in run.events if event["reason"] == "EvaluationFailed")
    assert "contains fell by" in failed["message"]
    assert failed["evidence"]["verdict"] == "fail"
    assert run.events[-1]["result"] == "failed"
    assert any("150 items can show a drop of" in sentence for sentence in run.said)


async def test_a_canary_whose_answers_are_as_good_goes_on_by_itself(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with LeftBehind(state):
        async with running(evaluated_plan(tmp_path), state) as run:
            assert await run.end() == 0
    passed = next(event for event in run.events if event["reason"] == "EvaluationPassed")
    assert "contains did not move" in passed["message"]
    assert passed["evidence"]["evaluation"]["verdict"] == "pass"


async def test_a_data_set_with_bad_lines_starts_nothing(tmp_path: Path) -> None:
    plan = evaluated_plan(tmp_path)
    (tmp_path / "items.jsonl").write_text('{"id": "a"}\n{\n')
    async with running(plan, tmp_path / "state") as run:
        assert await run.end() == 2
    assert any("line 1: expected exactly one of messages and prompt" in sentence for sentence in run.said)
    assert any("line 2: is no JSON" in sentence for sentence in run.said)
    assert not (tmp_path / "state").exists()
