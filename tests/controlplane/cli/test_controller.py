"""`serinus controller` and `serinus retry`, for real: git, sample servers, Envoy, load; only the times are short."""

import asyncio
import json
import random
import re
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
import httpx2
import psutil
import pytest
from click.testing import CliRunner

from canary.yaml_edit import promoted
from controlplane.adapters.prometheus_server import find_prometheus
from controlplane.cli.main import serinus
from controlplane.gitops.git_state import GitStateStore
from controlplane.gitops.git_state import PlanOrigin as Known
from controlplane.program import stop_all
from controlplane.sample.load import SampleLoad
from tests.controlplane.alerts.receivers import Receiver
from tests.controlplane.gitops.deliveries import SECRET, push, signed
from tests.controlplane.gitops.origin import Origin
from tests.controlplane.other_user import exposed
from tests.controlplane.real import PATIENCE_S, LeftBehind, Run, program, records, write_plan

STAGES: list[dict[str, Any]] = [
    {"traffic": "50%", "hold": "2s", "gates": ["error_rate <= 10%"]},
    {"traffic": "100%", "hold": "1s"},
]
FILE = "apps/real/canary.yml"


@asynccontextmanager
async def controlled(
    origin: Origin, state: Path, *flags: str, variables: Mapping[str, str] | None = None
) -> AsyncIterator[Run]:
    """Start `serinus controller` on the repository; at the end of the block it is killed if it still runs."""
    command = ("controller", "--git", str(origin.folder), "-o", "json", "--path", "apps/*/canary.yml")
    async with program(state, *command, "--interval", "0.3", "--state", str(state), *flags, env=variables) as run:
        yield run


@pytest.mark.real
async def test_r1_a_commit_is_rolled_back_by_a_commit_although_the_controller_is_killed_meanwhile(
    tmp_path: Path,
) -> None:
    """Killed with -9 while the canary has traffic: the next start judges on, and git has one commit."""
    origin, state = Origin(tmp_path / "origin.git"), tmp_path / "state"
    text = write_plan(tmp_path, stages=STAGES, canary=["--error-rate", "0.6"]).read_text()
    brought = origin.commit({FILE: text}, "Try v2")
    with LeftBehind(state):
        async with controlled(origin, state) as run:
            address = (await run.until_said("clients connect to http://")).split("http://")[1].split(";")[0]
            await run.until_said(f"in {brought[:7]} by Ann")
            await run.until(event="phase", phase="Analyzing")
            run.kill()
            await run.end()
        stop = asyncio.Event()
        host, port = address.rsplit(":", 1)
        async with asyncio.TaskGroup() as users, controlled(origin, state) as again:
            await again.until_said("clients connect to")
            users.create_task(SampleLoad(host, int(port), rate=150.0, chance=random.Random(1)).run(stop))
            end = await again.until(event="end")
            await again.until_said("the commit that puts the file back is")
            stop.set()
            again.process.send_signal(signal.SIGTERM)
            assert await again.end() == 0
        assert exposed(state) == []
        assert (end["result"], end["id"].split("/")[:2]) == ("rolled_back", ["real", "1"])
        assert {key: end["git"][key] for key in ("commit", "author", "path")} == {
            "commit": brought,
            "author": "Ann",
            "path": FILE,
        }
        assert text.splitlines()[end["git"]["line"] - 1] == "  canary:"
        assert origin.count() == 2
        assert promoted(origin.text(FILE)) == origin.text(FILE)
        assert "Serinus-Result: rolled_back" in origin.message()
        assert json.loads(next(line for line in origin.message().splitlines() if "Evidence" in line).split(": ", 1)[1])
        await stop_all(state / "rollouts" / "real")


@pytest.mark.real
async def test_r6_git_alerts_and_prometheus_away_at_once_delay_no_rollback_and_get_everything_later(
    tmp_path: Path,
) -> None:
    """The canary dies while the repository is gone, nobody takes alerts and Prometheus stands still."""
    origin, state = Origin(tmp_path / "origin.git"), tmp_path / "state"
    stages = [{"traffic": "50%", "hold": "1h"}, {"traffic": "100%"}]
    receiver = Receiver()
    async with receiver:
        hook = receiver.url()
    alerts = [{"webhook": {"urlFrom": {"env": "HOOK"}}, "on": ["rolledBack"]}]
    text = write_plan(tmp_path, stages=stages, metrics="auto", alerts=alerts).read_text()
    origin.commit({FILE: text}, "Try v2")
    rollout, gone = state / "rollouts" / "real", tmp_path / "gone.git"
    with LeftBehind(state):
        async with controlled(origin, state, variables={"HOOK": hook}) as run:
            await run.until(event="phase", phase="Analyzing")
            origin.folder.rename(gone)
            prometheus = [psutil.Process(pid) for pid in _pids(rollout / "prometheus" / "prometheus.json")]
            assert prometheus or find_prometheus() is None
            for each in prometheus:
                each.suspend()
            await run.until_said("cannot be read")
            for pid in _pids(rollout / "processes.json", "canary-0"):
                psutil.Process(pid).kill()
            await run.until(event="phase", reason="CanaryLost")
            assert (await run.until(event="end"))["result"] == "rolled_back"
            assert (receiver.got, gone.exists()) == ([], True)
            gone.rename(origin.folder)
            for each in prometheus:
                each.resume()
            async with receiver:
                await receiver.until(lambda: len(receiver.got) > 0, PATIENCE_S)
                await run.until_said("the commit that puts the file back is")
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == 0
        assert [each.json["data"]["kind"] for each in receiver.got] == ["rolledBack"]
        assert "Serinus-Result: rolled_back" in origin.message()
        await stop_all(rollout)


def _pids(file: Path, name: str = "") -> list[int]:
    """Of the processes on record in a state folder, of all of them or of one; none where there is no such record."""
    known = json.loads(file.read_text()) if file.exists() else {}
    return [each["pid"] for each in records(known.get(name, {}) if name else known)]


@pytest.mark.real
async def test_a_push_that_a_webhook_tells_is_looked_at_although_the_interval_is_an_hour(tmp_path: Path) -> None:
    """The commit comes from the configured repository; the address in the delivery is dialled by nobody."""
    origin, state = Origin(tmp_path / "origin.git"), tmp_path / "state"
    origin.commit({"README": "models"}, "Begin")
    await asyncio.to_thread((tmp_path / "secret").write_text, SECRET)
    listening = ("--interval", "1h", "--webhook", "127.0.0.1:0", "--webhook-secret-file", str(tmp_path / "secret"))
    with LeftBehind(state):
        async with controlled(origin, state, *listening) as run:
            url = (await run.until_said("Webhooks for pushes to main: ")).split("main: ")[1]
            brought = origin.commit({FILE: "not yet"}, "Try v2")
            body = push("github", after=brought)
            async with httpx2.AsyncClient(timeout=60) as client:
                answer = await client.post(url, content=body, headers=signed("github", body, at=time.time()))
                assert answer.status_code == 202
                await run.until_said(f"{FILE} in {brought[:7]} by Ann is not used")
                forged = signed("github", body, at=0.0, secret="another secret, long enough")
                assert (await client.post(url, content=body, headers=forged)).status_code == 401
            run.process.send_signal(signal.SIGTERM)
            assert await run.end() == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--git", "/srv/x.git", "--webhook", ":0"], "needs --webhook-secret-file"),
        (["--git", "/srv/x.git", "--webhook", ":0", "--webhook-secret-file", "none"], "cannot be read from none"),
        (["--git", "/srv/x.git", "--webhook", "here", "--webhook-secret-file", __file__], "cannot listen on here"),
        (["--git", "ext::sh -c id"], "is no address of a repository"),
        (["--git", "https://bot:MARKER@host/x"], "carries a password"),
        (["--git", "/srv/x.git", "--branch=-f"], "is no name of a branch"),
        (["--git", "/srv/x.git", "--path", "../*"], "is no pattern"),
        (["--git", "https://host/x", "--token-file", "none"], "does not exist"),
    ],
)
def test_s2_what_cannot_be_meant_is_refused_before_anything_starts(
    tmp_path: Path, options: list[str], said: str
) -> None:
    result = CliRunner().invoke(serinus, ["controller", *options, "--state", str(tmp_path / "state")])
    assert result.exit_code == 2
    assert said in result.output
    assert "MARKER" not in result.output
    assert not (tmp_path / "state").exists()


def test_r15_the_document_names_only_options_that_exist_and_all_of_the_controllers() -> None:
    """docs/gitops.md is what people type from."""
    text = (Path(__file__).parents[3] / "docs" / "gitops.md").read_text()
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
    known = {option for name in ("controller", "demo", "retry") for option in options_of(name)} | {"--notes"}
    assert named <= known
    assert {
        "--git",
        "--path",
        "--interval",
        "--token-file",
        "--ssh-key",
        "--known-hosts",
        "--state",
        "--webhook",
    } <= named


def options_of(name: str) -> set[str]:
    """Options of a command."""
    command = serinus.get_command(click.Context(serinus), name)
    assert command is not None
    return {option for each in command.params for option in (*each.opts, *each.secondary_opts)}


def test_a_retry_of_what_no_controller_follows_is_refused(tmp_path: Path) -> None:
    """Neither a folder without a controller nor a name that it does not know leaves word anywhere."""
    here = ["--state", str(tmp_path)]
    result = CliRunner().invoke(serinus, ["retry", "chat", *here])
    assert (result.exit_code, "No controller" in result.output) == (2, True)
    GitStateStore(tmp_path / "ledger.json").origin(
        "chat", Known("apps/chat/canary.yml", 1, "r", "a", "c", "Ann", "Try")
    )
    for name in ("other", "../chat"):
        result = CliRunner().invoke(serinus, ["retry", name, *here])
        assert (result.exit_code, "follows no rollout" in result.output) == (2, True)
    result = CliRunner().invoke(serinus, ["retry", "chat", *here])
    assert result.exit_code == 0
    assert [file.name for file in (tmp_path / "retry").iterdir()] == ["chat"]
    (tmp_path / "ledger.json").write_text("[" * 100_000)
    result = CliRunner().invoke(serinus, ["retry", "chat", *here])
    assert (result.exit_code, "cannot be understood" in result.output) == (2, True)
